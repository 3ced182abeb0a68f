//! Any S3 server: AWS, MinIO, SeaweedFS, Ceph, …
//!
//! Guarantees: one answer or one error per call, nothing is retried here (a conditional write that is repeated blindly
//! cannot tell its own first try from another's); bodies stream through one signed request and are never held; a body
//! that breaks off cuts its request short, so that the server keeps what it had; every body carries a SHA-256 that the
//! server can check: in a header where it was declared, else in a trailer.
//! Control calls go through the AWS SDK; bodies, heads and listings through a signed hyper request (`wire`).
//! **Errors**: by the server's error code, then by status; see `error`. Source: BACKENDS.md for what each server does.

mod chunked;
mod connect;
mod control;
mod credentials;
mod error;
mod exchange;
mod listing;
mod pools;
mod wire;

pub use connect::{Addressing, ConnectError, Settings};

use async_trait::async_trait;

use super::{
    Attributes, Body, Bucket, BucketInfo, ChosenPart, Foreign, ForeignAnswer, GetOptions, Head, Key, ListOptions, Page,
    PartNumber, PartOptions, PartPage, PartTarget, PutOptions, Read, Result, Store, UploadId, UploadTarget, Written,
    WrittenPart,
};
use crate::clock::Clock;

/// The store.
#[derive(Debug)]
pub struct Aws {
    control: aws_sdk_s3::Client,
    wire: wire::Wire,
}

impl Aws {
    /// Finds credentials and region (environment, profile, instance) and makes the clients. Asks the server nothing.
    pub async fn connect(settings: &Settings, clock: Clock) -> std::result::Result<Self, ConnectError> {
        let (control, wire) = connect::clients(settings, clock).await?;
        Ok(Self { control, wire })
    }
}

#[async_trait]
impl Store for Aws {
    async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        control::create_bucket(&self.control, bucket).await
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        control::delete_bucket(&self.control, bucket).await
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        control::list_buckets(&self.control).await
    }

    async fn put(&self, bucket: &Bucket, key: &Key, body: Body, options: PutOptions) -> Result<Written> {
        exchange::put(&self.wire, bucket, key, body, options).await
    }

    async fn get(&self, bucket: &Bucket, key: &Key, read: Read, options: GetOptions) -> Result<(Head, Body)> {
        exchange::get(&self.wire, bucket, key, read, options).await
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<()> {
        control::delete(&self.control, bucket, key, version).await
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        listing::list(&self.wire, bucket, options).await
    }

    async fn create_upload(&self, bucket: &Bucket, key: &Key, attributes: &Attributes) -> Result<UploadId> {
        control::create_upload(&self.control, bucket, key, attributes).await
    }

    async fn put_part(&self, part: PartTarget<'_>, body: Body, options: PartOptions) -> Result<WrittenPart> {
        exchange::put_part(&self.wire, part, body, options.sha256).await
    }

    async fn list_parts(&self, upload: UploadTarget<'_>, after: Option<PartNumber>) -> Result<PartPage> {
        control::list_parts(&self.control, upload, after).await
    }

    async fn complete(&self, upload: UploadTarget<'_>, parts: &[ChosenPart], size_bytes: u64) -> Result<Written> {
        control::complete(&self.control, upload, parts, size_bytes).await
    }

    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()> {
        control::abort(&self.control, upload).await
    }

    async fn pass_on(&self, request: Foreign) -> Result<Option<ForeignAnswer>> {
        self.wire.pass_on(request).await.map(Some)
    }

    async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        control::keeps_versions(&self.control, bucket).await
    }
}
