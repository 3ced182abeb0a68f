//! Copies of objects, and of ranges into parts.
//!
//! Guarantees: a copy has the bytes of the object whose conditions were checked: the store compares
//! the ETag, and where the source changed meanwhile the conditions are checked again. The store
//! copies; bytes are streamed only where it cannot. They are read without being written where a
//! checksum must be computed that the records do not know. A copy's checksum is that of the whole
//! object, and a copy never carries the tag of the upload that made its source. Source:
//! docs/architecture.md#copies,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>, `API_UploadPartCopy.html`.

use crate::digest::{Algorithm, Checksum};
use crate::header_names::STATED_CHECKSUM;
use crate::names::{AccountName, Bucket, Key};
use crate::store::{
    Attributes, Body, ByteSpan, CopyOptions, CopySource, ETag, Error, GetOptions, GetRange, Kind,
    PartNumber, PutMode, Tags, Written,
};
use crate::upload::{self, PartAdmission, PartClaim, PartCopied, PartSource, PutPermit, Session};

use super::copy_checksum::KnownBytes;
use super::{Conditions, CopyError, NewObject, ObjectName, Objects, Stored};

/// The largest source of one copy, and the largest part, as in S3.
const MAX_BYTES: u64 = 5 << 30;
/// How often a copy begins again because its source was replaced meanwhile.
const MAX_ROUNDS: usize = 4;

/// The source of a copy, and what must hold for it.
#[derive(Clone, Debug)]
pub struct CopyFrom<'a> {
    pub name: ObjectName<'a>,
    pub conditions: Conditions,
}

/// The object that a copy makes.
#[derive(Clone, Debug)]
pub struct CopyTo<'a> {
    pub bucket: &'a Bucket,
    pub key: &'a Key,
    pub mode: PutMode,
    /// Whether the metadata is that of `attributes`, not that of the source.
    pub replaces: bool,
    /// What the request states. Storage class, encryption and lock are always these.
    pub attributes: Attributes,
    /// None: those of the source.
    pub tags: Option<Tags>,
    /// None: that of the source's checksum, if it has one.
    pub algorithm: Option<Algorithm>,
    /// Who copies.
    pub account: AccountName,
}

/// A copy that was made.
#[derive(Clone, Debug)]
pub struct Copied<T> {
    pub written: T,
    pub checksum: Option<Checksum>,
    /// Which version of the source was copied, in a bucket with versions.
    pub source_version: Option<String>,
}

impl Objects {
    /// Copies an object. **Errors**: `Unmet`, `TooLarge`, those of the store: of the source, or
    /// `Precondition` and `NotFound` of the condition on the target.
    pub async fn copy(
        &self,
        from: &CopyFrom<'_>,
        to: CopyTo<'_>,
    ) -> Result<Copied<Written>, CopyError> {
        self.require_visible(to.bucket)?;
        for _ in 0..MAX_ROUNDS {
            let seen = self.look_at(from).await?;
            let size_bytes = seen.head.size_bytes;
            if size_bytes > MAX_BYTES {
                return Err(CopyError::TooLarge { max_bytes: MAX_BYTES });
            }
            let checksum = match self.whole_checksum(from, &seen, to.algorithm).await {
                Err(CopyError::Store(error)) if self.has_changed(from, &seen, &error).await? => {
                    continue;
                }
                other => other?,
            };
            let copied = match self.copy_seen(from, &seen, &to, checksum.clone()).await {
                Err(error) if self.has_changed(from, &seen, &error).await? => continue,
                other => other?,
            };
            return Ok(Copied { written: copied, checksum, source_version: seen.head.version });
        }
        Err(source_keeps_changing())
    }

    /// Copies the bytes `[first, end)` of an object into a part, or all of them. **Errors**:
    /// `Unmet`, `TooLarge`, `Range` (they are not all there), those of the store and of the upload.
    pub async fn copy_part(
        &self,
        from: &CopyFrom<'_>,
        span: Option<ByteSpan>,
        (session, number): (&Session, PartNumber),
    ) -> Result<Copied<ETag>, CopyError> {
        for _ in 0..MAX_ROUNDS {
            let seen = self.look_at(from).await?;
            let size_bytes = seen.head.size_bytes;
            let whole = ByteSpan { first: 0, end: size_bytes };
            let span = span.unwrap_or(whole);
            if span.end > size_bytes {
                return Err(CopyError::Range { size_bytes });
            }
            if span.len_bytes() > MAX_BYTES {
                return Err(CopyError::TooLarge { max_bytes: MAX_BYTES });
            }
            let claim = PartClaim { len_bytes: span.len_bytes(), ..PartClaim::default() };
            let PartAdmission::Wanted(permit) = session.admit_part(number, claim).await? else {
                let what = "a part without a declared SHA-256 is never known";
                return Err(Error::new(Kind::Unavailable, what).into());
            };
            let known = match self.known_bytes(from, &seen, span, session).await {
                Err(CopyError::Store(error)) if self.has_changed(from, &seen, &error).await? => {
                    continue;
                }
                other => other?,
            };
            let checksum = known.checksum.clone();
            let copied = self.copy_span((from, &seen), span, (session, permit), known).await;
            let written = match copied {
                Err(CopyError::Store(error)) if self.has_changed(from, &seen, &error).await? => {
                    continue;
                }
                other => other?,
            };
            return Ok(Copied { written, checksum, source_version: seen.head.version });
        }
        Err(source_keeps_changing())
    }

