//! Any S3 server: AWS, MinIO, SeaweedFS, Ceph, …
//!
//! Guarantees: one result per call, and no retries (a conditional write that is repeated blindly
//! cannot tell its own first attempt from another writer's); a body streams through one signed
//! request and is never buffered, unless its length shows only at its end (`slack`); a body that
//! fails aborts its request, so that the server keeps what it had; every body carries a SHA-256
//! that the server can check: in a header if it was declared, else in a trailer. Only valid bucket
//! names and keys are sent (`names`). Control calls go through the AWS SDK; bodies, heads and
//! listings through `signed_client`.
//! **Errors**: by the server's error code, then by status; see `error`. Source:
//! docs/backends.md#the-servers-side-by-side.

mod chunked;
mod connect;
mod control;
mod copies;
mod credentials;
mod error;
mod listing;
mod names;
mod objects;
mod passthrough;
mod pools;
mod reserved;
mod signed_client;
mod slack;
mod tags;

pub use connect::{Addressing, ConnectError, Settings};

use async_trait::async_trait;

use super::{
    Attributes, Body, Bucket, BucketInfo, ByteSpan, ChosenPart, Completion, CopiedPart,
    CopyOptions, CopySource, DeleteOptions, Deleted, GetOptions, GetRange, Head, Key, ListOptions,
    NULL_VERSION, Page, PartNumber, PartOptions, PartPage, PartTarget, Passthrough,
    PassthroughAnswer, PutOptions, Result, ServerFacts, Store, Tags, UploadId, UploadTarget,
    Written, WrittenPart,
};
use crate::clock::Clock;
use crate::digest::Algorithm;

/// The store.
#[derive(Debug)]
pub struct Aws {
    control: aws_sdk_s3::Client,
    client: signed_client::SignedClient,
    names: names::Names,
    memory: slack::Memory,
}

impl Aws {
    /// Finds credentials and region (environment, profile, instance) and builds the clients. Sends
    /// nothing to the server.
    pub async fn connect(
        settings: &Settings,
        clock: Clock,
    ) -> std::result::Result<Self, ConnectError> {
        let (control, client) = connect::clients(settings, clock).await?;
        let (names, memory) = (names::Names::default(), slack::Memory::default());
        Ok(Self { control, client, names, memory })
    }

    /// The same upload, if its bucket and key may be sent. **Errors**: `NoSuchBucket`, `Invalid`.
    fn checked_upload<'a>(&self, upload: UploadTarget<'a>) -> Result<UploadTarget<'a>> {
        self.names.object(upload.bucket, upload.key).map(|_| upload)
    }
}

#[async_trait]
impl Store for Aws {
    fn is_server(&self) -> bool {
        true
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        control::create_bucket(&self.control, self.names.bucket(bucket)?, false).await
    }

    async fn create_bucket_with_lock(&self, bucket: &Bucket) -> Result<()> {
        control::create_bucket(&self.control, self.names.bucket(bucket)?, true).await
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        control::delete_bucket(&self.control, self.names.bucket(bucket)?).await
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        let mut buckets = control::list_buckets(&self.control).await?;
        buckets.retain(|info| self.names.bucket(&info.bucket).is_ok());
        Ok(buckets)
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written> {
        let (bucket, key) = self.names.object(bucket, key)?;
        if body.slack_bytes() > 0 {
            return slack::put(self, bucket, key, body, options).await;
        }
        objects::put(&self.client, bucket, key, body, options).await
    }

    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        let (bucket, key) = self.names.object(bucket, key)?;
        objects::get(&self.client, bucket, key, read, options).await
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<Deleted> {
        let (bucket, key) = self.names.object(bucket, key)?;
        if let Some(version) = options.version.as_deref().filter(|id| *id != NULL_VERSION) {
            objects::require_version(&self.client, bucket, key, version).await?;
        }
        control::delete(&self.control, bucket, key, options).await
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        listing::list(&self.client, self.names.bucket(bucket)?, options).await
    }

    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId> {
        let (bucket, key) = self.names.object(bucket, key)?;
        control::create_upload(&self.control, bucket, key, attributes).await
    }

    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        let part = PartTarget { upload: self.checked_upload(part.upload)?, number: part.number };
        objects::put_part(&self.client, part, body, options.sha256).await
    }

    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        control::list_parts(&self.control, self.checked_upload(upload)?, after).await
    }

    async fn complete(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written> {
        control::complete(&self.control, self.checked_upload(upload)?, parts, completion).await
    }

    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()> {
        control::abort(&self.control, self.checked_upload(upload)?).await
    }

    async fn copy(
        &self,
        source: CopySource<'_>,
        bucket: &Bucket,
        key: &Key,
        options: CopyOptions,
    ) -> Result<Option<Written>> {
        self.names.object(source.bucket, source.key)?;
        let target = self.names.object(bucket, key)?;
        copies::copy(&self.client, source, target, options).await
    }

    async fn copy_part(
        &self,
        source: CopySource<'_>,
        span: Option<ByteSpan>,
        part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        self.names.object(source.bucket, source.key)?;
        let part = PartTarget { upload: self.checked_upload(part.upload)?, number: part.number };
        copies::copy_part(&self.client, source, span, part).await
    }

    async fn tags(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<Tags> {
        let (bucket, key) = self.names.object(bucket, key)?;
        tags::get(&self.control, bucket, key, version).await
    }

    async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
        let (bucket, key) = self.names.object(bucket, key)?;
        tags::put(&self.control, bucket, key, tags).await
    }

    async fn pass_through(&self, request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        self.names.bucket(request.bucket())?;
        if !request.key().as_str().is_empty() {
            self.names.object(request.bucket(), request.key())?;
            let version = request.parameters().iter().find(|(name, _)| *name == "versionId");
            if let Some((_, version)) = version.filter(|(_, id)| id != NULL_VERSION) {
                let (bucket, key) = (request.bucket(), request.key());
                objects::require_version(&self.client, bucket, key, version).await?;
            }
        }
        passthrough::pass_through(&self.client, request).await.map(Some)
    }

    fn stores_checksum(&self, algorithm: Algorithm) -> bool {
        algorithm.is_common()
    }

    fn reserves(&self, bucket: &str) -> bool {
        self.names.is_reserved(bucket)
    }

    async fn inspect_server(&self) -> Option<ServerFacts> {
        let (reserved, administers) = tokio::join!(
            reserved::find(&self.client),
            reserved::accessible_admin_apis(&self.client)
        );
        if !reserved.is_empty() {
            tracing::info!(
                ?reserved,
                "the S3 server reserves these names, so they cannot be used as buckets"
            );
        }
        self.names.add_reserved(reserved.clone());
        Some(ServerFacts { reserved, administers })
    }

    async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        control::keeps_versions(&self.control, self.names.bucket(bucket)?).await
    }
}
