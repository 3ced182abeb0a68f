//! Receives one chunk: admits it, verifies it while it streams, stores and records it.
//!
//! Guarantees: a chunk whose length or SHA-256 is wrong changes nothing, not even the bytes that
//! the store had (docs/architecture.md#bad-bytes-never-replace-good-ones); success means durable
//! and recorded; a chunk that is known already is answered before its body is read. It holds one
//! frame of the body, never the whole body. Source: docs/architecture.md#putchunk,
//! docs/architecture.md#known-chunks.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::digest::{
    Algorithm, Checksum, ChecksumHasher, ChunkDigests, ContributionHasher, Sha256,
};
use crate::store::{
    self, Body, ETag, PartNumber, PartOptions, PartTag, PartTarget, PutOptions, UploadTarget,
};

use super::super::error::{Error, Kind, Result};
use super::super::manifest::{Change, Outcome, PartFacts, Policy, Record};
use super::super::plan::{self, ChunkIndex, LenRule, Shape, Slot};
use super::super::session::{Session, upload_of};
use super::body::ClientChunk;
use super::gate::{Announced, Decision, Passage, Way};
use super::inflight::OngoingPut;
use super::whole_sha256::Feed;

/// Whether the body of a chunk must be sent.
#[derive(Debug)]
pub enum Admission {
    /// The same bytes are durable and recorded: respond with success, leave the body unread.
    Known,
    /// The body is needed, and may be stored with this permit.
    Wanted(PutPermit),
}

/// Permission to store one chunk.
#[derive(Debug)]
pub struct PutPermit {
    pub(super) session: Session,
    pub(super) index: ChunkIndex,
    /// None: the S3 client declared none, so any bytes are accepted.
    pub(super) sha256: Option<Sha256>,
    pub(super) len_bytes: u64,
    pub(super) way: Way,
    /// A checksum to compute and to record, in the algorithm of an S3 client.
    pub(super) checksum: Option<Algorithm>,
    /// As of `Record`.
    known: bool,
}

/// A chunk that is durable and recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOutcome {
    pub stored: Stored,
    pub sha256: Sha256,
    /// The ETag of its part; None where the chunk is staged.
    pub etag: Option<ETag>,
    /// The checksum that was computed of a part in the algorithm of the object's checksum, because
    /// the client sent none.
    pub checksum: Option<Checksum>,
    /// What another request has recorded of the chunk meanwhile; then the body was not stored.
    pub record: Option<Record>,
}

/// Whether a chunk was stored by this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    New,
    Known,
}

impl Session {
    /// Decides whether the body of a chunk is needed, before any byte of it is read: from memory,
    /// or after two conditional reads. **Errors**: `NoSuchChunk`,
    /// `ChunkSizeMismatch`, `ChecksumConflict`, `NotOpen`.
    pub async fn admit(&self, index: u64, sha256: Sha256, len_bytes: u64) -> Result<Admission> {
        let rule = self.len_rule(index).await?;
        let chunk = u32::try_from(index).ok().zip(rule);
        let (chunk, rule) = chunk.ok_or_else(|| Error::NoSuchChunk(index))?;
        if !rule.allows(len_bytes) {
            return Err(Error::ChunkSizeMismatch {
                index,
                wanted: rule.to_string(),
                offered: len_bytes,
            });
        }
        let (root, segment) =
            tokio::try_join!(self.fresh_root(), self.segment(plan::segment_of(chunk)))?;
        if !root.is_open() {
            return Err(Self::not_open(&root));
        }
        match segment.chunks.get(&chunk) {
            Some(record) if record.is_of(&sha256) => {
                self.require_open_after(plan::segment_of(chunk)).await?;
                Ok(Admission::Known)
            }
            Some(record) if record.digests.sha256 != sha256 && root.policy == Policy::FirstWins => {
                Err(Error::ChecksumConflict {
                    index,
                    stored: record.digests.sha256,
                    offered: sha256,
                })
            }
            Some(_) | None => Ok(Admission::Wanted(self.permit(chunk, Some(sha256), len_bytes))),
        }
    }
}

