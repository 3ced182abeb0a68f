//! Bodies on their way into their files past the page cache: direct I/O (open(2), `O_DIRECT`).
//!
//! A backup is written once and seldom read: what the cache does for each of its pages costs a
//! fifth of an upload's CPU, and pushes out what others on the machine would read again.
//!
//! Guarantees: two blocks of memory per body, for [`PLACES`] bodies at most; the blocks stay once
//! they were wanted. Who finds no place, or a file system that refuses direct I/O, goes by way of
//! the cache (`cached`): so eight slow clients cost others the gain, and no more. While one block
//! is written the next is gathered. What is not a multiple of [`ALIGNMENT`] at a body's end goes by
//! way of the cache.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, spawn_blocking};

use super::super::Result;
use super::buffers::{ALIGNMENT, Buffer, Buffers};
use super::disk::{done, require_room, set_direct, start_writeback};
use super::pending_file::PendingFile;

/// What the disk gets at a time.
///
/// Tried in its place, eight bodies at a time on two cores: 512 KiB, a tenth more CPU and as long;
/// more than one block under way, no less time; nothing gathered while a block is written, 1.4
/// times as long.
const BLOCK_BYTES: usize = 1 << 20;

/// Bodies at a time.
const PLACES: usize = 8;

/// Less is soon gathered, and gains nothing by being written meanwhile.
const LEAST_BYTES: u64 = 4 << 20;

/// The memory for them.
#[derive(Debug)]
pub(super) struct Blocks {
    places: Arc<Semaphore>,
    buffers: Arc<Buffers>,
}

/// A file that is being written.
pub(super) struct Direct {
    file: Arc<PendingFile>,
    gathered: Buffer,
    gathered_bytes: usize,
    /// What was handed to the disk.
    given_bytes: u64,
    under_way: Option<JoinHandle<io::Result<Buffer>>>,
    buffers: Arc<Buffers>,
    place: Arc<OwnedSemaphorePermit>,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(PLACES)),
            buffers: Buffers::new(BLOCK_BYTES, 2 * PLACES),
        }
    }
}

impl Blocks {
    /// Has an empty file written directly. None where it cannot be, or is not worth it.
    pub fn begin(&self, file: &Arc<PendingFile>, len_bytes: u64) -> Option<Direct> {
        if len_bytes < LEAST_BYTES {
            return None;
        }
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        set_direct(&file.file, true).ok()?;
        Some(Direct {
            file: Arc::clone(file),
            gathered: self.buffers.take(BLOCK_BYTES),
            gathered_bytes: 0,
            given_bytes: 0,
            under_way: None,
            buffers: Arc::clone(&self.buffers),
            place: Arc::new(place),
        })
    }
}

impl Direct {
    /// Takes the next bytes in.
    pub async fn give(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (fits, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.gathered_bytes));
            let end = self.gathered_bytes + fits.len();
            self.gathered.first(end)[self.gathered_bytes..].copy_from_slice(fits);
            self.gathered_bytes = end;
            if end == BLOCK_BYTES {
                self.write().await?;
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Everything is written; nothing is synced.
    pub async fn finish(mut self) -> Result<()> {
        if self.gathered_bytes > 0 {
            self.write().await?;
        }
        self.written().await?;
        Ok(())
    }

    /// Hands what is gathered to the disk, once it has what came before.
    async fn write(&mut self) -> Result<()> {
        let next = self.written().await?.unwrap_or_else(|| self.buffers.take(BLOCK_BYTES));
        let mut block = std::mem::replace(&mut self.gathered, next);
        let len_bytes = std::mem::take(&mut self.gathered_bytes);
        let (file, place, at) = (Arc::clone(&self.file), Arc::clone(&self.place), self.given_bytes);
        self.given_bytes += len_bytes as u64;
        self.under_way = Some(spawn_blocking(move || {
            // Taken until the block is written, whoever still waits for it.
            let _place = place;
            file.preallocate(at + len_bytes as u64)?;
            write_block(&file.file, block.first(len_bytes), at)?;
            Ok(block)
        }));
        Ok(())
    }

    /// The block that was under way, if one was.
    async fn written(&mut self) -> Result<Option<Buffer>> {
        let Some(write) = self.under_way.take() else { return Ok(None) };
        Ok(Some(done("writing a file", write).await?))
    }
}

fn write_block(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    require_room(file, 0)?;
    let (aligned, rest) = bytes.split_at(bytes.len() - bytes.len() % ALIGNMENT);
    match file.write_all_at(aligned, at) {
        // A disk that wants more than usual disks do.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            set_direct(file, false)?;
            file.write_all_at(aligned, at)?;
            start_writeback(file, at..at + aligned.len() as u64);
        }
        written => written?,
    }
    if !rest.is_empty() {
        set_direct(file, false)?;
        file.write_all_at(rest, at + aligned.len() as u64)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // ext4, XFS, Btrfs and overlay can; tmpfs since Linux 6.6.
    const CAN: bool = cfg!(target_os = "linux");

    /// What is in a file after it was given in frames of an odd size. None where it cannot be
    /// written directly.
    async fn written(blocks: &Blocks, bytes: &[u8]) -> Option<Vec<u8>> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = Arc::new(PendingFile::create(path.clone(), bytes.len() as u64).unwrap());
        let mut direct = blocks.begin(&file, bytes.len() as u64)?;
        for frame in bytes.chunks(200_001) {
            direct.give(frame).await.unwrap();
        }
        direct.finish().await.unwrap();
        Some(std::fs::read(&path).unwrap())
    }

    #[tokio::test]
    async fn a_body_of_any_length_is_in_its_file_whole() {
        let blocks = Blocks::default();
        let least = LEAST_BYTES as usize;
        for len_bytes in [
            least,
            least + 1,
            least + ALIGNMENT,
            least + BLOCK_BYTES - 1,
            least + BLOCK_BYTES + ALIGNMENT + 7,
        ] {
            let bytes: Vec<u8> = (0..len_bytes).map(|at| (at * 7 % 251) as u8).collect();
            assert!(written(&blocks, &bytes).await == CAN.then_some(bytes), "{len_bytes} bytes");
        }
    }

    #[tokio::test]
    async fn so_many_have_a_place_and_it_is_free_again_when_they_end() {
        let (home, blocks) = (tempfile::tempdir().unwrap(), Blocks::default());
        let begin = |number: usize| {
            let path = home.path().join(number.to_string());
            blocks.begin(&Arc::new(PendingFile::create(path, LEAST_BYTES).unwrap()), LEAST_BYTES)
        };
        let small = Arc::new(PendingFile::create(home.path().join("small"), 1).unwrap());
        assert!(blocks.begin(&small, LEAST_BYTES - 1).is_none());
        let begun: Vec<Direct> = (0..2 * PLACES).filter_map(begin).collect();
        assert_eq!(begun.len(), if CAN { PLACES } else { 0 });
        drop(begun);
        assert_eq!(blocks.places.available_permits(), PLACES);
    }

    #[test]
    fn what_the_disk_does_not_take_directly_goes_by_way_of_the_cache() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = File::create(&path).unwrap();
        set_direct(&file, true).ok();
        // Not aligned: refused as `InvalidInput` where direct I/O is (ext4, XFS).
        write_block(&file, &[7; 2 * ALIGNMENT], 1).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[1..], [7; 2 * ALIGNMENT]);
    }
}
