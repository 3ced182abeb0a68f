//! Parts that the store copies from an object: no byte passes the gateway.
//!
//! Guarantees: a copied part is admitted, kept from racing puts, recorded and acknowledged like one
//! that is received. Its SHA-256 is that of the records of its source, or what the store says; they
//! must agree. Without either the record says that the part is not hashed, and identifies its bytes
//! by ETag and length, which finalize compares: it is never taken for bytes that a client declares,
//! and shown with no SHA-256. A copy that replaces a recorded part announces that before it begins,
//! as a put does before its last frame. Only the owner of the store upload lets parts be copied; an
//! alias puts their bytes. Source: docs/architecture.md#copied-parts,
//! docs/architecture.md#replaced-parts, docs/architecture.md#aliases.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::digest::{Checksum, ChunkDigests, Sha256};
use crate::names::{Bucket, Key};
use crate::store::{
    self, ByteSpan, CopiedPart, CopySource, ETag, GetOptions, GetRange, PartNumber, PartTarget,
};

use super::super::end::hash;
use super::super::error::{Error, Kind, Result};
use super::super::manifest::{Change, Outcome, PartFacts};
use super::super::plan::{self, ChunkIndex, Shape};
use super::super::session::{Session, upload_of};
use super::gate::{Announced, Way};
use super::receive::PutPermit;

/// A larger copy may take longer than a finalize waits for it, so a recorded part is not replaced
/// by one.
const MAX_REPLACING_BYTES: u64 = 64 << 20;

/// The bytes that a part is to be copied from.
#[derive(Clone, Debug)]
pub struct PartSource {
    pub bucket: Bucket,
    pub key: Key,
    pub version: Option<String>,
    /// What the source had when its conditions were checked.
    pub etag: ETag,
    /// None: the whole object.
    pub span: Option<ByteSpan>,
    /// If it is known for exactly these bytes.
    pub sha256: Option<Sha256>,
    /// The ETag that a part of exactly these bytes has, if it is known.
    pub part_etag: Option<ETag>,
    /// To be recorded with the part.
    pub checksums: Vec<Checksum>,
    /// Whether the copy counts only once its bytes were hashed: by the store, or here.
    pub is_hashed_again: bool,
}

impl PartSource {
    /// A whole object of which nothing else is known.
    pub fn whole(bucket: Bucket, key: Key, etag: ETag) -> Self {
        let (version, span, sha256, part_etag) = (None, None, None, None);
        let (checksums, is_hashed_again) = (Vec::new(), false);
        Self { bucket, key, version, etag, span, sha256, part_etag, checksums, is_hashed_again }
    }
}

/// What became of a part that was to be copied.
#[derive(Debug)]
pub enum PartCopied {
    Recorded(ETag),
    /// The store cannot copy it: the bytes are to be put.
    NeedsBytes,
    /// The source is not the object any more whose conditions were checked.
    SourceChanged(store::Error),
}

impl Session {
    /// Whether the store may copy parts of this session. Where chunks have a fixed length or a
    /// digest of their own, their bytes are needed.
    pub fn takes_copied_parts(&self) -> bool {
        let root = self.root();
        root.s3.is_some() && root.plan.shape == Shape::Parts && root.digest.is_none()
    }
}

impl PutPermit {
    /// Lets the store copy the part, and records it. **Cancel**: the copy continues in a task of
    /// its own. **Errors**: `NotOpen`, `Store…`; `Internal` where store and records disagree.
    pub async fn copy_part(&self, source: PartSource) -> Result<PartCopied> {
        self.copy_part_in_turn(source, None).await
    }

    /// As `copy_part`; the copy keeps `turn` until it ends, even if its caller is gone before.
    pub(in crate::upload) async fn copy_part_in_turn(
        &self,
        source: PartSource,
        turn: Option<OwnedSemaphorePermit>,
    ) -> Result<PartCopied> {
        match &self.way {
            Way::Own => {}
            Way::Alias(_) | Way::Compare(_) => return Ok(PartCopied::NeedsBytes),
        }
        let (session, index, len_bytes) = (self.session.clone(), self.index, self.len_bytes);
        let copy = PartCopy { session, index, len_bytes, source };
        let (tx, rx) = oneshot::channel();
        tokio::spawn(async move {
            // The caller may be gone: the part is recorded nevertheless.
            tx.send(copy.run().await).ok();
            drop(turn);
        });
        rx.await.unwrap_or_else(|_| {
            let what = "the gateway stopped before the part was copied".to_owned();
            Err(Error::Batch { kind: Kind::StoreUnavailable, what, retry_after: None })
        })
    }
}

