//! Makes a snapshot: the copy of the index, and a link to, or a copy of, every file that it names.
//!
//! Guarantees: the target has its name only once everything in it is durable, and exists only if
//! all files of the commit were found; what fails is removed again. Bytes that an index
//! refers to are never written again, so a link is as good as a copy, although the store may still
//! append to a pack that both have; where the file system refuses a link, the
//! bytes are copied. The gateway's access key comes along. Directories belong to the store's owner,
//! if the user may give them away.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use redb::{Builder, ReadableDatabase, ReadableTable};

use super::super::files::{Places, sync_directory};
use super::super::modes::{create_directory, create_file};
use super::super::tables::FILES;
use super::super::{Dir, INDEX, OpenError};
use super::{Held, Offer, ask};
use crate::clock::Clock;

/// The file that `app` keeps the generated access key in.
const CREDENTIALS: &str = "credentials";

/// What a snapshot has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Snapshot {
    /// Files with bodies.
    pub files: u64,
    /// How many of them are links to the store's own.
    pub linked: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Makes a snapshot of the store in `directory` at `to`, which must not exist or be an empty
/// directory. Blocks. **Errors**: `NoStore`, `InUse`, `Target`; `NoSnapshot` otherwise. `to` is as
/// it was then.
pub fn snapshot(
    directory: &Path,
    to: &Path,
    clock: Clock,
) -> std::result::Result<Snapshot, OpenError> {
    if !directory.join(INDEX).is_file() {
        return Err(OpenError::NoStore(directory.into()));
    }
    let failed = |source| OpenError::NoSnapshot(directory.into(), source);
    let partial = begin(directory, to).map_err(|source| OpenError::Target(to.into(), source))?;
    let taken = hold(directory, clock).and_then(|hold| {
        fill(directory, &partial, hold)
            .and_then(|taken| finish(&partial, to).map(|()| taken))
            .map_err(failed)
    });
    if taken.is_err() {
        // What cannot be removed has a name that says what it is.
        fs::remove_dir_all(&partial).ok();
    }
    taken
}

/// The store's index, kept whole by another process or by this one.
enum Kept {
    Elsewhere(Offer),
    // The store is dropped after its hold.
    Here { held: Held, _store: Box<Dir> },
}

impl Kept {
    fn index(&self) -> &str {
        match self {
            Self::Elsewhere(offer) => &offer.index,
            Self::Here { held, .. } => held.index(),
        }
    }
}

fn hold(directory: &Path, clock: Clock) -> std::result::Result<Kept, OpenError> {
    let failed = |source| OpenError::NoSnapshot(directory.into(), source);
    if let Some(offer) = ask(directory).map_err(|error| failed(error.into()))? {
        return Ok(Kept::Elsewhere(offer));
    }
    let store = Dir::open(directory, clock.clone())?;
    let stop = AtomicBool::new(false);
    let held = Held::take(store.index.handle(), &store.files, clock.random_id(), &stop);
    let held = held.map_err(|error| failed(error.into()))?;
    Ok(Kept::Here { held, _store: Box::new(store) })
}

/// Creates the directory that becomes the snapshot.
fn begin(directory: &Path, to: &Path) -> std::result::Result<PathBuf, Failure> {
    let (source, to) = (fs::canonicalize(directory)?, std::path::absolute(to)?);
    let parent = to.parent().ok_or("it has no directory above it")?;
    create_directory(parent)?;
    let (name, parent) = (to.file_name().ok_or("it has no name")?, fs::canonicalize(parent)?);
    if ["data", "incoming"].iter().any(|inner| parent.starts_with(source.join(inner))) {
        return Err("it would lie among the files of the store".into());
    }
    match fs::read_dir(&to) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err("it exists and is not empty".into());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut partial = name.to_owned();
    partial.push(".partial");
    let partial = parent.join(partial);
    match fs::create_dir(&partial) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(format!(
            "{} exists: another snapshot is being written, or one was cut off; remove it then",
            partial.display()
        )
        .into()),
        created => {
            created?;
            Ok(partial)
        }
    }
}

fn fill(directory: &Path, partial: &Path, kept: Kept) -> std::result::Result<Snapshot, Failure> {
    let (from, into) = (Places::of(directory), Places::of(partial));
    let owner = fs::metadata(directory)?;
    for path in [into.incoming.clone()].into_iter().chain(into.shards()) {
        create_directory(&path)?;
        give(&path, &owner);
    }
    for path in [&into.data, partial] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        give(path, &owner);
    }
    let index = partial.join(INDEX);
    take_index(&from.incoming.join(kept.index()), &index)?;
    let mut taken = Snapshot { index_bytes: fs::metadata(&index)?.len(), ..Snapshot::default() };
    let missing = transfer_files(&from, &into, &index, &mut taken)?;
    if let Kept::Elsewhere(offer) = kept
        && !offer.release()
        && !missing.is_empty()
    {
        return Err("the process that ran on the store ended in between; try again".into());
    }
    if let Some(first) = missing.first() {
        let what = format!(
            "{} files that its index names are lost, the first is {first}; `ratchet check` says \
             which objects need them",
            missing.len()
        );
        return Err(what.into());
    }
    let credentials = directory.join(CREDENTIALS);
    if credentials.is_file() {
        copy_durably(&credentials, &partial.join(CREDENTIALS))?;
    }
    into.shards().try_for_each(|shard| sync_directory(&shard))?;
    for path in [&into.data, &into.incoming, partial] {
        sync_directory(path)?;
    }
    Ok(taken)
}

/// Gives a new path the owner of the store. Only root may; for everybody else it has it.
fn give(path: &Path, owner: &fs::Metadata) {
    chown(path, Some(owner.uid()), Some(owner.gid())).ok();
}

/// Moves the copy of the index to its place.
fn take_index(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        // The store removes its copy itself.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_durably(from, to),
        moved => moved,
    }
}

/// Links or copies all files that the index names. Returns those that are nowhere.
fn transfer_files(
    from: &Places,
    into: &Places,
    index: &Path,
    taken: &mut Snapshot,
) -> std::result::Result<Vec<String>, Failure> {
    let index = Builder::new().open_read_only(index)?;
    let files = index.begin_read()?.open_table(FILES)?;
    let mut missing = Vec::new();
    for row in files.iter()? {
        let id = row?.0.value().to_owned();
        let target = into.data_path(&id);
        match from.find(&id, |path| transfer(path, &target)) {
            Ok((linked, bytes)) => {
                taken.files += 1;
                taken.linked += u64::from(linked);
                taken.bytes += bytes;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(id),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missing)
}

/// Links a file, or copies it. Returns whether it is linked, and its length.
fn transfer(from: &Path, to: &Path) -> io::Result<(bool, u64)> {
    let linked = match fs::hard_link(from, to) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
        // Another file system, one without links, or one with too many of this file.
        Err(_) => {
            copy_durably(from, to)?;
            false
        }
    };
    Ok((linked, fs::metadata(to)?.len()))
}

fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    let (mut source, mut target) = (File::open(from)?, create_file(to)?);
    give(to, &source.metadata()?);
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// Gives the complete snapshot its name.
fn finish(partial: &Path, to: &Path) -> std::result::Result<(), Failure> {
    fs::rename(partial, to)?;
    sync_directory(partial.parent().unwrap_or(partial))?;
    Ok(())
}