impl Session {
    pub(in crate::upload) fn permit(
        &self,
        index: ChunkIndex,
        sha256: Option<Sha256>,
        len_bytes: u64,
    ) -> PutPermit {
        let (session, way) = (self.clone(), Way::Own);
        PutPermit { session, index, sha256, len_bytes, way, checksum: None, known: false }
            .with_checksum_of_client(None)
    }

    /// The length that a chunk must have. Chunks that the chunk API adds to an S3 session are at
    /// most as long as its first part (docs/architecture.md#chunk-size-of-an-s3-session).
    async fn len_rule(&self, index: u64) -> Result<Option<LenRule>> {
        let plan = self.root().plan;
        if plan.shape == Shape::Chunks || index == 0 {
            return Ok(plan.chunk_len(index));
        }
        let first = self.segment(0).await?.stored(0).map(|record| record.digests.len_bytes);
        Ok(plan.chunk_len(index).map(|rule| first.map_or(rule, LenRule::UpTo)))
    }
}

impl PutPermit {
    /// The client sends a checksum in this algorithm, which need not be computed once more.
    pub(in crate::upload) fn with_checksum_of_client(self, sent: Option<Algorithm>) -> Self {
        let root = self.session.root();
        let checksum = root.s3.as_ref().and_then(|s3| s3.missing_checksum(sent));
        Self { checksum, ..self }
    }

    /// For bytes that are read from the store: no client sends them.
    #[must_use]
    pub fn of_known_bytes(self) -> Self {
        Self { known: true, ..self }
    }

    pub(in crate::upload) fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// The session that records the chunk.
    fn recorder(&self) -> &Session {
        match &self.way {
            Way::Alias(alias) => alias,
            Way::Own | Way::Compare(_) => &self.session,
        }
    }

    /// Stores and records the chunk. `body` must have exactly the admitted length; its length and
    /// SHA-256 are verified here. **Durability**: on success bytes and record are durable.
    /// **Cancel**: the put continues in a task of its own. It ends when its body ends early, or,
    /// once all bytes are received, when the chunk is recorded. **Errors**: `ChecksumMismatch`,
    /// `ChunkSizeMismatch`, `BodyBroken`, `ChecksumConflict`, `NotOpen`, `Store…`.
    pub async fn store(self, body: Body) -> Result<Stored> {
        self.store_part(body, || None).await.map(|outcome| outcome.stored)
    }

    /// As `store`. `checksum` is called once the body was read and returns the client's own
    /// checksum, which is recorded.
    pub async fn store_part(
        self,
        body: Body,
        checksum: impl FnOnce() -> Option<Checksum> + Send + 'static,
    ) -> Result<PutOutcome> {
        let (tx, rx) = oneshot::channel();
        // A task of its own: the chunk is recorded even if its client disconnects after the last
        // byte.
        tokio::spawn(async move {
            let (session, way) = (self.session.clone(), self.way.clone());
            let outcome = self.put(body, checksum).await;
            if tx.send(outcome.map_err(|error| way.error_of_client(error))).is_err()
                && let Err(error) = session.client_disconnected().await
            {
                tracing::debug!(backup = session.root().backup_id.as_str(), %error, "the disconnect of a client is not recorded");
            }
        });
        rx.await.unwrap_or_else(|_| {
            let what = "the gateway stopped before the chunk was stored".to_owned();
            Err(Error::Batch { kind: Kind::StoreUnavailable, what, retry_after: None })
        })
    }

