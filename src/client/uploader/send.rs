//! Sends the chunks that are not recorded, and compares the others with their records.
//!
//! Guarantees: a chunk is sent only after the gateway was asked whether it has the bytes; sending
//! and comparing do not wait for each other, and a compared chunk is never in memory whole
//! (docs/decisions/0024-resume-sends-while-it-compares.md). Both end early if the recorded backup
//! is of other content.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::upload::Upload;
use crate::api::{ClaimChunks, ClaimedChunk, Claims, ProblemType, StoredChunk};
use crate::client::{
    Error, Result,
    remote::RemoteBackup,
    source::{Chunk, FileSource},
    transport::ApiRequest,
};
use crate::digest::{ChunkDigests, ChunkHasher, Kind, Sha256, Whole};

const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// Fewer bytes are sent as soon as it is asked whether they are known.
const MIN_CLAIMED_BYTES: u64 = 64 << 10;

/// The digests of the chunks that were read here, by index.
#[derive(Default)]
pub(super) struct LocalDigests(Mutex<BTreeMap<u64, ChunkDigests>>);

impl LocalDigests {
    fn insert(&self, index: u64, digests: ChunkDigests) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(index, digests);
    }

    /// Adds all chunks, in order, to the digest of the whole file.
    pub fn add_to(&self, whole: &mut Whole) -> Result<()> {
        for digests in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            whole.add(digests).map_err(|error| Error::NotDone(error.to_string()))?;
        }
        Ok(())
    }
}

/// What sending or comparing a chunk showed.
pub(super) enum ChunkOutcome {
    /// The gateway has recorded these bytes.
    Recorded,
    /// The gateway has recorded other bytes.
    ContentDiffers,
    /// The backup was ended by another client.
    BackupNotOpen,
}

impl Upload<'_> {
    /// Sends those of the chunks that are not recorded, and compares the others meanwhile.
    pub async fn send_missing(
        &self,
        source: &FileSource,
        remote: &RemoteBackup,
        local: &LocalDigests,
        chunks: impl IntoIterator<Item = u64>,
    ) -> Result<ChunkOutcome> {
        let (recorded, missing): (Vec<_>, Vec<_>) =
            chunks.into_iter().partition(|index| remote.checksum_of(*index).is_some());
        let comparisons = stream::iter(recorded).map(|index| async move {
            let Some(bytes) = self.compare(remote, local, source, index).await? else {
                return Ok(ChunkOutcome::ContentDiffers);
            };
            self.progress.add_resumed(bytes);
            Ok(ChunkOutcome::Recorded)
        });
        let sends = stream::iter(missing).map(|index| async move {
            let chunk = source.read(index).await?;
            self.send_chunk(remote, local, chunk).await
        });
        let max_concurrent = self.options.max_concurrent_chunks();
        let mut outcomes = stream::select(
            comparisons.buffer_unordered(max_concurrent),
            sends.buffer_unordered(max_concurrent),
        );
        let mut is_open = true;
        while let Some(outcome) = outcomes.try_next().await? {
            match outcome {
                ChunkOutcome::Recorded => {}
                ChunkOutcome::ContentDiffers => return Ok(ChunkOutcome::ContentDiffers),
                // The rest is read all the same: finalize needs the digest of every chunk.
                ChunkOutcome::BackupNotOpen => is_open = false,
            }
        }
        Ok(if is_open { ChunkOutcome::Recorded } else { ChunkOutcome::BackupNotOpen })
    }

    /// The length of a chunk whose local bytes are the recorded ones; None if they differ.
    pub async fn compare(
        &self,
        remote: &RemoteBackup,
        local: &LocalDigests,
        source: &FileSource,
        index: u64,
    ) -> Result<Option<u64>> {
        let digests = source.digests(index, self.options.digest).await?;
        let (sha256, len) = (digests.sha256, digests.len_bytes);
        local.insert(index, digests);
        Ok((remote.checksum_of(index) == Some(&sha256)).then_some(len))
    }

    /// Sends a chunk, unless it is recorded.
    pub async fn send_chunk(
        &self,
        remote: &RemoteBackup,
        local: &LocalDigests,
        chunk: Chunk,
    ) -> Result<ChunkOutcome> {
        let Chunk { index, offset, bytes } = chunk;
        let digests = hash(self.options.digest, offset, bytes.clone()).await;
        let (sha256, len) = (digests.sha256, digests.len_bytes);
        local.insert(index, digests);
        match remote.checksum_of(index) {
            Some(recorded) if *recorded == sha256 => {
                self.progress.add_resumed(len);
                return Ok(ChunkOutcome::Recorded);
            }
            Some(_) => return Ok(ChunkOutcome::ContentDiffers),
            None => {}
        }
        let sent = match self.is_known(remote, (index, &sha256, len)).await {
            Ok(true) => {
                self.progress.add_known(len);
                return Ok(ChunkOutcome::Recorded);
            }
            Ok(false) => self.put_chunk(remote, index, bytes, sha256).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => {
                self.progress.add_transferred(len);
                Ok(ChunkOutcome::Recorded)
            }
            Err(error) if error.is_problem(ProblemType::ChecksumConflict) => {
                Ok(ChunkOutcome::ContentDiffers)
            }
            Err(error) if error.is_problem(ProblemType::NotOpen) => Ok(ChunkOutcome::BackupNotOpen),
            Err(error) => Err(error),
        }
    }

    async fn put_chunk(
        &self,
        remote: &RemoteBackup,
        index: u64,
        bytes: Bytes,
        sha256: Sha256,
    ) -> Result<()> {
        let path = format!("/backups/{}/chunks/{index}", remote.id());
        let request = ApiRequest::put(path, bytes, sha256);
        let request = request.with_header("content-type", "application/octet-stream");
        let body = self.transport.send(&request, MAX_RESPONSE_BYTES).await?;
        self.transport.parse::<StoredChunk>(&body).map(drop)
    }

    /// Whether the gateway has the bytes of a chunk, perhaps in another object, so that it recorded
    /// them.
    async fn is_known(
        &self,
        remote: &RemoteBackup,
        (index, sha256, length): (u64, &Sha256, u64),
    ) -> Result<bool> {
        // A digest of another kind needs the bytes.
        if length < MIN_CLAIMED_BYTES || self.options.digest != Kind::Sha256Chunks {
            return Ok(false);
        }
        let claim = ClaimedChunk { index, checksum: sha256.to_string(), length };
        let path = format!("/backups/{}/claims", remote.id());
        let request = ApiRequest::post(&path, &ClaimChunks { chunks: vec![claim] });
        match self.transport.send_for_json::<Claims>(&request).await {
            Ok(claims) => Ok(claims.missing.is_empty()),
            // An older gateway.
            Err(error) if error.is_problem(ProblemType::NotFound) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Hashes a chunk on a thread that is allowed to block.
pub(super) async fn hash(kind: Kind, offset: u64, bytes: Bytes) -> ChunkDigests {
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hasher = ChunkHasher::new(Some(kind), offset);
        hasher.update(&bytes);
        hasher.finish()
    });
    hashing.await.expect("hashing does not panic, and the runtime waits for it")
}
