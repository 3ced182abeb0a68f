//! The files with the bytes of bodies.
//!
//! Guarantees: a file is complete and synced before its id is returned; a body that fails leaves no
//! file. It does not know which files the index refers to.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;

use super::super::received::{BodyDigests, check_len, check_sha256};
use super::super::{Body, ETag, Error, Kind, Result};
use super::buffers::Buffers;
use super::cached::Cached;
use super::direct::{Blocks, Direct};
use super::disk::{blocking, has_room};
use super::memory_budget::MemoryBudget;
use super::modes::{ModeRepair, create_directory};
use super::packs::PackHandles;
use super::pending_file::PendingFile;
use super::pins::Pins;
use crate::digest::Sha256;
use crate::hex::hex;

/// The largest read.
pub const BUFFER_BYTES: usize = 256 << 10;
const SPARE_BUFFERS: usize = 16;

/// Memory of all frames on their way to clients: 64 full ones. Without free memory, reads are
/// smaller (`read`).
const READ_BUDGET_BYTES: usize = 64 * BUFFER_BYTES;

/// Memory of all frames that wait to be written through the page cache (`cached`).
const WRITE_BUDGET_BYTES: usize = 16 << 20;

/// The files of a store.
#[derive(Debug)]
pub(super) struct Files {
    places: Places,
    /// For reads.
    pub buffers: Arc<Buffers>,
    pub read_budget: Arc<MemoryBudget>,
    write_budget: Arc<MemoryBudget>,
    blocks: Blocks,
    /// Files that running reads need.
    pub pins: Arc<Pins>,
    /// Open packs.
    pub packs: PackHandles,
}

/// How a body is written into its file.
enum WritePath {
    Direct(Direct),
    Cached(Cached),
}

/// The ETag of a body.
pub(super) enum Tag {
    /// The MD5 of its bytes, as S3 tools expect of a whole object.
    Md5,
    /// Known before its bytes, so that no MD5 is computed.
    Given(String),
}

/// A body on disk.
pub(super) struct WrittenFile {
    pub len_bytes: u64,
    pub id: String,
    pub etag: ETag,
    pub sha256: Sha256,
}

impl Files {
    /// Creates the store's directory if it is missing, and restricts it to its owner. Blocks.
    pub fn open(path: &Path, repair: &mut ModeRepair) -> io::Result<Self> {
        let files = Self {
            places: Places::of(path),
            buffers: Buffers::new(BUFFER_BYTES, SPARE_BUFFERS),
            read_budget: MemoryBudget::new(READ_BUDGET_BYTES),
            write_budget: MemoryBudget::new(WRITE_BUDGET_BYTES),
            blocks: Blocks::default(),
            pins: Arc::default(),
            packs: PackHandles::default(),
        };
        create_directory(path)?;
        // First: nobody else gets in while the modes below it are repaired.
        repair.restrict_directory(path)?;
        for directory in [&files.places.incoming, &files.places.data] {
            create_directory(directory)?;
        }
        sync_directory(path)?;
        Ok(files)
    }

    /// Creates the directories for files if they are missing, and gives them and the files in them
    /// their modes; if the directories have theirs, their files are not read. Blocks.
    pub fn prepare(&self, repair: &mut ModeRepair) -> io::Result<()> {
        repair.restrict_directory(&self.places.data)?;
        repair.repair_directory(&self.places.incoming)?;
        self.places.shards().try_for_each(|shard| repair.repair_directory(&shard))?;
        sync_directory(&self.places.data)
    }

    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Writes a body to a new file under `incoming/`. **Durability**: the file is synced; its name
    /// is only after [`Self::sync_names`].
    /// **Cancel**: a dropped future leaves no file. **Errors**: `Body`, `Checksum`, `Full`.
    pub async fn write(
        &self,
        id: String,
        body: Body,
        declared: Option<Sha256>,
        tag: Tag,
    ) -> Result<WrittenFile> {
        let (path, len_bytes) = (self.places.incoming.join(&id), body.len_bytes());
        let file = Arc::new(
            blocking("creating a file", move || PendingFile::create(path, len_bytes)).await?,
        );
        let direct = self.blocks.begin(&file, len_bytes);
        let path = direct.map_or_else(
            || WritePath::Cached(Cached::begin(&file, &self.write_budget)),
            WritePath::Direct,
        );
        let (len_bytes, (sha256, md5)) = fill(path, body, matches!(tag, Tag::Md5)).await?;
        check_sha256(sha256, declared)?;
        let sync = move || {
            file.file.sync_all()?;
            Ok(file)
        };
        // Through the closure's result: if this future is dropped meanwhile, so is the file.
        let file = blocking("syncing a file", sync).await?;
        let etag = match tag {
            Tag::Md5 => hex(&md5.expect("it was wanted")),
            Tag::Given(tag) => tag,
        };
        file.keep();
        Ok(WrittenFile { id, len_bytes, etag: ETag(etag), sha256 })
    }

