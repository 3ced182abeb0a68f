//! Where bytes and manifests live: one trait, and the stores behind it.
//!
//! Guarantees, tested by one conformance suite on every store (`tests/it/conformance`): a write
//! that returned is durable; conditions of `put` are atomic; a stream that fails or is dropped
//! leaves the old object, part or nothing, never a torn one. It does not retry a body, verify a
//! checksum on behalf of a client, or know what a session is. Source of the semantics:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/>

pub mod aws;
pub mod dir;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod probe;

mod body;
mod error;
mod listing;
mod passthrough;
mod received;
mod values;

use async_trait::async_trait;

pub use body::{Body, BodyError};
pub use error::{Error, Kind};
pub use passthrough::{Level, Operation, Passthrough, PassthroughAnswer};
pub use values::{
    Attributes, Bucket, BucketInfo, ChosenPart, ETag, GetOptions, GetRange, Head, Key, Limits,
    ListOptions, Listed, Page, PartNumber, PartOptions, PartPage, PartTag, PutMode, PutOptions,
    StoredPart, UploadId, Written, WrittenPart, acts_on_metadata,
};

pub type Result<T> = std::result::Result<T, Error>;

/// An object store with conditional writes and multipart uploads.
///
/// **For implementors**: do not retry a call that may have happened; a lost answer is
/// `Kind::Unavailable`, and the caller re-reads. Do not buffer a body. Do not report a refused
/// condition as anything but `Kind::Precondition` (the caller lost) or `Kind::Conflict` (nobody
/// knows yet, try again).
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    fn limits(&self) -> Limits {
        Limits::S3
    }

    /// **Errors**: `BucketExists` where it is there already.
    async fn create_bucket(&self, bucket: &Bucket) -> Result<()>;

    /// **Errors**: `BucketNotEmpty`, `NoSuchBucket`.
    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()>;

    /// All buckets, by name.
    async fn list_buckets(&self) -> Result<Vec<BucketInfo>>;

    /// Stores a whole object. **Durability**: on return. **Cancel**: a dropped future leaves the
    /// old object or the new one. **Errors**: `Precondition`, `Conflict`, `Body` (the stream
    /// failed; nothing was stored), `Checksum`, `NoSuchBucket`; after `Unavailable` the write may
    /// have happened.
    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written>;

    /// Opens an object. With `Read::Head` the body is empty. **Errors**: `NotFound`,
    /// `NoSuchBucket`, `Precondition`, `NotModified`, `Range` (no byte of the range exists). The
    /// body can fail half-way.
    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)>;

    /// Removes an object, or one version of it; success where there is none.
    async fn delete(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<()>;

    /// One page of keys in byte order.
    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page>;

    /// Begins a multipart upload; `attributes` become the object's.
    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId>;

    /// Stores a part, replacing one of the same number. **Durability**: on return. **Cancel**: a
    /// dropped future leaves the part as it was, or the new one whole. **Errors**: `NoSuchUpload`,
    /// `Body`, `Checksum`.
    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart>;

    /// One page of an upload's parts, by number; `after` is the last number of the page before.
    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage>;

    /// Makes the object out of the chosen parts. **Errors**: `InvalidPart` (one is missing or has
    /// another tag), `NoSuchUpload` (gone, or completed by someone else), `TooSmall`; after
    /// `Unavailable` it may have happened.
    async fn complete(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
        size_bytes: u64,
    ) -> Result<Written>;

    /// Throws the upload and its parts away; success where there is none.
    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()>;

    /// Reads an upload's chosen parts before `complete`, in order, or None where a store cannot
    /// (S3).
    async fn read_parts(
        &self,
        _upload: UploadTarget<'_>,
        _parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        Ok(None)
    }

    /// Has an S3 server do what is no operation of this trait; None where the store is no S3
    /// server.
    async fn pass_through(&self, _request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        Ok(None)
    }

    /// Whether the server keeps this name for itself, such as MinIO's `minio`: there is no such
    /// bucket, whatever a request for it would answer.
    fn reserves(&self, _bucket: &str) -> bool {
        false
    }

    /// Asks the server which names it keeps for itself, and how far the gateway's key reaches;
    /// [`Store::reserves`] knows the names from then on. None where the store is no server.
    async fn inspect_server(&self) -> Option<ServerFacts> {
        None
    }

    /// Whether the bucket keeps the older object under a put (versioning is on).
    async fn keeps_versions(&self, _bucket: &Bucket) -> Result<bool> {
        Ok(false)
    }

    /// The object's head: `get` without bytes.
    async fn head(&self, bucket: &Bucket, key: &Key) -> Result<Head> {
        self.get(bucket, key, GetRange::Head, GetOptions::default()).await.map(|(head, _)| head)
    }
}

/// What `inspect_server` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// Names that are no buckets there.
    pub reserved: Vec<String>,
    /// Administration APIs that the gateway's key opens.
    pub administers: Vec<&'static str>,
}

/// A multipart upload at its target.
#[derive(Clone, Copy, Debug)]
pub struct UploadTarget<'a> {
    pub bucket: &'a Bucket,
    pub key: &'a Key,
    pub upload: &'a UploadId,
}

/// A part of a multipart upload.
#[derive(Clone, Copy, Debug)]
pub struct PartTarget<'a> {
    pub upload: UploadTarget<'a>,
    pub number: PartNumber,
}
