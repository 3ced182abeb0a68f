//! Restores a backup to a file, by way of `<file>.ratchet-part`.
//!
//! Guarantees: the file gets its name only when it is complete, has its attributes and is synced to
//! disk; an interrupted restore continues with the chunks that `<file>.ratchet-part` already has.

use std::fs::{self, File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::fs::OFlags;

use super::byte_range::{bytes_to_restore, clip};
use super::destination::directory_of;
use super::part_file::{PartFile, sync_directory};
use super::{RestoreOptions, RestoreReport};
use crate::client::{
    Error, Progress, Result, Target, Transport,
    attributes::{AttributeEntries, Attributes, Kept, apply_attributes},
    remote::{Current, MAX_LOOKS, PlainObject, Readable},
};
use crate::digest::{RunningSha256, Sha256};

/// How much of a file is read at once.
const READ_BYTES: usize = 256 << 10;

/// Restores the object of a key. With a range the file gets only those bytes.
pub(in crate::client) async fn restore_to_file(
    transport: &Transport,
    (found, entries): (&Current, &AttributeEntries),
    path: &Path,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let mut current = found.clone();
    let mut looks = 1;
    loop {
        let readable = current.open(transport).await?;
        let attributes = &current.attributes(transport, entries).await?;
        let target = &current.target;
        let restore = FileRestore {
            transport,
            target,
            readable: &readable,
            attributes,
            path,
            options,
            progress,
        };
        let (part, outcome) = restore.run().await;
        let error = match outcome {
            Ok(kept) => return Ok(restore.report(kept)),
            Err(error) => error,
        };
        let looks_again = error.is_object_changed() && looks < MAX_LOOKS;
        if let Some(part) = part.filter(|_| !looks_again) {
            // No checksum says which bytes of a range, or of a plain object, are there.
            match (options.range, readable.plain()) {
                (None, None) => part.discard_unless_useful(),
                _ => part.discard(),
            }
        }
        if !looks_again {
            return Err(error);
        }
        looks += 1;
        current = Current::find(transport, &current.target).await?;
    }
}

/// The restore of one object to one file.
struct FileRestore<'a> {
    transport: &'a Transport,
    target: &'a Target,
    readable: &'a Readable,
    attributes: &'a Attributes,
    path: &'a Path,
    options: RestoreOptions,
    progress: &'a Progress,
}

