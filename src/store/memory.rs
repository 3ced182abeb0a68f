//! A store in memory, for tests. Its content is lost when the process ends.
//!
//! Guarantees: all of the trait's semantics except durability; one lock decides every condition,
//! and no lock is held while a body is received. Reads share the stored bytes. ETags: the MD5 of an
//! object's bytes; of a part the first half of its SHA-256 if that was declared, else its MD5.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use super::conditions::{Existing, require_null_version};
use super::listing::page_of;
use super::received::{free_tag, receive, require_ascending};
use super::{
    Attributes, Body, Bucket, BucketInfo, ByteSpan, ChosenPart, Completion, CopiedPart,
    CopyOptions, CopySource, DeleteOptions, Deleted, ETag, Error, GetOptions, GetRange, Head, Key,
    Kind, Limits, ListOptions, Listed, Page, PartNumber, PartOptions, PartPage, PartTag,
    PartTarget, PutOptions, Result, Store, StoredPart, Tags, UploadId, UploadTarget, Written,
    WrittenPart,
};
use crate::clock::Clock;
use crate::digest::{Algorithm, Checksum, Sha256};
use crate::header_names::{STATED_CHECKSUM, STORAGE_CLASS};

/// The largest body.
const MAX_BODY_BYTES: usize = 1 << 30;

/// Parts per page of a listing.
const PART_PAGE: usize = 1000;

/// The store.
#[derive(Debug)]
pub struct Memory {
    clock: Clock,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buckets: BTreeMap<Bucket, Contents>,
}

#[derive(Debug)]
struct Contents {
    created: SystemTime,
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Clone, Debug)]
struct Object {
    frames: Vec<Bytes>,
    size_bytes: u64,
    etag: ETag,
    modified: SystemTime,
    attributes: Attributes,
    checksum: Option<Checksum>,
}

#[derive(Debug)]
struct Upload {
    key: Key,
    attributes: Attributes,
    parts: BTreeMap<PartNumber, Part>,
}

#[derive(Clone, Debug)]
struct Part {
    bytes: Bytes,
    etag: ETag,
    sha256: Sha256,
}

impl Memory {
    pub fn new(clock: Clock) -> Self {
        Self::with_limits(Limits::S3, clock)
    }

    /// With other limits than S3's, so that a test needs no parts of 5 MiB.
    pub fn with_limits(limits: Limits, clock: Clock) -> Self {
        Self { clock, limits, state: Mutex::default() }
    }

    /// The number of uploads in all buckets that are neither completed nor aborted.
    pub fn begun_uploads(&self) -> usize {
        self.state().buckets.values().map(|contents| contents.uploads.len()).sum()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_received(
        &self,
        bucket: &Bucket,
        key: &Key,
        (bytes, etag, checksum): (Bytes, ETag, Option<Checksum>),
        options: PutOptions,
    ) -> Result<Written> {
        let mut state = self.state();
        let contents = state.bucket(bucket)?;
        options.mode.check(contents.objects.get(key.as_str()).map(|object| &object.etag), key)?;
        let object = Object {
            size_bytes: bytes.len() as u64,
            frames: vec![bytes],
            etag: etag.clone(),
            modified: self.clock.wall(),
            attributes: options.attributes,
            checksum: checksum.clone(),
        };
        contents.objects.insert(key.to_string(), object);
        Ok(Written { etag, version: None, checksum })
    }
}

impl Object {
    /// The algorithm of the checksum that a client stated, or that was made.
    fn checksum_algorithm(&self) -> Option<Algorithm> {
        let stated = self.attributes.user.get(STATED_CHECKSUM);
        let stated = stated.and_then(|text| text.parse::<Checksum>().ok());
        stated.as_ref().or(self.checksum.as_ref()).map(Checksum::algorithm)
    }
}

impl State {
    fn bucket(&mut self, bucket: &Bucket) -> Result<&mut Contents> {
        let missing = || Error::new(Kind::NoSuchBucket, format!("no bucket {bucket}"));
        self.buckets.get_mut(bucket).ok_or_else(missing)
    }

    /// **Errors**: `NoSuchBucket`, `NotFound`, `Precondition`.
    fn source(&mut self, source: CopySource<'_>) -> Result<Object> {
        let key = source.key;
        let object = self.bucket(source.bucket)?.objects.get(key.as_str()).cloned();
        let object =
            object.ok_or_else(|| Error::new(Kind::NotFound, format!("no object {key}")))?;
        if object.etag != *source.etag {
            return Err(Error::new(Kind::Precondition, format!("{key} has another ETag")));
        }
        Ok(object)
    }

    fn object(&mut self, bucket: &Bucket, key: &Key) -> Result<&mut Object> {
        let missing = || Error::new(Kind::NotFound, format!("no object {key}"));
        self.bucket(bucket)?.objects.get_mut(key.as_str()).ok_or_else(missing)
    }