    async fn put(
        self,
        body: Body,
        checksum: impl FnOnce() -> Option<Checksum> + Send,
    ) -> Result<PutOutcome> {
        let session = self.session.clone();
        if let Way::Compare(maker) = &self.way {
            return self.compare(maker, body, checksum).await;
        }
        let guard = loop {
            match session.0.in_flight.acquire(self.index, self.sha256).await {
                Some(guard) => break guard,
                // Another put of this chunk has ended, with the same or with other bytes.
                None => {
                    session.current_segment(plan::segment_of(self.index)).await?;
                    let root = session.fresh_root().await?;
                    if !root.is_open() {
                        return Err(Session::refused(&root));
                    }
                    let own = matches!(self.way, Way::Own);
                    let Some(sha256) = self.sha256.filter(|_| own) else { continue };
                    match session.admit(u64::from(self.index), sha256, self.len_bytes).await? {
                        Admission::Known => return self.recorded_by_another(sha256, body).await,
                        Admission::Wanted(_) => {}
                    }
                }
            }
        };
        let replaced =
            || store::Error::new(store::Kind::Body, "a newer request sends the same chunk");
        let (etag, digests, (feed, computed), passage) = tokio::select! {
            stored = session.with_heartbeat(self.stream(body, &guard.put)) => stored?,
            () = guard.put.replaced() => return Err(Error::store("storing the chunk", replaced())),
        };
        let sha256 = digests.sha256;
        let is_sha256 = self.checksum == Some(Algorithm::Sha256);
        let computed = computed.or_else(|| is_sha256.then(|| sha256.into()));
        let part = self.facts(checksum(), &computed);
        let (announced, known) = match passage {
            Passage::Store(announced) => (announced, false),
            Passage::Known(_) => (None, true),
        };
        let replaces = announced.as_ref().map(Announced::id);
        let change = Change::Chunk {
            index: self.index,
            digests,
            etag: etag.clone(),
            known: self.known,
            part,
            replaces,
        };
        let recorder = self.recorder();
        let outcome = recorder.commit(plan::segment_of(self.index), change).await?;
        if let Some(announced) = announced {
            announced.settle();
        }
        if outcome != Outcome::Replaced {
            recorder.require_agreement(self.index, sha256).await?;
        }
        let stored = match outcome {
            Outcome::Recorded | Outcome::Replaced if !known => Stored::New,
            Outcome::Recorded | Outcome::Replaced | Outcome::Known => Stored::Known,
            Outcome::Conflict { stored } => {
                let index = u64::from(self.index);
                return Err(Error::ChecksumConflict { index, stored, offered: sha256 });
            }
        };
        recorder.0.whole_sha256.recorded(self.index, feed);
        session.assemble_if_complete(self.index);
        Ok(PutOutcome { stored, sha256, etag, checksum: computed, record: None })
    }

    /// The outcome of a chunk that another put, or a copy, has recorded meanwhile. Its body is not
    /// needed, but its client may be sending it: most clients and proxies take an answer that comes
    /// before the end of a body for a failure (docs/clients.md#rules-for-the-early-answer).
    async fn recorded_by_another(&self, sha256: Sha256, body: Body) -> Result<PutOutcome> {
        let (found, _) = self.read_unstored(body).await?;
        if found != sha256 {
            let (index, declared) = (u64::from(self.index), sha256);
            return Err(Error::ChecksumMismatch { index, declared, found });
        }
        let segment = self.session.segment(plan::segment_of(self.index)).await?;
        let record = segment.stored(self.index).cloned();
        let etag = record.as_ref().and_then(|record| record.etags.first().cloned());
        Ok(PutOutcome { stored: Stored::Known, sha256, etag, checksum: None, record })
    }

    /// What is recorded besides of a part of an S3 upload.
    pub(super) fn facts(
        &self,
        declared: Option<Checksum>,
        computed: &Option<Checksum>,
    ) -> PartFacts {
        let root = self.session.root();
        let Some(s3) = &root.s3 else {
            return PartFacts { checksums: declared.into_iter().collect(), written_at: None };
        };
        // An algorithm that the client named at create comes first.
        let (first, second) = match s3.checksum {
            Some(_) => (computed.clone(), declared),
            None => (declared, computed.clone()),
        };
        let written_at = self.session.0.shared.documents.clock.unix_seconds();
        PartFacts {
            checksums: first.into_iter().chain(second).collect(),
            written_at: Some(written_at),
        }
    }

