//! Where bytes and JSON documents are stored: one trait, and its implementations.
//!
//! Guarantees, tested by one conformance suite on every store (`tests/it/conformance`): a write
//! that returned is durable; conditions of `put` are atomic; a body that fails or is dropped leaves
//! the old object or part, or none, never a partial one. It does not retry a body, verify a
//! checksum on behalf of a client, or know what a session is. `memory` and `faulty` are for tests
//! only (feature `testing`). Source of the semantics:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/>

pub mod aws;
pub mod dir;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
pub mod probe;

mod attributes;
mod body;
mod conditions;
mod copying;
mod error;
mod extents;
mod listing;
mod measured;
mod passthrough;
mod received;
mod tags;
mod values;

use async_trait::async_trait;

use crate::digest::Algorithm;
use crate::names::{AccountName, Bucket, Key};
pub use attributes::{Attributes, acts_on_metadata};
pub use body::{Body, BodyError};
pub use conditions::{DeleteConditions, DeleteOptions, Deleted, NULL_VERSION, TagCondition};
pub use copying::{ByteSpan, CopiedPart, CopyOptions, CopySource};
pub use error::{Error, Kind, Marker};
pub use extents::{Extent, ExtentPage, ObjectExtents};
pub use measured::Measured;
pub use passthrough::{Level, Operation, Passthrough, PassthroughAnswer};
pub use tags::Tags;
pub use values::{
    BucketInfo, ChosenPart, Completion, ETag, GetOptions, GetRange, Head, Limits, ListApi,
    ListOptions, Listed, Next, Page, PartNumber, PartOptions, PartPage, PartTag, PutMode,
    PutOptions, StoredPart, UploadId, Written, WrittenPart,
};

pub type Result<T> = std::result::Result<T, Error>;

