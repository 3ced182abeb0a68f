//! `<file>.ratchet-part`, which holds what was restored of a file so far.
//!
//! Guarantees: it is a regular file beside the one that it becomes; there is room for all of the
//! file when it is opened; it stays after a failure only if it has chunks with which the next
//! restore can continue.

use std::fs::{self, File, OpenOptions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::destination::directory_of;
use crate::client::{Error, Result, remote::ChunkPlace};
use crate::digest::Sha256;

const SUFFIX: &str = ".ratchet-part";
/// The longest name on Linux file systems, in bytes.
const MAX_NAME_BYTES: usize = 255;
/// The unit of `Metadata::blocks`, whatever the file system has.
const BLOCK_BYTES: u64 = 512;

pub(super) struct PartFile {
    pub file: Arc<File>,
    pub path: PathBuf,
    /// Whether it has bytes that a later restore can use.
    has_chunks: AtomicBool,
}

impl PartFile {
    /// Opens or creates the file beside `restored_path` and gives it its final length. `mode` is
    /// that of the restored file, if it is known. **Errors**: also if the file system has no room.
    pub fn open(restored_path: &Path, len: u64, mode: Option<u32>) -> Result<Self> {
        let path = path_beside(restored_path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            // Not wider than the restored file will be, while it is not complete.
            .mode(mode.map_or(0o666, |mode| (mode & 0o777) | 0o600))
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(&path)
            .map_err(Error::io(&path, "cannot be opened"))?;
        let meta = file.metadata().map_err(Error::io(&path, "its attributes cannot be read"))?;
        if !meta.is_file() {
            return Err(Error::NotDone(format!(
                "{} is in the way and no regular file; remove it",
                path.display()
            )));
        }
        let is_new = meta.len() == 0;
        let part = Self { file: Arc::new(file), path, has_chunks: AtomicBool::new(!is_new) };
        let allocated = meta.blocks() * BLOCK_BYTES;
        let prepared = require_room(&part.path, len.saturating_sub(allocated)).and_then(|()| {
            // An earlier restore of a longer file must not leave its end in this one.
            part.file.set_len(len).map_err(Error::io(&part.path, "its length cannot be set"))
        });
        if let Err(error) = prepared {
            part.discard_unless_useful();
            return Err(error);
        }
        Ok(part)
    }

    /// Whether anything was written to this range. Where the file system does not tell: true.
    pub fn has_data(&self, offset: u64, len: u64) -> bool {
        // Nobody else uses the position that this sets: the bytes of chunks have offsets.
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(first) => first < offset + len,
            Err(Errno::NXIO) => false,
            Err(_) => true,
        }
    }

    /// Writes bytes of a chunk, on a thread that is allowed to block.
    pub async fn write(&self, bytes: Bytes, offset: u64) -> Result<()> {
        let file = Arc::clone(&self.file);
        let written = tokio::task::spawn_blocking(move || file.write_all_at(&bytes, offset)).await;
        let written = written.map_err(std::io::Error::other).flatten();
        written.map_err(Error::io(&self.path, "cannot be written"))?;
        self.has_more();
        Ok(())
    }

    /// Where bytes of a chunk belong. Whoever writes them there and has checked them calls
    /// `has_more`.
    pub fn place(&self, offset: u64) -> ChunkPlace {
        ChunkPlace { file: Arc::clone(&self.file), path: self.path.clone(), offset }
    }

    /// A chunk is there.
    pub fn has_more(&self) {
        self.has_chunks.store(true, Ordering::Relaxed);
    }

    /// Makes it the restored file. Durable once its directory is synced.
    pub fn rename_to(&self, path: &Path) -> Result<()> {
        fs::rename(&self.path, path)
            .map_err(Error::io(path, "cannot be replaced by the restored file"))
    }

    /// Removes it after a failure, unless the next restore can continue with it.
    pub fn discard_unless_useful(&self) {
        if !self.has_chunks.load(Ordering::Relaxed) {
            self.discard();
        }
    }

    pub fn discard(&self) {
        // An error: it is gone already, or the failure that is being reported prevents this too.
        fs::remove_file(&self.path).ok();
    }
}

/// Makes the names in a directory durable.
pub(in crate::client) fn sync_directory(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(Error::io(path, "cannot be synced"))
}

/// The path of the part file: the name of the restored file, shortened where the suffix would make
/// it too long, and the suffix.
pub(in crate::client) fn path_beside(restored_path: &Path) -> PathBuf {
    let name = restored_path.file_name().unwrap_or_default();
    let mut bytes = name.as_bytes().to_vec();
    if bytes.len() + SUFFIX.len() > MAX_NAME_BYTES {
        let unique = Sha256::of(&bytes).hex();
        bytes.truncate(MAX_NAME_BYTES - SUFFIX.len() - unique.len());
        bytes.extend_from_slice(unique.as_bytes());
    }
    bytes.extend_from_slice(SUFFIX.as_bytes());
    restored_path.with_file_name(std::ffi::OsString::from_vec(bytes))
}

/// **Errors**: `NotDone` if the file system has less free bytes than these.
fn require_room(path: &Path, bytes: u64) -> Result<()> {
    let dir = directory_of(path);
    // A file system that does not tell its room says so when it is full.
    let Ok(disk) = rustix::fs::statvfs(dir) else { return Ok(()) };
    let blocks = if rustix::process::geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
    let free_bytes = blocks.saturating_mul(disk.f_frsize);
    if disk.f_blocks == 0 || free_bytes >= bytes {
        return Ok(());
    }
    Err(Error::NotDone(format!(
        "the file system of {} has {free_bytes} bytes left, and {bytes} are needed; make room, or \
         restore to another place",
        dir.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_shortened_to_one_of_its_own() {
        assert_eq!(path_beside(Path::new("/d/f")), Path::new("/d/f.ratchet-part"));
        let long = |end: &str| PathBuf::from(format!("/d/{}{end}", "n".repeat(250)));
        let parts = [path_beside(&long("a")), path_beside(&long("b"))];
        assert_ne!(parts[0], parts[1]);
        assert_eq!(parts[0].file_name().unwrap().len(), MAX_NAME_BYTES);
    }

    #[test]
    fn only_a_range_that_was_written_has_data() {
        const MIB: u64 = 1 << 20;
        let directory = tempfile::tempdir().unwrap();
        let open = || PartFile::open(&directory.path().join("file"), 4 * MIB, None).unwrap();
        let has_data = |part: &PartFile| [0, 1, 2, 3].map(|at| part.has_data(at * MIB, MIB));
        let part = open();
        assert_eq!(has_data(&part), [false; 4]);
        part.file.write_all_at(b"the end of a chunk of zeros", 3 * MIB - 27).unwrap();
        assert_eq!(has_data(&part), [false, false, true, false]);
        drop(part);
        assert_eq!(has_data(&open()), [false, false, true, false]);
        open().file.write_all_at(&[0], 3 * MIB).unwrap();
        assert_eq!(has_data(&open()), [false, false, true, true]);
    }
}
