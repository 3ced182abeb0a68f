//! Writes a body into its file through the page cache: small bodies, and those that cannot be
//! written with direct I/O (`direct`).
//!
//! Guarantees: frames are written as they came, without a copy. All bodies share bounded memory;
//! beyond it a body is written with what it has
//! (docs/decisions/0016-shared-memory-for-slow-clients.md).

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::super::Result;
use super::disk::{blocking, require_room, start_writeback};
use super::memory_budget::{MemoryBudget, Reservation};
use super::pending_file::PendingFile;

/// How much of a body is collected before it is written; as much again may arrive meanwhile
/// (docs/decisions/0012-size-of-writes-to-the-page-cache.md).
const WRITE_BYTES: usize = 128 << 10;

/// Writeback of a body starts with each multiple of this
/// (docs/decisions/0013-early-writeback.md).
const WRITEBACK_BYTES: u64 = 1 << 20;

/// A file that is being written.
pub(super) struct Cached {
    file: Arc<PendingFile>,
    batch: Batch,
    written_bytes: u64,
    budget: Arc<MemoryBudget>,
}

/// Frames that wait to be written together.
struct Batch {
    frames: Vec<Bytes>,
    len_bytes: usize,
    reservation: Reservation,
}

impl Cached {
    pub fn begin(file: &Arc<PendingFile>, budget: &Arc<MemoryBudget>) -> Self {
        let budget = Arc::clone(budget);
        Self { file: Arc::clone(file), batch: Batch::empty(&budget), written_bytes: 0, budget }
    }

    /// Takes the next bytes of the body.
    pub async fn push(&mut self, frame: Bytes) -> Result<()> {
        if self.batch.push(frame) { Ok(()) } else { self.write().await }
    }

    /// Writes the rest of the body. Does not sync the file.
    pub async fn finish(mut self) -> Result<()> {
        if self.batch.len_bytes > 0 { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<()> {
        let batch = std::mem::replace(&mut self.batch, Batch::empty(&self.budget));
        let (file, from) = (Arc::clone(&self.file), self.written_bytes);
        self.written_bytes += batch.len_bytes as u64;
        let to = self.written_bytes;
        blocking("writing a file", move || {
            file.preallocate(to)?;
            write_all(&file.file, batch.frames)?;
            start_writeback(&file.file, writeback_end(from)..writeback_end(to));
            // Not earlier: the frames are in memory until they are written, even if the body's
            // future is dropped.
            drop(batch.reservation);
            Ok(())
        })
        .await
    }
}

impl Batch {
    fn empty(budget: &Arc<MemoryBudget>) -> Self {
        Self { frames: Vec::new(), len_bytes: 0, reservation: budget.reservation() }
    }

    /// Adds a frame. Returns whether the batch can wait for another one.
    fn push(&mut self, frame: Bytes) -> bool {
        // The frame's handle counts too: it is larger than a frame of few bytes.
        let fits = self.reservation.try_grow(frame.len() + size_of::<Bytes>());
        self.len_bytes += frame.len();
        self.frames.push(frame);
        fits && self.len_bytes + self.frames.len() * size_of::<Bytes>() < WRITE_BYTES
    }
}

/// Where early writeback ends once so many bytes are written.
fn writeback_end(len_bytes: u64) -> u64 {
    len_bytes - len_bytes % WRITEBACK_BYTES
}

fn write_all(mut file: &File, mut frames: Vec<Bytes>) -> io::Result<()> {
    require_room(file, 0)?;
    let mut at = 0;
    while at < frames.len() {
        let slices: Vec<IoSlice<'_>> =
            frames[at..].iter().map(|frame| IoSlice::new(frame)).collect();
        let mut written = match file.write_vectored(&slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        while at < frames.len() && written >= frames[at].len() {
            written -= frames[at].len();
            at += 1;
        }
        if let Some(frame) = frames.get_mut(at) {
            frame.advance(written);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn begin(directory: &Path, number: usize, budget: &Arc<MemoryBudget>) -> Cached {
        let file = PendingFile::create(directory.join(number.to_string()), 1 << 20).unwrap();
        Cached::begin(&Arc::new(file), budget)
    }

    #[tokio::test]
    async fn all_bodies_together_hold_no_more_than_their_budget() {
        const BUDGET_BYTES: usize = 1 << 20;
        let (directory, budget) = (tempfile::tempdir().unwrap(), MemoryBudget::new(BUDGET_BYTES));
        let mut bodies: Vec<Cached> =
            (0..100).map(|number| begin(directory.path(), number, &budget)).collect();
        for _ in 0..4 {
            for body in &mut bodies {
                body.push(Bytes::from(vec![7; 16 << 10])).await.unwrap();
                assert!(body.batch.len_bytes + body.written_bytes as usize >= 16 << 10);
            }
            let held: usize = bodies.iter().map(|body| body.batch.len_bytes).sum();
            assert!(held <= BUDGET_BYTES);
        }
        assert!(bodies.iter().filter(|body| body.written_bytes > 0).count() >= 36);
        for body in bodies {
            body.finish().await.unwrap();
        }
        for number in 0..100 {
            assert!(
                std::fs::metadata(directory.path().join(number.to_string())).is_err(),
                "removed, as it was not kept"
            );
        }
        assert!(budget.reservation().try_grow(BUDGET_BYTES), "written frames are not reserved");
    }

    #[tokio::test]
    async fn frames_of_one_byte_count_with_their_handles() {
        let (directory, budget) = (tempfile::tempdir().unwrap(), MemoryBudget::new(16 << 20));
        let mut body = begin(directory.path(), 0, &budget);
        for _ in 0..10_000 {
            body.push(Bytes::from_static(b"x")).await.unwrap();
            assert!(body.batch.frames.len() < WRITE_BYTES / size_of::<Bytes>());
        }
        let file = Arc::clone(&body.file);
        body.finish().await.unwrap();
        assert_eq!(file.file.metadata().unwrap().len(), 10_000);
    }
}
