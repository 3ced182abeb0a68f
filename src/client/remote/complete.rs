//! A complete backup, whose chunks can be read.
//!
//! Guarantees: a chunk is returned only if its SHA-256 is the recorded one.

use std::time::Duration;

use bytes::Bytes;

use super::incoming_chunk::{ChunkPlace, IncomingChunk};
use super::{RemoteBackup, current_etag, path_of};
use crate::api::Summary;
use crate::client::{Error, Result, Target, Transport, chunking::Chunking, transport::ApiRequest};
use crate::digest::Sha256;

/// How often a chunk is requested at most while it is received with a wrong checksum.
const MAX_READS: u32 = 3;

/// A complete backup and how its file is divided into chunks.
pub(in crate::client) struct CompleteBackup {
    remote: RemoteBackup,
    chunking: Chunking,
}

impl CompleteBackup {
    /// As `open`. **Errors**: `NotDone` in place of None.
    pub async fn load(transport: &Transport, listed: &Summary) -> Result<Self> {
        Self::open(transport, listed).await?.ok_or_else(|| {
            let id = &listed.backup_id;
            Error::NotDone(format!("the manifest of backup {id} does not have all chunks"))
        })
    }

    /// Loads the manifest of a listed backup. None if it is not complete, or does not have all
    /// chunks, or not all of them have the same length, which parts of S3 uploads need not have.
    pub async fn open(transport: &Transport, listed: &Summary) -> Result<Option<Self>> {
        let remote = match RemoteBackup::of_listed(listed) {
            Some(remote) => remote,
            None => RemoteBackup::load(transport, listed).await?,
        };
        let Some(object) = &remote.summary.object else { return Ok(None) };
        let chunking = Chunking::new(object.size, remote.summary.chunk_size);
        let all = remote.checksums.keys().copied().eq(0..chunking.count());
        Ok((all && !remote.is_uneven).then_some(Self { remote, chunking }))
    }

    pub fn id(&self) -> &str {
        self.remote.id()
    }

    pub fn chunking(&self) -> Chunking {
        self.chunking
    }

    /// The indexes and checksums of all chunks, in order.
    pub fn checksums(&self) -> impl ExactSizeIterator<Item = (u64, &Sha256)> {
        self.remote.checksums.iter().map(|(index, checksum)| (*index, checksum))
    }

    pub fn checksum_of(&self, index: u64) -> Option<&Sha256> {
        self.remote.checksum_of(index)
    }

    /// **Errors**: `ObjectChanged` if the object is not this backup's any more. The order of the
    /// list does not tell: two backups may have been completed in the same second, and the object
    /// may have been removed.
    pub async fn require_current(&self, transport: &Transport, target: &Target) -> Result<()> {
        let recorded = self.remote.summary.object.as_ref().map(|object| &object.etag);
        if current_etag(transport, target).await?.as_ref() == recorded {
            return Ok(());
        }
        Err(Error::ObjectChanged(target.to_string()))
    }

    /// Reads all chunks. For what is small.
    pub async fn fetch_all(&self, transport: &Transport) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for index in 0..self.chunking.count() {
            bytes.extend_from_slice(&self.fetch(transport, index).await?);
        }
        Ok(bytes)
    }

    /// What the backup is of.
    pub fn target(&self) -> Target {
        let Summary { bucket, key, .. } = &self.remote.summary;
        Target { bucket: bucket.clone(), key: key.clone() }
    }

    pub fn summary(&self) -> &Summary {
        &self.remote.summary
    }

    /// Reads one chunk into memory and checks it. **Errors**: `CorruptChunk`, `UnreadableChunk`.
    pub async fn fetch(&self, transport: &Transport, index: u64) -> Result<Bytes> {
        let mut reads = 1;
        loop {
            let (request, max_bytes) = self.request(index, None);
            let bytes = transport.send(&request, max_bytes).await;
            let bytes = bytes.map_err(|error| self.of_chunk(index, error))?;
            if self.is_as_recorded(index, Sha256::of(&bytes), &mut reads)? {
                return Ok(bytes);
            }
        }
    }

    /// Reads one chunk and checks it, and writes it to its place meanwhile. What the gateway
    /// refuses is asked for again only for `max_refused`, if that is given. **Errors**: as for
    /// `fetch`; then the place may have other bytes.
    pub async fn read(
        &self,
        transport: &Transport,
        index: u64,
        place: Option<ChunkPlace>,
        max_refused: Option<Duration>,
    ) -> Result<()> {
        let mut incoming = IncomingChunk::new(place);
        let mut reads = 1;
        loop {
            let (request, max_bytes) = self.request(index, max_refused);
            let received = transport.send_into(&request, max_bytes, &mut incoming).await;
            // In either case the thread that writes must have ended.
            let sha256 = incoming.finish().await;
            received.map_err(|error| self.of_chunk(index, error))?;
            if self.is_as_recorded(index, sha256?, &mut reads)? {
                return Ok(());
            }
        }
    }

    fn request(&self, index: u64, max_refused: Option<Duration>) -> (ApiRequest, usize) {
        let request = ApiRequest::get(path_of(self.summary(), &format!("/chunks/{index}")));
        let len = self.chunking.len_of(index);
        let max_bytes = usize::try_from(len).unwrap_or(usize::MAX);
        (ApiRequest { max_refused, ..request.expecting(len) }, max_bytes)
    }

    /// Compares what was received. A chunk with a wrong checksum is requested again, because it may
    /// have been damaged on the way. **Errors**: `CorruptChunk` after the last of these reads.
    fn is_as_recorded(&self, index: u64, received: Sha256, reads: &mut u32) -> Result<bool> {
        let recorded = self.checksum_of(index);
        if recorded == Some(&received) {
            return Ok(true);
        }
        if *reads == MAX_READS || recorded.is_none() {
            let recorded = recorded.map_or_else(|| "no such chunk".to_owned(), ToString::to_string);
            let (target, received) = (self.target(), received.to_string());
            return Err(Error::CorruptChunk { target, index, received, recorded });
        }
        *reads += 1;
        Ok(false)
    }

    /// The error with the chunk's name, if it is this chunk's alone.
    fn of_chunk(&self, index: u64, error: Error) -> Error {
        let is_of_chunk = matches!(error, Error::BrokenOff { .. } | Error::NotChunkApi { .. })
            || matches!(&error, Error::Problem(problem) if problem.status >= 500);
        if !is_of_chunk {
            return error;
        }
        Error::UnreadableChunk { target: self.target(), index, source: Box::new(error) }
    }
}
