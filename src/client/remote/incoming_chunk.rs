//! A chunk while it comes: it is hashed, and written to its place in a file, by a thread beside the
//! one that receives it.
//!
//! Guarantees: no more than a few frames are in memory; two attempts never write at the same time.
//! It does not compare the digest.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::client::{Error, Result, transport::Receive};
use crate::digest::{RunningSha256, Sha256};

/// Frames that wait for their hash. One has at most a few hundred KiB.
const MAX_WAITING: usize = 4;

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
    running: Option<Running>,
}

struct Running {
    frames: mpsc::Sender<Bytes>,
    hashing: JoinHandle<std::io::Result<Sha256>>,
}

impl IncomingChunk {
    pub fn new(place: Option<ChunkPlace>) -> Self {
        Self { place, running: None }
    }

    /// The SHA-256 of what came since the last attempt began.
    pub async fn finish(&mut self) -> Result<Sha256> {
        let Some(Running { frames, hashing }) = self.running.take() else {
            return Ok(Sha256::of(b""));
        };
        drop(frames);
        let hashed = hashing.await.map_err(std::io::Error::other).flatten();
        hashed.map_err(|error| {
            let path = self.place.as_ref().map(|place| place.path.clone()).unwrap_or_default();
            Error::io(&path, "cannot be written")(error)
        })
    }
}

impl Receive for IncomingChunk {
    async fn begin(&mut self) -> Result<()> {
        // Before the next attempt writes to the same place.
        self.finish().await?;
        let (frames, waiting) = mpsc::channel(MAX_WAITING);
        let place = self.place.clone();
        let hashing = tokio::task::spawn_blocking(move || hash_and_write(waiting, place));
        self.running = Some(Running { frames, hashing });
        Ok(())
    }

    async fn take(&mut self, bytes: Bytes) -> Result<()> {
        let Some(running) = &self.running else { return Ok(()) };
        if running.frames.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The thread ended early, because it could not write.
        self.finish().await.map(drop)
    }
}

fn hash_and_write(
    mut frames: mpsc::Receiver<Bytes>,
    place: Option<ChunkPlace>,
) -> std::io::Result<Sha256> {
    let mut running = RunningSha256::default();
    let mut offset = place.as_ref().map_or(0, |place| place.offset);
    while let Some(bytes) = frames.blocking_recv() {
        running.update(&bytes);
        if let Some(place) = &place {
            place.file.write_all_at(&bytes, offset)?;
        }
        offset += bytes.len() as u64;
    }
    Ok(running.finish())
}