    /// The head of the source, if its conditions hold.
    async fn look_at(&self, from: &CopyFrom<'_>) -> Result<Stored, CopyError> {
        let options = GetOptions {
            version: from.name.version.map(str::to_owned),
            checksum: true,
            ..GetOptions::default()
        };
        let (bucket, key) = (from.name.bucket, from.name.key);
        let (seen, _) = self.get(bucket, key, GetRange::Head, options).await?;
        from.conditions.check(&seen.head).map_err(|_| CopyError::Unmet)?;
        Ok(seen)
    }

    /// Whether the source is another object than before, where the store refused to copy it or to
    /// read it for that reason.
    async fn has_changed(
        &self,
        from: &CopyFrom<'_>,
        seen: &Stored,
        error: &Error,
    ) -> Result<bool, CopyError> {
        if !matches!(error.kind(), Kind::Precondition | Kind::NotFound | Kind::Range) {
            return Ok(false);
        }
        let options =
            GetOptions { version: from.name.version.map(str::to_owned), ..GetOptions::default() };
        let (now, _) = self.get(from.name.bucket, from.name.key, GetRange::Head, options).await?;
        Ok(now.head.etag != seen.head.etag)
    }

    /// Copies the source as it was seen.
    async fn copy_seen(
        &self,
        from: &CopyFrom<'_>,
        seen: &Stored,
        to: &CopyTo<'_>,
        checksum: Option<Checksum>,
    ) -> Result<Written, Error> {
        let tags = match &to.tags {
            Some(tags) => tags.clone(),
            None => self.tags_of(from.name.bucket, from.name.key, seen).await?,
        };
        let mut attributes = if to.replaces {
            to.attributes.clone()
        } else {
            seen.head.attributes.clone().copied_with(&to.attributes)
        };
        attributes.tags = tags;
        let mut marked = attributes.clone();
        let mark =
            checksum.as_ref().map(|checksum| (STATED_CHECKSUM.to_owned(), checksum.to_string()));
        marked.user.extend(mark);
        let (mode, account) = (to.mode.clone(), Some(to.account.clone()));
        let options = CopyOptions { mode, attributes: marked, account };
        let copied = self.store.copy(source(from, seen), to.bucket, to.key, options).await?;
        if let Some(written) = copied {
            return Ok(written);
        }
        let new = NewObject {
            body: self.read_seen(from, seen, GetRange::Whole).await?,
            mode: to.mode.clone(),
            attributes,
            sha256: None,
            checksum,
            made: None,
        };
        let put = self.put(to.bucket, to.key, new).await;
        put.map_err(|error| if error.kind() == Kind::Body { unread(error) } else { error })
    }

    async fn copy_span(
        &self,
        (from, seen): (&CopyFrom<'_>, &Stored),
        span: ByteSpan,
        (session, permit): (&Session, PutPermit),
        known: KnownBytes,
    ) -> Result<ETag, CopyError> {
        let whole = span == ByteSpan { first: 0, end: seen.head.size_bytes };
        if session.takes_copied_parts() && span.len_bytes() > 0 {
            let (bucket, key) = (from.name.bucket.clone(), from.name.key.clone());
            let source = PartSource {
                version: from.name.version.map(str::to_owned),
                span: (!whole).then_some(span),
                sha256: known.sha256,
                checksums: known.checksum.clone().into_iter().collect(),
                ..PartSource::whole(bucket, key, seen.head.etag.clone())
            };
            match permit.copy_part(source).await? {
                PartCopied::Recorded(etag) => return Ok(etag),
                PartCopied::SourceChanged(error) => return Err(error.into()),
                PartCopied::NeedsBytes => {}
            }
        }
        let body = self.read_seen(from, seen, range_of(span, whole)).await?;
        let stored = permit.of_known_bytes().store_part(body, move || known.checksum).await;
        let part = stored.map_err(|error| {
            if error.kind() == upload::Kind::BodyBroken {
                CopyError::Store(unread(error))
            } else {
                CopyError::Records(error)
            }
        })?;
        Ok(part.etag.unwrap_or_else(|| ETag::of_sha256(&part.sha256)))
    }

    /// The bytes of the source as it was seen. **Errors**: `Precondition` if it is another one.
    pub(super) async fn read_seen(
        &self,
        from: &CopyFrom<'_>,
        seen: &Stored,
        range: GetRange,
    ) -> Result<Body, Error> {
        let options = GetOptions {
            version: from.name.version.map(str::to_owned),
            if_match: Some(seen.head.etag.clone()),
            ..GetOptions::default()
        };
        self.get(from.name.bucket, from.name.key, range, options).await.map(|(_, body)| body)
    }
}

fn source<'a>(from: &CopyFrom<'a>, seen: &'a Stored) -> CopySource<'a> {
    let ObjectName { bucket, key, .. } = from.name;
    let (version, etag) = (from.name.version, &seen.head.etag);
    CopySource { bucket, key, version, etag, part_etag: None }
}

pub(super) fn range_of(span: ByteSpan, whole: bool) -> GetRange {
    if whole { GetRange::Whole } else { span.range() }
}

/// The source ended early: nothing that the client sent is wrong.
pub(super) fn unread(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Kind::Unavailable, "the source could not be read to its end").because(cause)
}

fn source_keeps_changing() -> CopyError {
    Error::new(Kind::Conflict, "the source keeps changing while it is copied").into()
}
