//! A store that injects faults: failed calls, lost responses, delays, damaged bodies, stale
//! listings.
//!
//! Guarantees: one hook decides about every operation that reaches the store behind it; a test
//! walks all methods of the trait. A fault before an operation changes nothing; a fault after it (a
//! lost response) has changed everything.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::{
    Attributes, Body, Bucket, BucketInfo, ByteSpan, ChosenPart, Completion, CopiedPart,
    CopyOptions, CopySource, DeleteOptions, Deleted, Error, ExtentPage, GetOptions, GetRange, Head,
    Key, Kind, Limits, ListOptions, Page, PartNumber, PartOptions, PartPage, PartTarget,
    Passthrough, PassthroughAnswer, PutOptions, Result, ServerFacts, Store, Tags, UploadId,
    UploadTarget, Written, WrittenPart,
};
use crate::clock::Clock;
use crate::digest::Algorithm;
use crate::names::AccountName;

#[cfg(test)]
mod tests;

/// A call of the store, as the hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub op: Op,
    /// Empty where the operation has none.
    pub bucket: &'a str,
    /// The prefix of a listing; empty where the operation has no key.
    pub key: &'a str,
}

/// Declares the operations, and a list of all of them.
macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        /// The operations of [`Store`] that reach the store: all its methods but `limits` and
        /// `reserves`, which neither wait nor fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Op {
            $($name,)*
        }

        impl Op {
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}
operations!(
    CreateBucket,
    CreateBucketWithLock,
    DeleteBucket,
    ListBuckets,
    Put,
    Get,
    Delete,
    List,
    Extents,
    CreateUpload,
    CreateContentUpload,
    PutPart,
    ListParts,
    Complete,
    Abort,
    ReadParts,
    Copy,
    CopyPart,
    MakePlain,
    Tags,
    SetTags,
    PassThrough,
    InspectServer,
    KeepsVersions,
    Head,
);

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation does not happen, and the caller gets this error.
    Before(Kind),
    /// The operation happens, and its response is lost: `Kind::Unavailable`.
    After,
    /// The body breaks off after at most that many bytes: a body given to the store, or one that
    /// the store returns.
    TornBody(u64),
    /// One bit of a body that the store returns is flipped, in the byte at this offset modulo the
    /// body's length.
    FlippedBit(u64),
    /// A listing returns what the same listing returned the last time.
    Stale,
}

/// Decides for each call how long it is delayed, and what goes wrong.
pub type Hook = dyn Fn(Call<'_>) -> (Duration, Option<Fault>) + Send + Sync;

/// A store behind a hook.
pub struct Faulty {
    inner: Arc<dyn Store>,
    clock: Clock,
    hook: Box<Hook>,
    /// The last page of each listing, for [`Fault::Stale`].
    pages: Mutex<HashMap<(Bucket, ListOptions), Page>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>, clock: Clock, hook: Box<Hook>) -> Self {
        Self { inner, clock, hook, pages: Mutex::default() }
    }

    /// Asks the hook about a call, and delays it. **Errors**: that of [`Fault::Before`].
    async fn ask_hook(&self, op: Op, bucket: &str, key: &str) -> Result<Option<Fault>> {
        let (delay, fault) = (self.hook)(Call { op, bucket, key });
        if !delay.is_zero() {
            self.clock.pause(delay).await;
        }
        match fault {
            Some(Fault::Before(kind)) => {
                Err(Error::new(kind, format!("injected before {op:?} of {key}")))
            }
            Some(Fault::After | Fault::TornBody(_) | Fault::FlippedBit(_) | Fault::Stale)
            | None => Ok(fault),
        }
    }
}

/// The result of an operation that happened. **Errors**: `Unavailable` for [`Fault::After`].
fn respond<T>(fault: Option<Fault>, result: Result<T>) -> Result<T> {
    if fault == Some(Fault::After) {
        return Err(Error::unavailable("injected: the response was lost"));
    }
    result
}

/// The body as [`Fault::TornBody`] leaves it.
fn torn(fault: Option<Fault>, body: Body) -> Body {
    let Some(Fault::TornBody(max_bytes)) = fault else { return body };
    let (len_bytes, slack_bytes) = (body.len_bytes(), body.slack_bytes());
    let mut remaining = max_bytes;
    let frames = body.map(move |frame| {
        let frame = frame?;
        let len = frame.len() as u64;
        if len > remaining {
            return Err("injected: the body was torn".into());
        }
        remaining -= len;
        Ok(frame)
    });
    Body::new(len_bytes, frames).with_slack(slack_bytes)
}

