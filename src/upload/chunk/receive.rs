//! One chunk's way in: admitted, verified while it streams, stored, recorded.
//!
//! Guarantees: a chunk whose length or SHA-256 is wrong changes nothing, not even the bytes that
//! the store had (its last frame is held back until all of them agree); success means durable and
//! recorded; what is known already is answered before a byte of the body is read. It holds one
//! frame of the body, never the body. Source: DESIGN §5, §12.6–8.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, ready};
use tokio::sync::oneshot;

use crate::digest::batch::BodyHasher;
use crate::digest::{Checksum, ChunkDigests, ExtraHasher, PassedSha256, Sha256, Wanted};
use crate::store::{
    self, Body, BodyError, ETag, PartNumber, PartOptions, PartTag, PartTarget, PutOptions,
    UploadTarget,
};

use super::super::error::{Error, Kind, Result};
use super::super::manifest::{Change, Outcome, Policy};
use super::super::plan::{self, ChunkIndex, LenRule, Shape, Slot};
use super::super::session::{Session, lock, upload_of};
use super::inflight::OngoingPut;
use super::whole_sha256::Feed;

/// Whether a chunk's body is wanted.
#[derive(Debug)]
pub enum Admission {
    /// The same bytes are durable and recorded: answer success, leave the body unread.
    Known,
    /// Send the body.
    Wanted(PutPermit),
}

/// The right to put one chunk.
#[derive(Debug)]
pub struct PutPermit {
    session: Session,
    index: ChunkIndex,
    /// None: an S3 client did not say; then whatever comes is what it is.
    sha256: Option<Sha256>,
    len_bytes: u64,
}

/// A chunk that is durable and recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOutcome {
    pub stored: Stored,
    pub sha256: Sha256,
    /// The store's tag of it as a part; None where it is staged or was known already.
    pub etag: Option<ETag>,
}

/// What became of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    New,
    Known,
}

