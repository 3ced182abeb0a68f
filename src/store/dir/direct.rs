//! Writes a body into its file without the page cache: direct I/O (open(2), `O_DIRECT`).
//!
//! Guarantees: two blocks of memory per body, for at most [`MAX_BODIES`] bodies; the blocks are
//! kept for reuse. Further bodies, file systems without direct I/O, and the rest of a body that is
//! no multiple of [`ALIGNMENT`] go through the page cache (`cached`;
//! docs/decisions/0011-direct-io-for-large-bodies.md). While one block is written the next is
//! filled.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::Result;
use super::buffers::{ALIGNMENT, Buffer, Buffers};
use super::disk::{join, require_room, set_direct, start_writeback};
use super::pending_file::PendingFile;

/// The size of one write; the next block is filled meanwhile
/// (docs/decisions/0011-direct-io-for-large-bodies.md).
const BLOCK_BYTES: usize = 1 << 20;

/// Bodies that are written directly at the same time.
const MAX_BODIES: usize = 8;

/// The smallest body that is written directly.
const MIN_BODY_BYTES: u64 = 4 << 20;

/// The memory of directly written bodies, and the limit of their number.
#[derive(Debug)]
pub(super) struct Blocks {
    permits: Arc<Semaphore>,
    buffers: Arc<Buffers>,
}

/// A file that is being written.
pub(super) struct Direct {
    file: Arc<PendingFile>,
    /// The next block.
    block: Buffer,
    /// How much of the next block is filled.
    block_bytes: usize,
    /// The file offset of the next block.
    block_offset: u64,
    write_in_flight: Option<JoinHandle<io::Result<Buffer>>>,
    buffers: Arc<Buffers>,
    permit: Arc<OwnedSemaphorePermit>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MAX_BODIES)),
            buffers: Buffers::new(BLOCK_BYTES, 2 * MAX_BODIES),
        }
    }
}

impl Blocks {
    /// Prepares an empty file for direct writes. None if the body is too small, no permit is free,
    /// or the file system has no direct I/O.
    pub fn begin(&self, file: &Arc<PendingFile>, len_bytes: u64) -> Option<Direct> {
        if len_bytes < MIN_BODY_BYTES {
            return None;
        }
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        set_direct(&file.file, true).ok()?;
        Some(Direct {
            file: Arc::clone(file),
            block: self.buffers.take(BLOCK_BYTES),
            block_bytes: 0,
            block_offset: 0,
            write_in_flight: None,
            buffers: Arc::clone(&self.buffers),
            permit: Arc::new(permit),
        })
    }
}

impl Direct {
    /// Takes the next bytes of the body.
    pub async fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (fits, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block_bytes));
            let end = self.block_bytes + fits.len();
            self.block.prefix_mut(end)[self.block_bytes..].copy_from_slice(fits);
            self.block_bytes = end;
            if end == BLOCK_BYTES {
                self.write().await?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Writes the rest of the body. Does not sync the file.
    pub async fn finish(mut self) -> Result<()> {
        if self.block_bytes > 0 {
            self.write().await?;
        }
        self.await_write().await?;
        Ok(())
    }

    /// Starts to write the block, once the block before it is written.
    async fn write(&mut self) -> Result<()> {
        let next = self.await_write().await?.unwrap_or_else(|| self.buffers.take(BLOCK_BYTES));
        let mut block = std::mem::replace(&mut self.block, next);
        let len_bytes = std::mem::take(&mut self.block_bytes);
        let (file, permit) = (Arc::clone(&self.file), Arc::clone(&self.permit));
        let offset = self.block_offset;
        self.block_offset += len_bytes as u64;
        self.write_in_flight = Some(spawn_blocking(move || {
            // Held until the block is written, even if the body's future is dropped.
            let _permit = permit;
            file.preallocate(offset + len_bytes as u64)?;
            write_block(&file.file, block.prefix_mut(len_bytes), offset)?;
            Ok(block)
        }));
        Ok(())
    }

    /// Waits for the write in flight, and returns its buffer.
    async fn await_write(&mut self) -> Result<Option<Buffer>> {
        let Some(write) = self.write_in_flight.take() else { return Ok(None) };
        Ok(Some(join("writing a file", write).await?))
    }
}

fn write_block(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    require_room(file, 0)?;
    let (aligned, rest) = bytes.split_at(bytes.len() - bytes.len() % ALIGNMENT);
    match file.write_all_at(aligned, offset) {
        // The disk requires a larger alignment than usual disks do.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            set_direct(file, false)?;
            file.write_all_at(aligned, offset)?;
            start_writeback(file, offset..offset + aligned.len() as u64);
        }
        written => written?,
    }
    if !rest.is_empty() {
        set_direct(file, false)?;
        file.write_all_at(rest, offset + aligned.len() as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // ext4, XFS, Btrfs and overlay have direct I/O; tmpfs since Linux 6.6.
    const HAS_DIRECT_IO: bool = cfg!(target_os = "linux");

    /// The content of a file that was written in frames of an odd size. None if it cannot be
    /// written directly.
    async fn written(blocks: &Blocks, bytes: &[u8]) -> Option<Vec<u8>> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = Arc::new(PendingFile::create(path.clone(), bytes.len() as u64).unwrap());
        let mut direct = blocks.begin(&file, bytes.len() as u64)?;
        for frame in bytes.chunks(200_001) {
            direct.push(frame).await.unwrap();
        }
        direct.finish().await.unwrap();
        Some(std::fs::read(&path).unwrap())
    }

    #[tokio::test]
    async fn a_body_of_any_length_is_written_completely() {
        let blocks = Blocks::default();
        let min = MIN_BODY_BYTES as usize;
        for len_bytes in [
            min,
            min + 1,
            min + ALIGNMENT,
            min + BLOCK_BYTES - 1,
            min + BLOCK_BYTES + ALIGNMENT + 7,
        ] {
            let bytes: Vec<u8> = (0..len_bytes).map(|at| (at * 7 % 251) as u8).collect();
            assert!(
                written(&blocks, &bytes).await == HAS_DIRECT_IO.then_some(bytes),
                "{len_bytes} bytes"
            );
        }
    }

    #[tokio::test]
    async fn a_bounded_number_of_bodies_is_written_directly_and_permits_are_released() {
        let (home, blocks) = (tempfile::tempdir().unwrap(), Blocks::default());
        let begin = |number: usize| {
            let path = home.path().join(number.to_string());
            let file = Arc::new(PendingFile::create(path, MIN_BODY_BYTES).unwrap());
            blocks.begin(&file, MIN_BODY_BYTES)
        };
        let small = Arc::new(PendingFile::create(home.path().join("small"), 1).unwrap());
        assert!(blocks.begin(&small, MIN_BODY_BYTES - 1).is_none());
        let begun: Vec<Direct> = (0..2 * MAX_BODIES).filter_map(begin).collect();
        assert_eq!(begun.len(), if HAS_DIRECT_IO { MAX_BODIES } else { 0 });
        drop(begun);
        assert_eq!(blocks.permits.available_permits(), MAX_BODIES);
    }

    #[test]
    fn a_write_that_direct_io_refuses_goes_through_the_page_cache() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = File::create(&path).unwrap();
        set_direct(&file, true).ok();
        // Not aligned: direct I/O refuses it with `InvalidInput` (ext4, XFS).
        write_block(&file, &[7; 2 * ALIGNMENT], 1).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[1..], [7; 2 * ALIGNMENT]);
    }
}
