//! Restores a backup to a file, by way of `<file>.ratchet-part`.
//!
//! Guarantees: the file gets its name only when it is complete and synced to disk; an interrupted
//! restore continues with the chunks that `<file>.ratchet-part` already has.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::byte_range::{bytes_to_restore, clip};
use super::{RestoreOptions, RestoreReport};
use crate::api::ProblemType;
use crate::client::{
    Error, Progress, Result, Target, Transport,
    remote::{CompleteBackup, complete_backups_of_key, no_complete_backup},
};
use crate::digest::Sha256;

/// Restores the newest backup whose object still exists. With a range the file gets only those
/// bytes.
pub async fn restore_to_file(
    transport: &Transport,
    target: &Target,
    path: &Path,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    for listed in complete_backups_of_key(transport, target).await? {
        let backup = CompleteBackup::load(transport, &listed).await?;
        let restore = FileRestore { transport, backup: &backup, path, options, progress };
        match restore.run().await {
            Err(error) if error.is_problem(ProblemType::ObjectChanged) => continue,
            Err(error) => return Err(error),
            Ok(()) => {
                return Ok(RestoreReport {
                    backup_id: backup.id().to_owned(),
                    bytes_read: progress.transferred(),
                    bytes_kept: progress.skipped(),
                });
            }
        }
    }
    Err(no_complete_backup(target))
}

/// The restore of one backup to one file.
struct FileRestore<'a> {
    transport: &'a Transport,
    backup: &'a CompleteBackup,
    path: &'a Path,
    options: RestoreOptions,
    progress: &'a Progress,
}

/// `<file>.ratchet-part`, which holds what was restored so far.
struct PartFile {
    file: Arc<File>,
    path: PathBuf,
}

impl FileRestore<'_> {
    async fn run(&self) -> Result<()> {
        let chunking = self.backup.chunking();
        let bytes = bytes_to_restore(self.options.range, chunking.size())?;
        self.progress.add_expected(bytes.end - bytes.start);
        if self.options.range.is_none() && is_restored(self.path, self.backup).await {
            self.backup.require_current(self.transport).await?;
            self.progress.add_skipped(chunking.size());
            return Ok(());
        }
        let part = PartFile::open(self.path, bytes.end - bytes.start)?;
        let (part, bytes) = (&part, &bytes);
        let restores = stream::iter(chunking.chunks_of(bytes))
            .map(|index| self.restore_chunk(part, index, bytes));
        let restores = restores.buffer_unordered(self.options.max_concurrent_chunks());
        restores.try_collect::<Vec<()>>().await?;
        part.file.sync_all().map_err(Error::io(&part.path, "cannot be synced"))?;
        std::fs::rename(&part.path, self.path)
            .map_err(Error::io(self.path, "cannot be replaced by the restored file"))
    }

    /// Writes what lies in the range of one chunk, unless the file has the chunk already.
    async fn restore_chunk(&self, part: &PartFile, index: u64, range: &Range<u64>) -> Result<()> {
        let chunking = self.backup.chunking();
        let offset = chunking.offset_of(index);
        let offset_in_part = offset.max(range.start) - range.start;
        if self.options.range.is_none()
            && let Some(checksum) = self.backup.checksum_of(index)
            && has_chunk(&part.file, offset_in_part, chunking.len_of(index), checksum).await
        {
            self.progress.add_skipped(chunking.len_of(index));
            return Ok(());
        }
        let chunk = self.backup.fetch(self.transport, index).await?;
        let bytes = clip(&chunk, offset, range);
        self.progress.add_transferred(bytes.len() as u64);
        let file = Arc::clone(&part.file);
        let write =
            tokio::task::spawn_blocking(move || file.write_all_at(&bytes, offset_in_part)).await;
        write
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(Error::io(&part.path, "cannot be written"))
    }
}

impl PartFile {
    /// Opens or creates the file and gives it its final length.
    fn open(restored_path: &Path, len: u64) -> Result<Self> {
        let mut path = restored_path.as_os_str().to_owned();
        path.push(".ratchet-part");
        let path = PathBuf::from(path);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(Error::io(&path, "cannot be opened"))?;
        // An earlier restore of a longer file must not leave its end in this one.
        file.set_len(len).map_err(Error::io(&path, "its length cannot be set"))?;
        Ok(Self { file: Arc::new(file), path })
    }
}

/// Whether the file is already the restored one: it has the right length and all chunks.
async fn is_restored(path: &Path, backup: &CompleteBackup) -> bool {
    let chunking = backup.chunking();
    let Ok(file) = File::open(path) else { return false };
    if !file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == chunking.size()) {
        return false;
    }
    let file = Arc::new(file);
    for (index, checksum) in backup.checksums() {
        let (offset, len) = (chunking.offset_of(index), chunking.len_of(index));
        if !has_chunk(&file, offset, len, checksum).await {
            return false;
        }
    }
    true
}

/// Whether the bytes at this place of the file have this checksum.
async fn has_chunk(file: &Arc<File>, offset: u64, len: u64, checksum: &Sha256) -> bool {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(Sha256::of(&bytes))
    });
    matches!(read.await, Ok(Some(found)) if found == *checksum)
}