impl Session {
    /// Whether the chunk is wanted: from memory, or after two conditional reads, before any byte of
    /// its body.
    /// **Errors**: `BadRequest` (no such index), `ChunkSizeMismatch`, `ChecksumConflict`,
    /// `NotOpen`.
    pub async fn admit(&self, index: u64, sha256: Sha256, len_bytes: u64) -> Result<Admission> {
        let rule = self.len_rule(index).await?;
        let chunk = u32::try_from(index).ok().zip(rule);
        let (chunk, rule) =
            chunk.ok_or_else(|| Error::BadRequest(format!("the backup has no chunk {index}")))?;
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
            Some(record) if record.digests.sha256 == sha256 && !record.invalidated => {
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
        PutPermit { session: self.clone(), index, sha256, len_bytes }
    }

    /// The length that a chunk must have. What the chunk API adds to an S3 session is cut as its
    /// first part is.
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
    /// Stores and records the chunk. `body` must yield exactly the admitted length; it is verified
    /// here and nowhere else. **Durability**: on success bytes and record are durable. **Cancel**:
    /// the put goes on by itself; it ends with its body, or, once all bytes are here, with the
    /// record.
    /// **Errors**: `ChecksumMismatch`, `ChunkSizeMismatch`, `BodyBroken`, `ChecksumConflict`,
    /// `NotOpen`, `Store…`.
    pub async fn store(self, body: Body) -> Result<Stored> {
        self.store_part(body, || None).await.map(|brought| brought.stored)
    }

    /// As `store`, with what the client's own checksum turned out to be once the body was read.
    pub async fn store_part(
        self,
        body: Body,
        checksum: impl FnOnce() -> Option<Checksum> + Send + 'static,
    ) -> Result<PutOutcome> {
        let (tell, told) = oneshot::channel();
        // A task of its own: a client that is killed after its last byte must not cost the chunk.
        tokio::spawn(async move {
            let session = self.session.clone();
            if tell.send(self.put(body, checksum).await).is_err()
                && let Err(error) = session.client_disconnected().await
            {
                tracing::debug!(backup = session.root().backup_id, %error, "that its client left is not recorded");
            }
        });
        told.await.unwrap_or_else(|_| {
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
        let boarded = loop {
            match session.0.in_flight.acquire(self.index, self.sha256).await {
                Some(boarded) => break boarded,
                // Someone else's put has just ended: it may have brought these very bytes, or
                // others.
                None => {
                    session.current_segment(plan::segment_of(self.index)).await?;
                    let Some(sha256) = self.sha256 else { continue };
                    match session.admit(u64::from(self.index), sha256, self.len_bytes).await? {
                        Admission::Known => {
                            return Ok(PutOutcome { stored: Stored::Known, sha256, etag: None });
                        }
                        Admission::Wanted(_) => {}
                    }
                }
            }
        };
        let replaced =
            || store::Error::new(store::Kind::Body, "a newer request brings the same chunk");
        let (etag, digests, tap) = tokio::select! {
            stored = session.with_heartbeat(self.stream(body, &boarded.put)) => stored?,
            () = boarded.put.replaced() => return Err(Error::store("storing the chunk", replaced())),
        };
        let sha256 = digests.sha256;
        let change =
            Change::Chunk { index: self.index, digests, etag: etag.clone(), checksum: checksum() };
        let outcome = session.commit(plan::segment_of(self.index), change).await?;
        let stored = match outcome {
            Outcome::Recorded => Stored::New,
            Outcome::Known => Stored::Known,
            Outcome::Conflict { stored } => {
                let index = u64::from(self.index);
                return Err(Error::ChecksumConflict { index, stored, offered: sha256 });
            }
        };
        session.0.whole_sha256.recorded(self.index, tap);
        session.assemble_when_whole(self.index);
        Ok(PutOutcome { stored, sha256, etag })
    }

    /// Brings the bytes into the store, as a part or staged. What was there stays unless all of
    /// them agree.
    async fn stream(
        &self,
        body: Body,
        flight: &Arc<OngoingPut>,
    ) -> Result<(Option<ETag>, ChunkDigests, Feed)> {
        let root = self.session.root();
        let target = root.target();
        let upload = upload_of(&root, &target)?;
        let shared = &self.session.0.shared;
        let tap =
            self.session.0.whole_sha256.feed(self.index, self.len_bytes, &shared.reorder_room);
        let state = Arc::new(Mutex::new(Verdict::Pending));
        let sha256 = PassedSha256::default();
        let intake = VerifyingBody {
            body,
            sums: Some(Sums {
                sha256: BodyHasher::new(Wanted { sha256: true, md5: false }),
                extra: ExtraHasher::new(root.digest, u64::from(self.index) * root.plan.chunk_size),
                tap,
            }),
            held: None,
            left_bytes: self.len_bytes,
            expected: (self.index, self.sha256, self.len_bytes),
            flight: Arc::clone(flight),
            verdict: Arc::clone(&state),
            sha256: sha256.clone(),
        };
        let body = Body::new(self.len_bytes, intake).with_sha256(sha256);
        let slot = root
            .plan
            .slot(self.index)
            .ok_or_else(|| Error::BadRequest("no such chunk".to_owned()))?;
        let stored = self.write_slot(&root, upload, slot, body).await;
        let verdict = std::mem::replace(&mut *lock(&state), Verdict::Pending);
        match (stored, verdict) {
            (Ok(etag), Verdict::Agreed(digests, tap)) => Ok((etag, digests, tap)),
            (Err(_), Verdict::Refused(refusal)) => Err(refusal),
            (Err(error), _) if error.kind() == store::Kind::NoSuchUpload => {
                Err(self.session.settle_gone().await)
            }
            (Err(error), _) => Err(Error::own(format!("storing chunk {}", self.index), error)),
            (Ok(_), _) => {
                let what =
                    format!("the store took chunk {} without reading it to its end", self.index);
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
                .expect("a plan's slots are numbers of parts");
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

/// What the verification found.
enum Verdict {
    Pending,
    Agreed(ChunkDigests, Feed),
    Refused(Error),
}

/// A body that fails at its end, before its last frame went out, unless its length and SHA-256 are
/// as declared.
struct VerifyingBody {
    body: Body,
    /// None once the verdict is given.
    sums: Option<Sums>,
    /// The last frame; it goes out once all of them agree. Those before it go out while they are
    /// hashed: what is short of its last byte is stored nowhere.
    held: Option<Bytes>,
    left_bytes: u64,
    /// Index, declared SHA-256, declared length.
    expected: (ChunkIndex, Option<Sha256>, u64),
    flight: Arc<OngoingPut>,
    verdict: Arc<Mutex<Verdict>>,
    /// What was found, for the store.
    sha256: PassedSha256,
}

/// What is made of a chunk's bytes while they go by.
struct Sums {
    sha256: BodyHasher,
    extra: ExtraHasher,
    tap: Feed,
}

impl VerifyingBody {
    fn refuse(&mut self, refusal: Error) -> BodyError {
        self.sums = None;
        let text = refusal.to_string();
        *lock(&self.verdict) = Verdict::Refused(refusal);
        text.into()
    }

    fn wrong_length(&mut self, offered: u64) -> BodyError {
        let (index, _, wanted) = self.expected;
        self.refuse(Error::ChunkSizeMismatch {
            index: u64::from(index),
            wanted: wanted.to_string(),
            offered,
        })
    }

    fn broken(&mut self, cause: BodyError) -> BodyError {
        let source =
            store::Error::new(store::Kind::Body, "the request's body broke off").because(cause);
        self.refuse(Error::store(format!("receiving chunk {}", self.expected.0), source))
    }

    fn end(&mut self) -> std::result::Result<Option<Bytes>, BodyError> {
        let (index, declared, len_bytes) = self.expected;
        if self.left_bytes > 0 {
            return Err(self.wrong_length(len_bytes - self.left_bytes));
        }
        let Some(Sums { mut sha256, extra, tap }) = self.sums.take() else { return Ok(None) };
        let found = sha256.finish().sha256.expect("it is wanted of every chunk");
        if let Some(declared) = declared.filter(|declared| found != *declared) {
            return Err(self.refuse(Error::ChecksumMismatch {
                index: u64::from(index),
                declared,
                found,
            }));
        }
        self.flight.mark_received();
        self.sha256.set(found);
        *lock(&self.verdict) = Verdict::Agreed(extra.finish(found, len_bytes), tap);
        Ok(self.held.take())
    }

    /// Takes one frame in, and lets it out unless it is the last.
    fn accept(&mut self, frame: Bytes) -> std::result::Result<Option<Bytes>, BodyError> {
        let len_bytes = frame.len() as u64;
        if len_bytes > self.left_bytes {
            let offered = self.expected.2 - self.left_bytes + len_bytes;
            return Err(self.wrong_length(offered));
        }
        self.left_bytes -= len_bytes;
        if let Some(sums) = &mut self.sums {
            sums.sha256.push(&frame);
            sums.extra.update(&frame);
            sums.tap.update(&frame);
        }
        Ok(if self.left_bytes > 0 { Some(frame) } else { self.held.replace(frame) })
    }
}

impl Stream for VerifyingBody {
    type Item = std::result::Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.sums {
                Some(sums) => ready!(sums.sha256.poll_idle(cx)),
                None => return Poll::Ready(None),
            }
            let out = match ready!(self.body.poll_next_unpin(cx)) {
                Some(Ok(frame)) if frame.is_empty() => continue,
                Some(Ok(frame)) => self.accept(frame),
                Some(Err(cause)) => Err(self.broken(cause)),
                None => {
                    let last = self.end();
                    return Poll::Ready(last.transpose());
                }
            };
            match out.transpose() {
                Some(item) => return Poll::Ready(Some(item)),
                None => continue,
            }
        }
    }
}
