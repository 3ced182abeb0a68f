//! A store whose calls are counted and timed.
//!
//! Guarantees: it changes no call and no result. A call ends with its result; the body of an object
//! that is read comes after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::{
    Attributes, Body, Bucket, BucketInfo, ByteSpan, ChosenPart, Completion, CopiedPart,
    CopyOptions, CopySource, DeleteOptions, Deleted, Disk, ExtentPage, GetOptions, GetRange, Head,
    Key, Kind, Limits, ListOptions, Page, PartNumber, PartOptions, PartPage, PartTarget,
    Passthrough, PassthroughAnswer, PutOptions, Result, ServerFacts, Store, Tags, UploadId,
    UploadTarget, Written, WrittenPart,
};
use crate::clock::Clock;
use crate::digest::Algorithm;
use crate::measure::{Histogram, Source, Text};
use crate::names::AccountName;

/// The calls that are told apart.
#[derive(Clone, Copy, Debug)]
enum Call {
    Put,
    Get,
    Delete,
    List,
    CreateUpload,
    PutPart,
    ListParts,
    Complete,
    Abort,
    Copy,
    Tags,
    Other,
}

/// Their names in labels.
const CALLS: [&str; Call::Other as usize + 1] = [
    "put",
    "get",
    "delete",
    "list",
    "create-upload",
    "put-part",
    "list-parts",
    "complete",
    "abort",
    "copy",
    "tags",
    "other",
];

/// The figures of one call.
#[derive(Debug, Default)]
struct Figures {
    seconds: Histogram,
    failed: AtomicU64,
}

/// A store and the figures of its calls.
#[derive(Debug)]
pub struct Measured {
    store: Arc<dyn Store>,
    clock: Clock,
    figures: [Figures; CALLS.len()],
}