struct PartCopy {
    session: Session,
    index: ChunkIndex,
    len_bytes: u64,
    source: PartSource,
}

impl PartCopy {
    async fn run(self) -> Result<PartCopied> {
        let (session, index) = (self.session.clone(), self.index);
        let segment = plan::segment_of(index);
        let guard = loop {
            match session.0.in_flight.acquire(index, None).await {
                Some(guard) => break guard,
                None => {
                    session.current_segment(segment).await?;
                    let root = session.fresh_root().await?;
                    if !root.is_open() {
                        return Err(Session::refused(&root));
                    }
                }
            }
        };
        // A newer put waits: what the store copies cannot be called back.
        guard.put.mark_received();
        if let Some(etag) = self.recorded_already().await? {
            return Ok(PartCopied::Recorded(etag));
        }
        let (copied, announced) = match self.copy_checked().await? {
            Ok(copied) => copied,
            Err(not_copied) => return Ok(not_copied),
        };
        let CopiedPart { etag, sha256 } = copied;
        let len_bytes = self.len_bytes;
        let sha256 = match (self.source.sha256, sha256) {
            (Some(declared), Some(found)) if declared != found => {
                let what =
                    format!("the store copied {found}, the source was recorded as {declared}");
                return Err(Error::Batch { kind: Kind::Internal, what, retry_after: None });
            }
            (known, found) => known.or(found),
        };
        let unhashed = sha256.is_none();
        let sha256 = sha256.unwrap_or_else(|| stand_in(&etag, len_bytes));
        let digests = ChunkDigests { sha256, len_bytes, contribution: None };
        let part = PartFacts {
            checksums: self.source.checksums.clone(),
            written_at: Some(session.0.shared.documents.clock.unix_seconds()),
        };
        let tag = etag.clone();
        let replaces = announced.as_ref().map(Announced::id);
        let change = if unhashed {
            Change::Unhashed { index, digests, etag: tag, part, replaces }
        } else {
            Change::Chunk { index, digests, etag: Some(tag), known: true, part, replaces }
        };
        let outcome = session.commit(segment, change).await?;
        if let Some(announced) = announced {
            announced.settle();
        }
        if outcome != Outcome::Replaced {
            session.require_agreement(index, sha256).await?;
        }
        match outcome {
            Outcome::Recorded | Outcome::Replaced | Outcome::Known => {
                Ok(PartCopied::Recorded(etag))
            }
            Outcome::Conflict { stored } => {
                let index = u64::from(index);
                Err(Error::ChecksumConflict { index, stored, offered: sha256 })
            }
        }
    }

    /// The part, if the bytes of a source that is hashed again are recorded for it meanwhile.
    async fn recorded_already(&self) -> Result<Option<ETag>> {
        let Some(sha256) = self.source.sha256.filter(|_| self.source.is_hashed_again) else {
            return Ok(None);
        };
        let segment = self.session.segment(plan::segment_of(self.index)).await?;
        let record = segment.stored(self.index).filter(|record| record.is_of(&sha256));
        Ok(record.and_then(|record| record.etags.first().cloned()))
    }

    /// Whether the bytes of the source have the SHA-256 of its records: an object may be damaged
    /// where it lies, and its sender must not be told that it need not send them.
    async fn source_is_as_recorded(&self) -> Result<bool> {
        let PartSource { bucket, key, version, etag, span, sha256, .. } = &self.source;
        let range = span.map_or(GetRange::Whole, ByteSpan::range);
        let options = GetOptions {
            if_match: Some(etag.clone()),
            version: version.clone(),
            ..GetOptions::default()
        };
        let store = &self.session.0.shared.documents.store;
        let reading = |error| Error::own("reading the source of a part", error);
        let (_, body) = store.get(bucket, key, range, options).await.map_err(reading)?;
        let found = hash(body).await?;
        if *sha256 != Some(found) {
            let (bucket, key) = (bucket.as_str(), key.as_str());
            let recorded = sha256.map(|sha256| sha256.hex());
            tracing::error!(
                bucket,
                key,
                ?span,
                found = found.hex(),
                recorded,
                "bytes of an object are damaged"
            );
        }
        Ok(*sha256 == Some(found))
    }

