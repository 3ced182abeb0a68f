//! One pass over the chunks of a backup: what is missing is sent, what is recorded is compared.
//!
//! Guarantees: neither waits for the other, so the line is not idle while a long file is read
//! again; what is compared takes no memory. A pass ends early where the backup turns out to be
//! another.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;

use super::Upload;
use crate::api::{ProblemType, StoredChunk};
use crate::client::{Error, Result, chunker::Chunker, transport::Call};
use crate::digest::{ChunkDigests, ChunkHasher, Sha256};

const MAX_ANSWER: usize = 1 << 20;

/// The backup as the gateway has it.
pub(super) struct Remote {
    pub id: String,
    /// Chunk index → checksum.
    pub recorded: BTreeMap<u64, Sha256>,
    pub digests: Mutex<BTreeMap<u64, ChunkDigests>>,
}

impl Remote {
    /// Keeps what a chunk read here hashes to.
    fn keep(&self, index: u64, digests: ChunkDigests) {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(index, digests);
    }
}

/// What one chunk of a pass came to.
pub(super) enum Put {
    Done,
    /// The records hold another file.
    Differs,
    /// Someone else has ended the backup.
    Ended,
}

impl Upload<'_> {
    /// Sends the chunks that are not recorded, and compares the others meanwhile.
    pub async fn send_file(
        &self,
        chunker: &Chunker,
        remote: &Remote,
        chunks: impl IntoIterator<Item = u64>,
    ) -> Result<Put> {
        let (known, missing): (Vec<_>, Vec<_>) =
            chunks.into_iter().partition(|index| remote.recorded.contains_key(index));
        let comparisons = stream::iter(known).map(|index| async move {
            let Some(len) = self.compare(remote, chunker, index).await? else {
                return Ok(Put::Differs);
            };
            self.progress.was_there(len);
            Ok(Put::Done)
        });
        let puts = stream::iter(missing).map(|index| async move {
            let bytes = chunker.read(index).await?;
            self.put(remote, index, bytes).await
        });
        let at_a_time = self.options.at_a_time();
        let mut puts = stream::select(
            comparisons.buffer_unordered(at_a_time),
            puts.buffer_unordered(at_a_time),
        );
        let mut ended = false;
        while let Some(put) = puts.try_next().await? {
            match put {
                Put::Done => {}
                Put::Differs => return Ok(Put::Differs),
                // The digests of all chunks are needed all the same.
                Put::Ended => ended = true,
            }
        }
        Ok(if ended { Put::Ended } else { Put::Done })
    }

    /// The length of a chunk whose bytes are those recorded; None where they differ.
    pub async fn compare(
        &self,
        remote: &Remote,
        chunker: &Chunker,
        index: u64,
    ) -> Result<Option<u64>> {
        let digests = chunker.digests(index, self.options.digest).await?;
        let (sha256, len) = (digests.sha256, digests.len_bytes);
        remote.keep(index, digests);
        Ok((remote.recorded.get(&index) == Some(&sha256)).then_some(len))
    }

    /// Sends a chunk, unless it is recorded.
    pub async fn put(&self, remote: &Remote, index: u64, bytes: Bytes) -> Result<Put> {
        let digests = self.digests(index, &bytes).await;
        let (sha256, len) = (digests.sha256, digests.len_bytes);
        remote.keep(index, digests);
        match remote.recorded.get(&index) {
            Some(recorded) if *recorded == sha256 => {
                self.progress.was_there(len);
                return Ok(Put::Done);
            }
            Some(_) => return Ok(Put::Differs),
            None => {}
        }
        let digest = format!("sha-256=:{}:", sha256.base64());
        let path = format!("/backups/{}/chunks/{index}", remote.id);
        let headers = vec![
            ("content-digest", digest),
            ("content-type", "application/octet-stream".to_owned()),
        ];
        let call = Call { method: Method::PUT, path, headers, body: bytes, sha256 };
        match self.transport.send(&call, MAX_ANSWER).await {
            Ok(answer) => {
                let _: StoredChunk = serde_json::from_slice(&answer.body).map_err(|_| {
                    Error::Stranger { url: self.transport.url().to_owned(), status: 200 }
                })?;
                self.progress.moved(len);
                Ok(Put::Done)
            }
            Err(error) if error.is(ProblemType::ChecksumConflict) => Ok(Put::Differs),
            Err(error) if error.is(ProblemType::NotOpen) => Ok(Put::Ended),
            Err(error) => Err(error),
        }
    }

    async fn digests(&self, index: u64, bytes: &Bytes) -> ChunkDigests {
        let (kind, offset, bytes) = (self.options.digest, index * self.chunk_size, bytes.clone());
        let hashed = tokio::task::spawn_blocking(move || {
            let mut hasher = ChunkHasher::new(Some(kind), offset);
            hasher.update(&bytes);
            hasher.finish()
        });
        hashed.await.expect("hashing does not panic, and the runtime waits for it")
    }
}