/// An object store with conditional writes and multipart uploads.
///
/// **For implementors**: do not retry a call that may have happened; a lost response is
/// `Kind::Unavailable`, and the caller reads again. Do not buffer a body. Do not report a refused
/// condition as anything but `Kind::Precondition` (it does not hold) or `Kind::Conflict` (it is
/// undecided, try again).
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug + 'static {
    fn limits(&self) -> Limits {
        Limits::S3
    }

    /// Whether this is an S3 server, which acts on the headers of `SERVER_SIDE`; another store
    /// keeps the storage class as a label, and must not be given the others.
    fn is_server(&self) -> bool {
        false
    }

    /// **Errors**: `BucketExists`.
    async fn create_bucket(&self, bucket: &Bucket) -> Result<()>;

    /// Creates a bucket whose objects can be locked. **Errors**: `BucketExists`; `Invalid` where
    /// the store has no locks.
    async fn create_bucket_with_lock(&self, bucket: &Bucket) -> Result<()> {
        Err(Error::new(Kind::Invalid, format!("no lock for bucket {bucket}: this store has none")))
    }

    /// **Errors**: `BucketNotEmpty`, `NoSuchBucket`.
    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()>;

    /// All buckets, by name.
    async fn list_buckets(&self) -> Result<Vec<BucketInfo>>;

    /// Stores a whole object. **Durability**: on return. **Cancel**: a dropped future leaves the
    /// old object or the new one. **Errors**: `Precondition`, `Conflict`, `Body` (the body
    /// failed; nothing was stored), `Checksum`, `NoSuchBucket`; after `Unavailable` the write may
    /// have happened.
    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written>;

    /// Opens an object. With `GetRange::Head` the body is empty. **Errors**: `NotFound`,
    /// `NoSuchVersion`, `DeleteMarker` (the version is one), `NoSuchBucket`, `Precondition`,
    /// `NotModified`, `Range` (no byte of the range exists). The returned body can fail in the
    /// middle.
    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)>;

    /// Removes an object, or one version of it; success if there is no object. **Errors**:
    /// `NoSuchVersion` (nothing is removed), `Precondition`, `Conflict`, `NotFound` (there is no
    /// object that could have the ETag of the condition), `NoSuchBucket`.
    async fn delete(&self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<Deleted>;

    /// One page of keys in byte order.
    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page>;

    /// As `list`, without a delimiter, with what each object is made of, if the store says so.
    async fn extents(&self, bucket: &Bucket, options: &ListOptions) -> Result<ExtentPage> {
        self.list(bucket, options).await.map(ExtentPage::from)
    }

    /// Creates a multipart upload; its object will have these attributes.
    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId>;

    /// Creates an upload whose parts are kept as blobs of the account, which other objects of the
    /// account share. None if the store keeps no blobs, or not for these attributes: the caller
    /// then creates an upload of the store's own.
    async fn create_content_upload(
        &self,
        _bucket: &Bucket,
        _key: &Key,
        _attributes: &Attributes,
        _account: &AccountName,
    ) -> Result<Option<UploadId>> {
        Ok(None)
    }

    /// Stores a part, replacing one of the same number. **Durability**: on return. **Cancel**: a
    /// dropped future leaves the old part or the complete new one. **Errors**: `NoSuchUpload`,
    /// `Body`, `Checksum`.
    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart>;

    /// One page of an upload's parts, by number; `after` is the last number of the previous page.
    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage>;

    /// Makes the object out of the chosen parts. **Errors**: `InvalidPart` (one is missing or has
    /// another ETag), `NoSuchUpload` (aborted, or completed already), `TooSmall`; `Precondition`,
    /// `Conflict` and `NotFound` for the condition, which leave the upload as it was; after
    /// `Unavailable` it may have happened.
    async fn complete(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written>;

    /// Removes the upload and its parts; success if there is none.
    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()>;

    /// Reads an upload's chosen parts before `complete`, in order. None if the store cannot (S3).
    async fn read_parts(
        &self,
        _upload: UploadTarget<'_>,
        _parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        Ok(None)
    }

    /// Copies an object within the store, atomically with its condition. None if the store cannot
    /// copy this one: the caller then reads and puts the bytes. **Durability**: on return.
    /// **Errors**: `NotFound` and `NoSuchBucket`, of either object; `Precondition`: the source has
    /// another ETag, or the condition on the target does not hold; after `Unavailable` the copy may
    /// have happened.
    async fn copy(
        &self,
        _source: CopySource<'_>,
        _bucket: &Bucket,
        _key: &Key,
        _options: CopyOptions,
    ) -> Result<Option<Written>> {
        Ok(None)
    }

    /// Copies bytes of an object into a part, replacing one of the same number; without a span the
    /// whole object. None as for `copy`. **Errors**: `NoSuchUpload`, `Range` (the source is
    /// shorter), and those of `copy`.
    async fn copy_part(
        &self,
        _source: CopySource<'_>,
        _span: Option<ByteSpan>,
        _part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        Ok(None)
    }

    /// Replaces an object that is made of blobs by a plain one of the same bytes. None: it is a
    /// plain one. **Errors**: `NotFound`; `Precondition`: it was replaced meanwhile.
    async fn make_plain(&self, bucket: &Bucket, key: &Key) -> Result<Option<Written>> {
        self.head(bucket, key).await.map(|_| None)
    }

    /// The tags of an object, or of one version of it. **Errors**: `NotFound`, `NoSuchBucket`.
    async fn tags(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<Tags>;

    /// Replaces the tags of an object, whose ETag and time stay. **Durability**: on return.
    /// **Errors**: `NotFound`, `NoSuchBucket`.
    async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()>;

    /// Passes an operation that this trait does not have to an S3 server. None if the store is no
    /// S3 server.
    async fn pass_through(&self, _request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        Ok(None)
    }

    /// The disk that the store is on; None where it is not on one of this machine.
    fn disk(&self) -> Option<Disk> {
        None
    }

    /// Whether the server reserves this name for itself, such as MinIO's `minio`: there is no such
    /// bucket, whatever the response to a request for it would be. Does not contact the server.
    fn reserves(&self, _bucket: &str) -> bool {
        false
    }

    /// Asks the server which names it reserves for itself, and what the gateway's key may do;
    /// [`Store::reserves`] knows the names from then on. None if the store is no server.
    async fn inspect_server(&self) -> Option<ServerFacts> {
        None
    }

    /// Whether a put can store a checksum in this algorithm that is known only after the bytes
    /// (`PutOptions::checksum`).
    fn stores_checksum(&self, _algorithm: Algorithm) -> bool {
        true
    }

    /// Whether a put keeps the older object (the bucket's versioning is on).
    async fn keeps_versions(&self, _bucket: &Bucket) -> Result<bool> {
        Ok(false)
    }

    /// The object's head: `get` without its bytes.
    async fn head(&self, bucket: &Bucket, key: &Key) -> Result<Head> {
        self.get(bucket, key, GetRange::Head, GetOptions::default()).await.map(|(head, _)| head)
    }
}

/// The checksum that an object gets for which its client names none: as in S3, every object has
/// one. None on an S3 server, which gives it one itself.
pub fn usual_checksum(store: &dyn Store) -> Option<Algorithm> {
    (!store.is_server()).then_some(Algorithm::Crc64Nvme)
}

/// The disk of an embedded store. **Unit**: bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    pub free_bytes: u64,
    pub total_bytes: u64,
    pub index_bytes: u64,
}

/// What [`Store::inspect_server`] found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerFacts {
    /// Names that the server reserves for itself.
    pub reserved: Vec<String>,
    /// Administration APIs that accept the gateway's key.
    pub administers: Vec<&'static str>,
}

/// A multipart upload and its target.
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