    /// Moves a committed file to its place under `data/`; success if it is there already. Blocks.
    /// After a crash before it, opening the store moves the file.
    pub fn publish(&self, id: &str) -> io::Result<()> {
        let Places { incoming, .. } = &self.places;
        match fs::rename(incoming.join(id), self.places.data_path(id)) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && self.places.data_path(id).exists() =>
            {
                Ok(())
            }
            moved => moved,
        }
    }

    /// Removes a file from wherever it is; success if there is none. Blocks.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        self.packs.forget(id);
        // In this order: the writer may move the file between the two attempts.
        for path in [self.places.incoming.join(id), self.places.data_path(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Makes the removal of these files durable: a power loss must not restore files that the index
    /// does not know any more. Blocks.
    pub fn sync_removal(&self, ids: &[String]) -> io::Result<()> {
        let shards: BTreeSet<&str> = ids.iter().map(|id| shard(id)).collect();
        shards.into_iter().try_for_each(|shard| sync_directory(&self.places.data.join(shard)))
    }

    /// Ids of the files under `incoming/`: those that are being written, or were committed and not
    /// yet moved. Blocks.
    pub fn incoming(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir(&self.places.incoming)?.map(name).collect()
    }

    /// Opens a file for reading, under `data/` or `incoming/`. Blocks.
    pub fn read(&self, id: &str) -> io::Result<fs::File> {
        self.places.find(id, |path| fs::File::open(path))
    }

    /// Opens a pack for reading, and keeps it open. The pack must be pinned. Blocks.
    pub fn read_pack(&self, id: &str) -> io::Result<Arc<fs::File>> {
        if let Some(open) = self.packs.get(id) {
            return Ok(open);
        }
        let file = Arc::new(self.read(id)?);
        self.packs.keep(id, &file);
        Ok(file)
    }

    /// Whether the disk has space for so many bytes of bodies and the reserve.
    pub fn has_room(&self, len_bytes: u64) -> bool {
        has_room(&self.places.incoming, len_bytes)
    }

    /// The error with the path of the file that could not be read.
    pub fn named(&self, id: &str, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.places.data_path(id).display()))
    }

    /// Makes the names of all files under `incoming/` durable. Blocks.
    pub fn sync_names(&self) -> io::Result<()> {
        sync_directory(&self.places.incoming)
    }
}

/// Where a store's directory has its files.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub data: PathBuf,
    pub incoming: PathBuf,
}

impl Places {
    /// Those of the store in this directory.
    pub fn of(path: &Path) -> Self {
        Self { data: path.join("data"), incoming: path.join("incoming") }
    }

    /// The directories below `data/`.
    pub fn shards(&self) -> impl Iterator<Item = PathBuf> {
        (0..=255_u8).map(|shard| self.data.join(format!("{shard:02x}")))
    }

    pub fn data_path(&self, id: &str) -> PathBuf {
        self.data.join(shard(id)).join(id)
    }

    /// Does something with a file under `data/` or `incoming/`, wherever it is. Blocks. **Errors**:
    /// `NotFound` if it is in neither.
    pub fn find<T>(&self, id: &str, attempt: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
        let is_missing = |done: &io::Result<T>| {
            done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        // Under `data/` once more: the file may have been moved between the first two attempts.
        let paths = [self.data_path(id), self.incoming.join(id), self.data_path(id)];
        let mut attempts = paths.iter().map(|path| attempt(path));
        attempts
            .find(|done| !is_missing(done))
            .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn shard(id: &str) -> &str {
    id.get(..2).unwrap_or("00")
}

/// Writes a body into a file, and returns its length, its SHA-256, and its MD5 if it is wanted.
async fn fill(
    mut path: WritePath,
    mut body: Body,
    md5: bool,
) -> Result<(u64, (Sha256, Option<[u8; 16]>))> {
    let lengths = body.lengths();
    let (mut digests, mut received) = (BodyDigests::new(&body, md5), 0);
    while let Some(frame) = body.next().await {
        let frame =
            frame.map_err(|cause| Error::new(Kind::Body, "the body broke off").because(cause))?;
        if frame.is_empty() {
            continue;
        }
        received += frame.len() as u64;
        if received > *lengths.end() {
            break;
        }
        digests.push(&frame).await;
        match &mut path {
            WritePath::Direct(direct) => direct.push(&frame).await?,
            WritePath::Cached(cached) => cached.push(frame).await?,
        }
    }
    check_len(received, &lengths)?;
    match path {
        WritePath::Direct(direct) => direct.finish().await?,
        WritePath::Cached(cached) => cached.finish().await?,
    }
    Ok((received, digests.finish().await?))
}