    /// Stores the bytes, as a part or staged. Bytes that were stored before stay unless the new
    /// ones are all verified.
    async fn stream(
        &self,
        body: Body,
        put: &Arc<OngoingPut>,
    ) -> Result<(Option<ETag>, ChunkDigests, (Feed, Option<Checksum>), Passage)> {
        let root = self.session.root();
        let target = root.target();
        let upload = upload_of(&root, &target)?;
        let shared = &self.session.0.shared;
        // Where clients choose the lengths of chunks there is no digest kind that needs the offset.
        let offset_bytes = root.plan.offset_of(u64::from(self.index)).unwrap_or_default();
        let whole_sha256 = &self.recorder().0.whole_sha256;
        let feed = whole_sha256.feed(self.index, self.len_bytes, &shared.reorder_room);
        let chunk = ClientChunk {
            body,
            index: self.index,
            len_bytes: self.len_bytes,
            hashes: Some((ContributionHasher::new(root.digest, offset_bytes), feed)),
            // The SHA-256 is computed anyway.
            checksum: self
                .checksum
                .filter(|algorithm| *algorithm != Algorithm::Sha256)
                .map(ChecksumHasher::new),
            put: Arc::clone(put),
        };
        let (body, outcome, sha256) = chunk.verified(self.sha256);
        let slot =
            root.plan.slot(self.index).ok_or_else(|| Error::NoSuchChunk(u64::from(self.index)))?;
        let decided = Decision::default();
        let body = match slot.chunks {
            1 => body.gated(decided.clone().decide(
                self.session.clone(),
                self.way.clone(),
                self.index,
                sha256,
            )),
            _ => body,
        };
        let stored = self.write_slot(&root, upload, slot, body).await;
        let passage = decided.take().transpose()?.unwrap_or(Passage::Store(None));
        match (stored, outcome.take()) {
            (Err(_), Some(Ok((digests, rest)))) if let Passage::Known(record) = &passage => {
                Ok((record.etags.first().cloned(), digests, rest, passage))
            }
            (Ok(etag), Some(Ok((digests, rest)))) => Ok((etag, digests, rest, passage)),
            (Err(_), Some(Err(refusal))) => Err(refusal),
            (Err(error), _) if error.kind() == store::Kind::NoSuchUpload => {
                Err(self.session.missing_upload_error().await)
            }
            (Err(error), _) => Err(Error::own(format!("storing chunk {}", self.index), error)),
            (Ok(_), _) => {
                let what = format!(
                    "the store accepted chunk {} without reading it to its end",
                    self.index
                );
                let source = store::Error::new(store::Kind::Unavailable, "the body was not read");
                Err(Error::Store { kind: Kind::StoreUnavailable, what, source })
            }
        }
    }

    async fn write_slot(
        &self,
        root: &super::super::Root,
        upload: UploadTarget<'_>,
        slot: Slot,
        body: Body,
    ) -> store::Result<Option<ETag>> {
        let documents = &self.session.0.shared.documents;
        if slot.chunks == 1 {
            let number = PartNumber::new(u32::from(slot.number))
                .expect("the slots of a plan have valid part numbers");
            let part = PartTarget { upload, number };
            let tag = if root.s3.is_some() { PartTag::Md5 } else { PartTag::Any };
            let options = PartOptions { sha256: self.sha256, tag };
            let written = documents.store.put_part(part, body, options).await?;
            return Ok(Some(written.etag));
        }
        let sha256 = self.sha256.ok_or_else(|| {
            store::Error::new(store::Kind::Invalid, "a staged chunk needs its SHA-256")
        })?;
        let key = self.session.0.layout.staged(self.index, &sha256);
        let options = PutOptions { sha256: Some(sha256), ..PutOptions::default() };
        documents.store.put(&documents.bucket, &key, body, options).await.map(|_| None)
    }
}