    /// As `copy_announced`, once the bytes were hashed where that is asked for: by the store that
    /// copied them, or here, meanwhile.
    async fn copy_checked(
        &self,
    ) -> Result<std::result::Result<(CopiedPart, Option<Announced>), PartCopied>> {
        let known = &self.session.0.shared.known;
        let reads_at_once = self.source.is_hashed_again && !known.are_copies_hashed();
        let reading = async {
            if reads_at_once { self.source_is_as_recorded().await.map(Some) } else { Ok(None) }
        };
        let copying = self.session.with_heartbeat(self.copy_announced());
        let (copied, is_as_recorded) = tokio::join!(copying, reading);
        let (copied, announced) = match copied? {
            Ok(copied) => copied,
            Err(not_copied) => return Ok(Err(not_copied)),
        };
        known.copies_are_hashed(copied.sha256.is_some());
        let is_as_recorded = match is_as_recorded {
            _ if copied.sha256.is_some() || !self.source.is_hashed_again => true,
            Ok(None) => self.source_is_as_recorded().await?,
            Ok(Some(is_as_recorded)) => is_as_recorded,
            Err(error) => return Err(error),
        };
        Ok(if is_as_recorded { Ok((copied, announced)) } else { Err(PartCopied::NeedsBytes) })
    }

    /// As `copy`, once the copy may replace what the store has of the part.
    async fn copy_announced(
        &self,
    ) -> Result<std::result::Result<(CopiedPart, Option<Announced>), PartCopied>> {
        let (session, index) = (&self.session, self.index);
        match self.source.sha256 {
            Some(sha256) => session.part_from_aliases(index, sha256).await?,
            None if session.has_alias(&session.root()).await? => {
                return Ok(Err(PartCopied::NeedsBytes));
            }
            None => {}
        }
        let is_recorded = session.segment(plan::segment_of(index)).await?.stored(index).is_some();
        if is_recorded && self.len_bytes > MAX_REPLACING_BYTES {
            return Ok(Err(PartCopied::NeedsBytes));
        }
        let announced = if is_recorded { session.announce(index).await? } else { None };
        Ok(self.copy().await?.map(|copied| (copied, announced)))
    }

    /// The inner error: why the store did not copy.
    async fn copy(&self) -> Result<std::result::Result<CopiedPart, PartCopied>> {
        let session = &self.session;
        let root = session.root();
        let target = root.target();
        let slot = root.plan.slot(self.index);
        let number = slot.and_then(|slot| PartNumber::new(u32::from(slot.number)));
        let absent = || Error::BadRequest("the upload has no such part".to_owned());
        let part =
            PartTarget { upload: upload_of(&root, &target)?, number: number.ok_or_else(absent)? };
        let source = CopySource {
            bucket: &self.source.bucket,
            key: &self.source.key,
            version: self.source.version.as_deref(),
            etag: &self.source.etag,
            part_etag: self.source.part_etag.as_ref(),
        };
        let store = &session.0.shared.documents.store;
        match store.copy_part(source, self.source.span, part).await {
            Ok(copied) => Ok(copied.ok_or(PartCopied::NeedsBytes)),
            Err(error)
                if matches!(
                    error.kind(),
                    store::Kind::Precondition
                        | store::Kind::NotFound
                        | store::Kind::NoSuchBucket
                        | store::Kind::Range
                ) =>
            {
                Ok(Err(PartCopied::SourceChanged(error)))
            }
            Err(error) if error.kind() == store::Kind::NoSuchUpload => {
                Err(session.missing_upload_error().await)
            }
            Err(error) => Err(Error::own("copying a part", error)),
        }
    }
}

/// What stands for the SHA-256 of bytes that nobody hashed: another one for another ETag or length.
fn stand_in(etag: &ETag, len_bytes: u64) -> Sha256 {
    Sha256::of(format!("part without a SHA-256, {len_bytes} bytes, {etag}").as_bytes())
}