impl FileRestore<'_> {
    fn report(&self, kept: Kept) -> RestoreReport {
        RestoreReport {
            backup_id: self.readable.backup_id(),
            checked_by: self.readable.checked_by(),
            unchecked: self.readable.is_unchecked(),
            bytes_read: self.progress.transferred(),
            bytes_kept: self.progress.skipped(),
            kept,
        }
    }

    /// Restores. After a failure the part file is returned too, if it was opened.
    async fn run(&self) -> (Option<PartFile>, Result<Kept>) {
        let chunking = self.readable.chunking();
        let bytes = match bytes_to_restore(self.options.range, chunking.size()) {
            Ok(bytes) => bytes,
            Err(error) => return (None, Err(error)),
        };
        self.progress.add_expected(bytes.end - bytes.start);
        if self.options.range.is_none() && is_restored(self.path, self.readable).await {
            return (None, self.keep_restored().await);
        }
        if fs::symlink_metadata(self.path).is_ok_and(|meta| meta.is_dir()) {
            let text =
                format!("{} is a directory, which a file cannot replace", self.path.display());
            return (None, Err(Error::NotDone(text)));
        }
        let part = match PartFile::open(self.path, bytes.end - bytes.start, self.mode()) {
            Ok(part) => part,
            Err(error) => return (None, Err(error)),
        };
        let outcome = self.fill(&part, &bytes).await;
        (Some(part), outcome)
    }

    /// The file has all bytes already; it may lack attributes.
    async fn keep_restored(&self) -> Result<Kept> {
        self.readable.require_current(self.transport, self.target).await?;
        self.progress.add_known(self.readable.chunking().size());
        Ok(apply_attributes(self.path, self.attributes))
    }

    /// Writes the missing chunks and gives the file its name.
    async fn fill(&self, part: &PartFile, bytes: &Range<u64>) -> Result<Kept> {
        let chunks = self.readable.chunking().chunks_of(bytes);
        let restores = stream::iter(chunks).map(|index| self.restore_chunk(part, index, bytes));
        let restores = restores.buffer_unordered(self.options.max_concurrent_chunks());
        restores.try_collect::<Vec<()>>().await?;
        if bytes.is_empty() {
            self.readable.require_current(self.transport, self.target).await?;
        }
        if let (None, Some(plain)) = (self.options.range, self.readable.plain()) {
            check(&part.file, plain).await.map_err(Error::io(&part.path, "cannot be read"))??;
        }
        tokio::task::block_in_place(|| self.finish(part))
    }

    /// Makes the part file the restored one.
    fn finish(&self, part: &PartFile) -> Result<Kept> {
        let kept = match self.options.range {
            None => self.give_attributes(part)?,
            Some(_) => Kept::default(),
        };
        part.file.sync_all().map_err(Error::io(&part.path, "cannot be synced"))?;
        part.rename_to(self.path)?;
        if !self.options.is_in_tree {
            sync_directory(directory_of(self.path))?;
        }
        Ok(kept)
    }

    /// Gives the file what the backup recorded. If it recorded no mode, the file keeps the mode of
    /// the one that it replaces.
    fn give_attributes(&self, part: &PartFile) -> Result<Kept> {
        if let (None, Some(mode)) = (self.attributes.mode, self.mode()) {
            let mode = fs::Permissions::from_mode(mode & 0o777);
            fs::set_permissions(&part.path, mode)
                .map_err(Error::io(&part.path, "its mode cannot be set"))?;
        }
        Ok(apply_attributes(&part.path, self.attributes))
    }

    /// The mode that the file will have, if it is known yet.
    fn mode(&self) -> Option<u32> {
        let replaced = || {
            let meta = fs::symlink_metadata(self.path).ok().filter(|meta| meta.is_file())?;
            Some(meta.permissions().mode())
        };
        self.attributes.mode.or_else(replaced)
    }

    /// Writes what lies in the range of one chunk, unless the file has the chunk already.
    async fn restore_chunk(&self, part: &PartFile, index: u64, range: &Range<u64>) -> Result<()> {
        let chunking = self.readable.chunking();
        let offset = chunking.offset_of(index);
        let (offset_in_part, len) = (offset.max(range.start) - range.start, chunking.len_of(index));
        // A new file is one hole, and to read and hash the zeros takes longer than to write them.
        if self.options.range.is_none()
            && let Some(checksum) = self.readable.checksum_of(index)
            && part.has_data(offset_in_part, len)
            && has_chunk(&part.file, offset_in_part, len, checksum).await
        {
            self.progress.add_resumed(len);
            return Ok(());
        }
        if let (None, Readable::Backup(backup)) = (self.options.range, self.readable) {
            let place = part.place(offset_in_part);
            backup.read(self.transport, index, Some(place), None).await?;
            part.has_more();
            self.progress.add_transferred(len);
            return Ok(());
        }
        let chunk = self.readable.fetch(self.transport, index).await?;
        let bytes = clip(&chunk, offset, range);
        self.progress.add_transferred(bytes.len() as u64);
        part.write(bytes, offset_in_part).await
    }
}

/// Whether the file is already the restored one: it has the right length and all chunks.
async fn is_restored(path: &Path, readable: &Readable) -> bool {
    let chunking = readable.chunking();
    // A link or a FIFO that lies in the way is replaced, not read.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else {
        return false;
    };
    if !file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == chunking.size()) {
        return false;
    }
    let file = Arc::new(file);
    if let Some(plain) = readable.plain() {
        return plain.check().tells_apart() && matches!(check(&file, plain).await, Ok(Ok(())));
    }
    for index in 0..chunking.count() {
        let (offset, len) = (chunking.offset_of(index), chunking.len_of(index));
        let Some(checksum) = readable.checksum_of(index) else { return false };
        if !has_chunk(&file, offset, len, checksum).await {
            return false;
        }
    }
    true
}

/// Reads a whole file and compares it with the checksum of the object.
async fn check(file: &Arc<File>, plain: &PlainObject) -> std::io::Result<Result<()>> {
    let (file, mut checking) = (Arc::clone(file), plain.check().start());
    let read = tokio::task::spawn_blocking(move || {
        let (mut bytes, mut offset) = (vec![0; READ_BYTES], 0);
        loop {
            match file.read_at(&mut bytes, offset)? {
                0 => return Ok::<_, std::io::Error>(checking),
                len => {
                    checking.update(&bytes[..len]);
                    offset += len as u64;
                }
            }
        }
    });
    let checking = read.await.map_err(std::io::Error::other).flatten()?;
    Ok(plain.require(checking))
}

/// Whether the bytes at this place of the file have this checksum.
async fn has_chunk(file: &Arc<File>, offset: u64, len: u64, checksum: &Sha256) -> bool {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let (mut bytes, mut running) = (vec![0; READ_BYTES], RunningSha256::default());
        for at in (0..len).step_by(READ_BYTES) {
            let read = READ_BYTES.min(usize::try_from(len - at).unwrap_or(READ_BYTES));
            file.read_exact_at(&mut bytes[..read], offset + at)?;
            running.update(&bytes[..read]);
        }
        Ok::<_, std::io::Error>(running.finish())
    });
    matches!(read.await, Ok(Ok(found)) if found == *checksum)
}