impl Measured {
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock, figures: Default::default() }
    }

    async fn timed<T>(
        &self,
        call: Call,
        result: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let started = self.clock.monotonic();
        let result = result.await;
        let took = self.clock.monotonic().saturating_sub(started);
        self.count(call, took, result.as_ref().is_err_and(|error| is_failure(error.kind())));
        result
    }

    fn count(&self, call: Call, took: Duration, failed: bool) {
        let figures = &self.figures[call as usize];
        figures.seconds.add(took);
        if failed {
            figures.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether the store did not do its work, which is no answer such as that an object is absent.
fn is_failure(kind: Kind) -> bool {
    match kind {
        Kind::Full | Kind::SlowDown | Kind::Unavailable | Kind::Denied => true,
        Kind::NotFound
        | Kind::NoSuchVersion
        | Kind::DeleteMarker
        | Kind::NoSuchBucket
        | Kind::NoSuchUpload
        | Kind::BucketExists
        | Kind::BucketNotEmpty
        | Kind::Precondition
        | Kind::Conflict
        | Kind::NotModified
        | Kind::Range
        | Kind::InvalidPart
        | Kind::Unsupported
        | Kind::TooSmall
        | Kind::Checksum
        | Kind::Body
        | Kind::Invalid => false,
    }
}

impl Source for Measured {
    fn write(&self, text: &mut Text) {
        let used = || {
            let figures = CALLS.iter().zip(&self.figures);
            figures.map(|(call, figures)| (format!("call=\"{call}\""), figures))
        };
        let seconds = used().map(|(call, figures)| (call, &figures.seconds));
        let help = "Calls of the store, until their result.";
        text.histograms("ratchet_store_call_seconds", help, seconds);
        let failed = used().map(|(call, figures)| (call, figures.failed.load(Ordering::Relaxed)));
        let help = "Calls that the store refused, could not do, or did not respond to.";
        text.counters("ratchet_store_calls_failed_total", help, failed);
        let Some(Disk { free_bytes, total_bytes, index_bytes }) = self.store.disk() else { return };
        let help = "Free bytes of the file system of the embedded store.";
        text.gauge("ratchet_store_free_bytes", help, free_bytes);
        let help = "Bytes of the file system of the embedded store.";
        text.gauge("ratchet_store_size_bytes", help, total_bytes);
        let help = "Bytes of the index of the embedded store.";
        text.gauge("ratchet_store_index_bytes", help, index_bytes);
    }
}

#[async_trait]
impl Store for Measured {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn is_server(&self) -> bool {
        self.store.is_server()
    }

    fn reserves(&self, bucket: &str) -> bool {
        self.store.reserves(bucket)
    }

    fn stores_checksum(&self, algorithm: Algorithm) -> bool {
        self.store.stores_checksum(algorithm)
    }

    fn disk(&self) -> Option<Disk> {
        self.store.disk()
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.timed(Call::Other, self.store.create_bucket(bucket)).await
    }

    async fn create_bucket_with_lock(&self, bucket: &Bucket) -> Result<()> {
        self.timed(Call::Other, self.store.create_bucket_with_lock(bucket)).await
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.timed(Call::Other, self.store.delete_bucket(bucket)).await
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        self.timed(Call::Other, self.store.list_buckets()).await
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written> {
        self.timed(Call::Put, self.store.put(bucket, key, body, options)).await
    }

    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        self.timed(Call::Get, self.store.get(bucket, key, read, options)).await
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<Deleted> {
        self.timed(Call::Delete, self.store.delete(bucket, key, options)).await
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        self.timed(Call::List, self.store.list(bucket, options)).await
    }

    async fn extents(&self, bucket: &Bucket, options: &ListOptions) -> Result<ExtentPage> {
        self.timed(Call::List, self.store.extents(bucket, options)).await
    }

    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId> {
        self.timed(Call::CreateUpload, self.store.create_upload(bucket, key, attributes)).await
    }

    async fn create_content_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
        account: &AccountName,
    ) -> Result<Option<UploadId>> {
        let created = self.store.create_content_upload(bucket, key, attributes, account);
        self.timed(Call::CreateUpload, created).await
    }

    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        self.timed(Call::PutPart, self.store.put_part(part, body, options)).await
    }

    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        self.timed(Call::ListParts, self.store.list_parts(upload, after)).await
    }

    async fn complete(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written> {
        self.timed(Call::Complete, self.store.complete(upload, parts, completion)).await
    }

    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()> {
        self.timed(Call::Abort, self.store.abort(upload)).await
    }

    async fn read_parts(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        self.timed(Call::Get, self.store.read_parts(upload, parts)).await
    }

    async fn copy(
        &self,
        source: CopySource<'_>,
        bucket: &Bucket,
        key: &Key,
        options: CopyOptions,
    ) -> Result<Option<Written>> {
        self.timed(Call::Copy, self.store.copy(source, bucket, key, options)).await
    }

    async fn copy_part(
        &self,
        source: CopySource<'_>,
        span: Option<ByteSpan>,
        part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        self.timed(Call::Copy, self.store.copy_part(source, span, part)).await
    }

    async fn make_plain(&self, bucket: &Bucket, key: &Key) -> Result<Option<Written>> {
        self.timed(Call::Copy, self.store.make_plain(bucket, key)).await
    }

    async fn tags(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<Tags> {
        self.timed(Call::Tags, self.store.tags(bucket, key, version)).await
    }

    async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
        self.timed(Call::Tags, self.store.set_tags(bucket, key, tags)).await
    }

    async fn pass_through(&self, request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        self.timed(Call::Other, self.store.pass_through(request)).await
    }

    async fn inspect_server(&self) -> Option<ServerFacts> {
        self.store.inspect_server().await
    }

    async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        self.timed(Call::Other, self.store.keeps_versions(bucket)).await
    }

    async fn head(&self, bucket: &Bucket, key: &Key) -> Result<Head> {
        self.timed(Call::Get, self.store.head(bucket, key)).await
    }
}