    fn upload(&mut self, target: UploadTarget<'_>) -> Result<&mut Upload> {
        let missing = || {
            Error::new(Kind::NoSuchUpload, format!("no upload {} of {}", target.upload, target.key))
        };
        let upload = self.bucket(target.bucket)?.uploads.get_mut(&target.upload.0);
        upload.filter(|upload| upload.key == *target.key).ok_or_else(missing)
    }
}

/// The bytes `[first, end)` of an object.
fn slice(object: &Object, first: u64, end: u64) -> Body {
    let mut at = 0;
    let mut frames = Vec::new();
    for frame in &object.frames {
        let (from, to) = (first.max(at), end.min(at + frame.len() as u64));
        if from < to {
            let offset =
                |position: u64| usize::try_from(position - at).expect("within a frame in memory");
            frames.push(Ok(frame.slice(offset(from)..offset(to))));
        }
        at += frame.len() as u64;
    }
    Body::new(end - first, stream::iter(frames))
}

#[async_trait]
impl Store for Memory {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        let mut state = self.state();
        if state.buckets.contains_key(bucket) {
            return Err(Error::new(Kind::BucketExists, format!("bucket {bucket} exists")));
        }
        let contents = Contents {
            created: self.clock.wall(),
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
        };
        state.buckets.insert(bucket.clone(), contents);
        Ok(())
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        let mut state = self.state();
        if !state.bucket(bucket)?.objects.is_empty() {
            return Err(Error::new(Kind::BucketNotEmpty, format!("bucket {bucket} is not empty")));
        }
        state.buckets.remove(bucket);
        Ok(())
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        let state = self.state();
        let info = |(bucket, contents): (&Bucket, &Contents)| BucketInfo {
            bucket: bucket.clone(),
            created: contents.created,
        };
        Ok(state.buckets.iter().map(info).collect())
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written> {
        self.state().bucket(bucket)?;
        let (body, checksum) = body.with_checksum(options.checksum);
        let received = receive(body, options.sha256, MAX_BODY_BYTES).await?;
        let etag = ETag(received.md5_hex());
        self.put_received(bucket, key, (received.bytes, etag, checksum.get()), options)
    }

    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        let mut state = self.state();
        let object = state.bucket(bucket)?.objects.get(key.as_str());
        require_null_version(options.version.as_deref(), key)?;
        let object =
            object.ok_or_else(|| Error::new(Kind::NotFound, format!("no object {key}")))?;
        if options.if_match.is_some_and(|tag| tag != object.etag) {
            return Err(Error::new(Kind::Precondition, format!("{key} has another ETag")));
        }
        if options.if_none_match.is_some_and(|tag| tag == object.etag) {
            return Err(Error::new(Kind::NotModified, format!("{key} has the same ETag")));
        }
        let (first, end) = read.span(object.size_bytes).ok_or_else(|| {
            Error::new(
                Kind::Range,
                format!("{key} has {} bytes, and none of the range", object.size_bytes),
            )
        })?;
        let head = Head {
            etag: object.etag.clone(),
            size_bytes: object.size_bytes,
            modified: object.modified,
            date: self.clock.wall(),
            tag_count: object.attributes.tags.len(),
            attributes: object.attributes.clone(),
            version: None,
            checksum: object.checksum.clone(),
        };
        Ok((head, slice(object, first, end)))
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<Deleted> {
        let mut state = self.state();
        let objects = &mut state.bucket(bucket)?.objects;
        require_null_version(options.version.as_deref(), key)?;
        let existing = objects.get(key.as_str()).map(|object| Existing {
            etag: &object.etag,
            size_bytes: object.size_bytes,
            modified: object.modified,
        });
        options.conditions.check(existing, key)?;
        objects.remove(key.as_str());
        Ok(Deleted { version: options.version.clone(), delete_marker: false })
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        let mut state = self.state();
        let objects = &state.bucket(bucket)?.objects;
        page_of(options, |from| {
            let next = objects.range::<str, _>((from, Bound::Unbounded)).next();
            Ok(next.map(|(key, object)| Listed {
                key: Key::from(key.clone()),
                size_bytes: object.size_bytes,
                etag: object.etag.clone(),
                modified: object.modified,
                storage_class: object.attributes.headers.get(STORAGE_CLASS.as_str()).cloned(),
                checksum: object.checksum_algorithm(),
            }))
        })
    }

    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId> {
        let id = self.clock.random_id();
        let upload =
            Upload { key: key.clone(), attributes: attributes.clone(), parts: BTreeMap::new() };
        self.state().bucket(bucket)?.uploads.insert(id.clone(), upload);
        Ok(UploadId(id))
    }

    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        self.state().upload(part.upload)?;
        let received = receive(body, options.sha256, MAX_BODY_BYTES).await?;
        let etag = ETag(free_tag(options).unwrap_or_else(|| received.md5_hex()));
        let written = WrittenPart { etag: etag.clone(), sha256: received.sha256 };
        let stored = Part { sha256: received.sha256, bytes: received.bytes, etag };
        self.state().upload(part.upload)?.parts.insert(part.number, stored);
        Ok(written)
    }

    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        let mut state = self.state();
        let upload = state.upload(upload)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut parts: Vec<StoredPart> = upload
            .parts
            .range((from, Bound::Unbounded))
            .take(PART_PAGE + 1)
            .map(|(number, part)| StoredPart {
                number: *number,
                etag: part.etag.clone(),
                size_bytes: part.bytes.len() as u64,
                sha256: Some(part.sha256),
            })
            .collect();
        let more = parts.len() > PART_PAGE;
        parts.truncate(PART_PAGE);
        Ok(PartPage { next: parts.last().filter(|_| more).map(|part| part.number), parts })
    }

    async fn complete(
        &self,
        target: UploadTarget<'_>,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written> {
        let size_bytes = completion.size_bytes;
        let mut state = self.state();
        let min_part_bytes = self.limits.min_part_bytes;
        let upload = state.upload(target)?;
        let chosen = chosen_parts(upload, parts, min_part_bytes)?;
        let frames: Vec<Bytes> = chosen.iter().map(|part| part.bytes.clone()).collect();
        let total: u64 = frames.iter().map(|frame| frame.len() as u64).sum();
        if total != size_bytes {
            let what = format!("the parts have {total} bytes, not {size_bytes}");
            return Err(Error::new(Kind::InvalidPart, what));
        }
        let etag = ETag::of_parts(chosen.iter().map(|part| &part.etag));
        let attributes = upload.attributes.clone();
        let modified = self.clock.wall();
        let object =
            Object { frames, size_bytes, etag: etag.clone(), modified, attributes, checksum: None };
        let contents = state.bucket(target.bucket)?;
        let existing = contents.objects.get(target.key.as_str()).map(|object| &object.etag);
        completion.mode.check(existing, target.key)?;
        contents.uploads.remove(&target.upload.0);
        contents.objects.insert(target.key.to_string(), object);
        Ok(Written { etag, version: None, checksum: None })
    }

    async fn abort(&self, target: UploadTarget<'_>) -> Result<()> {
        let mut state = self.state();
        if state.upload(target).is_ok() {
            state.bucket(target.bucket)?.uploads.remove(&target.upload.0);
        }
        Ok(())
    }

    async fn copy(
        &self,
        source: CopySource<'_>,
        bucket: &Bucket,
        key: &Key,
        options: CopyOptions,
    ) -> Result<Option<Written>> {
        let mut state = self.state();
        let mut object = state.source(source)?;
        let contents = state.bucket(bucket)?;
        let old = contents.objects.get(key.as_str());
        options.mode.check(old.map(|old| &old.etag), key)?;
        object.modified = self.clock.wall();
        object.attributes = options.attributes;
        object.checksum = None;
        contents.objects.insert(key.to_string(), object);
        Ok(Some(Written { etag: source.etag.clone(), version: None, checksum: None }))
    }

    async fn copy_part(
        &self,
        source: CopySource<'_>,
        span: Option<ByteSpan>,
        part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        let body = {
            let mut state = self.state();
            let object = state.source(source)?;
            let span = span.unwrap_or(ByteSpan { first: 0, end: object.size_bytes });
            if span.end > object.size_bytes || span.first > span.end {
                return Err(Error::new(Kind::Range, format!("{} is shorter", source.key)));
            }
            state.upload(part.upload)?;
            slice(&object, span.first, span.end)
        };
        let options = PartOptions { sha256: None, tag: PartTag::Md5 };
        let written = self.put_part(part, body, options).await?;
        // As a store that does not compute it.
        Ok(Some(CopiedPart { etag: written.etag, sha256: None }))
    }

    async fn read_parts(
        &self,
        target: UploadTarget<'_>,
        parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        let mut state = self.state();
        let chosen = chosen_parts(state.upload(target)?, parts, 0)?;
        let frames: Vec<_> = chosen.into_iter().map(|part| Ok(part.bytes)).collect();
        let len = frames.iter().flatten().map(|frame| frame.len() as u64).sum();
        Ok(Some(Body::new(len, stream::iter(frames))))
    }

    async fn tags(&self, bucket: &Bucket, key: &Key, _version: Option<&str>) -> Result<Tags> {
        Ok(self.state().object(bucket, key)?.attributes.tags.clone())
    }

    async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
        self.state().object(bucket, key)?.attributes.tags = tags.clone();
        Ok(())
    }
}

fn chosen_parts(upload: &Upload, parts: &[ChosenPart], min_part_bytes: u64) -> Result<Vec<Part>> {
    require_ascending(parts)?;
    let mut chosen = Vec::with_capacity(parts.len());
    for (at, chosen_part) in parts.iter().enumerate() {
        let part =
            upload.parts.get(&chosen_part.number).filter(|part| part.etag == chosen_part.etag);
        let missing = || {
            Error::new(
                Kind::InvalidPart,
                format!("no part {} with the ETag {}", chosen_part.number, chosen_part.etag),
            )
        };
        let part = part.ok_or_else(missing)?.clone();
        if at + 1 < parts.len() && (part.bytes.len() as u64) < min_part_bytes {
            let what = format!(
                "part {} has {} bytes, fewer than {min_part_bytes}",
                chosen_part.number,
                part.bytes.len()
            );
            return Err(Error::new(Kind::TooSmall, what));
        }
        chosen.push(part);
    }
    Ok(chosen)
}
