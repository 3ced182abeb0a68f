//! A chunk while it comes: it is hashed, and written to its place in a file.
//!
//! Guarantees: no more than a few frames are in memory; two attempts never write at the same time.
//! It does not compare the digest. Where the processor hashes two chunks at once, the task that
//! receives them does so; everything else is done by a thread for each chunk
//! (docs/decisions/0030-a-restore-hashes-two-chunks-at-once.md).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::{Error, Result, transport::Receive};
use crate::digest::batch::BodyHasher;
use crate::digest::{DigestSet, Hasher, RunningSha256, Sha256};

/// Frames that wait for the thread. One has at most a few hundred KiB.
const MAX_WAITING: usize = 4;

const SHA256: DigestSet = DigestSet { sha256: true, md5: false };

/// Where the bytes of a chunk belong.
#[derive(Clone, Debug)]
pub(in crate::client) struct ChunkPlace {
    pub file: Arc<File>,
    pub path: PathBuf,
    pub offset: u64,
}

pub(super) struct IncomingChunk {
    /// None: it is hashed only.
    place: Option<ChunkPlace>,
    hashed_by: HashedBy,
    hasher: BodyHasher,
    thread: Option<Thread>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HashedBy {
    Task,
    Thread,
}

struct Thread {
    frames: mpsc::Sender<Bytes>,
    /// Returns the SHA-256 if it was to hash.
    running: JoinHandle<std::io::Result<Option<Sha256>>>,
}

impl IncomingChunk {
    pub fn new(place: Option<ChunkPlace>) -> Self {
        let is_batched = Hasher::new(SHA256).benefits_from_batching();
        Self::hashed_by(if is_batched { HashedBy::Task } else { HashedBy::Thread }, place)
    }

    fn hashed_by(hashed_by: HashedBy, place: Option<ChunkPlace>) -> Self {
        Self { place, hashed_by, hasher: BodyHasher::new(SHA256), thread: None }
    }

    /// The SHA-256 of what came since the last attempt began.
    pub async fn finish(&mut self) -> Result<Sha256> {
        if let Some(sha256) = self.end_thread().await? {
            return Ok(sha256);
        }
        self.hasher.idle().await;
        let mut hasher = std::mem::replace(&mut self.hasher, BodyHasher::new(SHA256));
        Ok(hasher.finish().sha256.expect("it was made to compute it"))
    }

    /// Waits until the thread has done what it was given. Returns the SHA-256 if it was to hash.
    async fn end_thread(&mut self) -> Result<Option<Sha256>> {
        let Some(Thread { frames, running }) = self.thread.take() else { return Ok(None) };
        drop(frames);
        let ended = running.await.map_err(std::io::Error::other).flatten();
        ended.map_err(|error| {
            let path = self.place.as_ref().map(|place| place.path.clone()).unwrap_or_default();
            Error::io(&path, "cannot be written")(error)
        })
    }
}

impl Receive for IncomingChunk {
    async fn begin(&mut self) -> Result<()> {
        // Before the next attempt writes to the same place.
        self.end_thread().await?;
        self.hasher = BodyHasher::new(SHA256);
        let hashes = self.hashed_by == HashedBy::Thread;
        if hashes || self.place.is_some() {
            let (frames, waiting) = mpsc::channel(MAX_WAITING);
            let (place, hash) = (self.place.clone(), hashes.then(RunningSha256::default));
            let running = tokio::task::spawn_blocking(move || hash_and_write(waiting, place, hash));
            self.thread = Some(Thread { frames, running });
        }
        Ok(())
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        if self.hashed_by == HashedBy::Task {
            // The frame before waited for one of another chunk while this one came.
            self.hasher.idle().await;
            self.hasher.push(&bytes);
        }
        let Some(thread) = &self.thread else { return Ok(()) };
        if thread.frames.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The thread ended early, because it could not write.
        self.end_thread().await.map(drop)
    }
}

fn hash_and_write(
    mut frames: mpsc::Receiver<Bytes>,
    place: Option<ChunkPlace>,
    mut hash: Option<RunningSha256>,
) -> std::io::Result<Option<Sha256>> {
    let mut offset = place.as_ref().map_or(0, |place| place.offset);
    while let Some(bytes) = frames.blocking_recv() {
        hash.iter_mut().for_each(|hash| hash.update(&bytes));
        if let Some(place) = &place {
            place.file.write_all_at(&bytes, offset)?;
        }
        offset += bytes.len() as u64;
    }
    Ok(hash.map(RunningSha256::finish))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(seed: u8) -> Vec<Bytes> {
        (0..9_u8).map(|at| Bytes::from(vec![seed ^ at; 20_000 + usize::from(at)])).collect()
    }

    async fn receive(chunk: &mut IncomingChunk, frames: &[Bytes]) {
        chunk.begin().await.unwrap();
        for frame in frames {
            chunk.take(frame.clone()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn only_the_last_attempt_counts_whoever_hashes() {
        for hashed_by in [HashedBy::Task, HashedBy::Thread] {
            let file = Arc::new(tempfile::tempfile().unwrap());
            let place = ChunkPlace { file: Arc::clone(&file), path: PathBuf::new(), offset: 7 };
            let mut written = IncomingChunk::hashed_by(hashed_by, Some(place));
            let mut hashed = IncomingChunk::hashed_by(hashed_by, None);
            for seed in [1, 2] {
                let (all, others) = (frames(seed), frames(seed + 16));
                // An attempt that breaks off.
                receive(&mut written, &others[..5]).await;
                tokio::join!(receive(&mut written, &all), receive(&mut hashed, &others));
                assert_eq!(written.finish().await.unwrap(), Sha256::of(&all.concat()));
                assert_eq!(hashed.finish().await.unwrap(), Sha256::of(&others.concat()));
                let mut found = vec![0; all.concat().len()];
                file.read_exact_at(&mut found, 7).unwrap();
                assert_eq!(found, all.concat());
            }
            // A request that was given up before an attempt began.
            assert_eq!(written.finish().await.unwrap(), Sha256::of(b""));
        }
    }
}