/// A body that the store returns, as the fault leaves it.
fn damaged(fault: Option<Fault>, body: Body) -> Body {
    let len_bytes = body.len_bytes();
    let Some(Fault::FlippedBit(offset)) = fault.filter(|_| len_bytes > 0) else {
        return torn(fault, body);
    };
    let mut offset = offset % len_bytes;
    let mut flipped = false;
    let frames = body.map(move |frame| {
        let frame = frame?;
        let len = frame.len() as u64;
        if flipped || len <= offset {
            offset = offset.saturating_sub(len);
            return Ok(frame);
        }
        flipped = true;
        let mut bytes = frame.to_vec();
        bytes[offset as usize] ^= 0x10;
        Ok(bytes.into())
    });
    Body::new(len_bytes, frames)
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for Faulty {
    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        let fault = self.ask_hook(Op::CreateBucket, bucket.as_str(), "").await?;
        respond(fault, self.inner.create_bucket(bucket).await)
    }

    async fn create_bucket_with_lock(&self, bucket: &Bucket) -> Result<()> {
        let fault = self.ask_hook(Op::CreateBucketWithLock, bucket.as_str(), "").await?;
        respond(fault, self.inner.create_bucket_with_lock(bucket).await)
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        let fault = self.ask_hook(Op::DeleteBucket, bucket.as_str(), "").await?;
        respond(fault, self.inner.delete_bucket(bucket).await)
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        let fault = self.ask_hook(Op::ListBuckets, "", "").await?;
        respond(fault, self.inner.list_buckets().await)
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written> {
        let fault = self.ask_hook(Op::Put, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.put(bucket, key, torn(fault, body), options).await)
    }

    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        let fault = self.ask_hook(Op::Get, bucket.as_str(), key.as_str()).await?;
        let (head, body) = respond(fault, self.inner.get(bucket, key, read, options).await)?;
        Ok((head, damaged(fault, body)))
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<Deleted> {
        let fault = self.ask_hook(Op::Delete, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.delete(bucket, key, options).await)
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        let fault = self.ask_hook(Op::List, bucket.as_str(), &options.prefix).await?;
        let query = (bucket.clone(), options.clone());
        let pages = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = pages().get(&query).filter(|_| fault == Some(Fault::Stale)).cloned() {
            return Ok(older);
        }
        let page = respond(fault, self.inner.list(bucket, options).await)?;
        pages().insert(query, page.clone());
        Ok(page)
    }

    async fn extents(&self, bucket: &Bucket, options: &ListOptions) -> Result<ExtentPage> {
        let fault = self.ask_hook(Op::Extents, bucket.as_str(), &options.prefix).await?;
        respond(fault, self.inner.extents(bucket, options).await)
    }

    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId> {
        let fault = self.ask_hook(Op::CreateUpload, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.create_upload(bucket, key, attributes).await)
    }

    async fn create_content_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
        account: &AccountName,
    ) -> Result<Option<UploadId>> {
        let fault = self.ask_hook(Op::CreateContentUpload, bucket.as_str(), key.as_str()).await?;
        let created = self.inner.create_content_upload(bucket, key, attributes, account).await;
        respond(fault, created)
    }

    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        let fault = self
            .ask_hook(Op::PutPart, part.upload.bucket.as_str(), part.upload.key.as_str())
            .await?;
        respond(fault, self.inner.put_part(part, torn(fault, body), options).await)
    }

    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        let fault =
            self.ask_hook(Op::ListParts, upload.bucket.as_str(), upload.key.as_str()).await?;
        respond(fault, self.inner.list_parts(upload, after).await)
    }

    async fn complete(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written> {
        let fault =
            self.ask_hook(Op::Complete, upload.bucket.as_str(), upload.key.as_str()).await?;
        respond(fault, self.inner.complete(upload, parts, completion).await)
    }

    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()> {
        let fault = self.ask_hook(Op::Abort, upload.bucket.as_str(), upload.key.as_str()).await?;
        respond(fault, self.inner.abort(upload).await)
    }

    async fn read_parts(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        let fault =
            self.ask_hook(Op::ReadParts, upload.bucket.as_str(), upload.key.as_str()).await?;
        let body = respond(fault, self.inner.read_parts(upload, parts).await)?;
        Ok(body.map(|body| damaged(fault, body)))
    }

    async fn copy(
        &self,
        source: CopySource<'_>,
        bucket: &Bucket,
        key: &Key,
        options: CopyOptions,
    ) -> Result<Option<Written>> {
        let fault = self.ask_hook(Op::Copy, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.copy(source, bucket, key, options).await)
    }

    async fn copy_part(
        &self,
        source: CopySource<'_>,
        span: Option<ByteSpan>,
        part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        let (bucket, key) = (part.upload.bucket.as_str(), part.upload.key.as_str());
        let fault = self.ask_hook(Op::CopyPart, bucket, key).await?;
        respond(fault, self.inner.copy_part(source, span, part).await)
    }

    async fn make_plain(&self, bucket: &Bucket, key: &Key) -> Result<Option<Written>> {
        let fault = self.ask_hook(Op::MakePlain, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.make_plain(bucket, key).await)
    }

    async fn tags(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<Tags> {
        let fault = self.ask_hook(Op::Tags, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.tags(bucket, key, version).await)
    }

    async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
        let fault = self.ask_hook(Op::SetTags, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.set_tags(bucket, key, tags).await)
    }

    async fn pass_through(&self, request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        let (bucket, key) = (request.bucket().as_str(), request.key().as_str());
        let fault = self.ask_hook(Op::PassThrough, bucket, key).await?;
        let answer = respond(fault, self.inner.pass_through(request).await)?;
        Ok(answer.map(|answer| PassthroughAnswer { body: damaged(fault, answer.body), ..answer }))
    }

    fn is_server(&self) -> bool {
        self.inner.is_server()
    }

    fn stores_checksum(&self, algorithm: Algorithm) -> bool {
        self.inner.stores_checksum(algorithm)
    }

    fn reserves(&self, bucket: &str) -> bool {
        self.inner.reserves(bucket)
    }

    /// The method has no error: a call that fails finds nothing out.
    async fn inspect_server(&self) -> Option<ServerFacts> {
        let fault = self.ask_hook(Op::InspectServer, "", "").await.ok()?;
        let facts = self.inner.inspect_server().await;
        facts.filter(|_| fault != Some(Fault::After))
    }

    async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        let fault = self.ask_hook(Op::KeepsVersions, bucket.as_str(), "").await?;
        respond(fault, self.inner.keeps_versions(bucket).await)
    }
    async fn head(&self, bucket: &Bucket, key: &Key) -> Result<Head> {
        let fault = self.ask_hook(Op::Head, bucket.as_str(), key.as_str()).await?;
        respond(fault, self.inner.head(bucket, key).await)
    }
}
