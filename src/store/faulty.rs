//! A store that fails as a test tells it to.
//!
//! Guarantees: one hook decides for every operation, none is left out; a fault before changes
//! nothing, a fault after (the lost answer) has changed everything.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;

use super::{
    Attributes, Body, Bucket, BucketInfo, ChosenPart, Error, GetOptions, GetRange, Head, Key, Kind,
    Limits, ListOptions, Page, PartNumber, PartOptions, PartPage, PartTarget, PutOptions, Result,
    Store, UploadId, UploadTarget, Written, WrittenPart,
};
use crate::clock::Clock;

/// A call, as the hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub op: Op,
    /// Empty where the operation has none.
    pub bucket: &'a str,
    pub key: &'a str,
}

/// The operations of the trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    CreateBucket,
    DeleteBucket,
    ListBuckets,
    Put,
    Get,
    Delete,
    List,
    CreateUpload,
    PutPart,
    ListParts,
    Complete,
    Abort,
    ReadParts,
    KeepsVersions,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens but this error.
    Before(Kind),
    /// It happens, and the answer is lost: `Kind::Unavailable`.
    After,
    /// The body breaks off after that many bytes: one given to the store, or one it gives.
    TornBody(u64),
    /// One byte of the body that the store gives is another one: the one at this place, counted
    /// round its length.
    TurnedByte(u64),
    /// A listing answers what it answered when it was last asked for the same.
    Stale,
}

/// Decides the fate of each call: how long it takes, and what goes wrong.
pub type Hook = dyn Fn(Call<'_>) -> (Duration, Option<Fault>) + Send + Sync;

/// A store behind a hook.
pub struct Faulty {
    inner: Arc<dyn Store>,
    clock: Clock,
    hook: Box<Hook>,
    /// What listings answered last.
    listed: Mutex<HashMap<(Bucket, ListOptions), Page>>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn Store>, clock: Clock, hook: Box<Hook>) -> Self {
        Self { inner, clock, hook, listed: Mutex::default() }
    }

    /// Waits as the hook says; fails where it says before.
    async fn enter(&self, op: Op, bucket: &str, key: &str) -> Result<Option<Fault>> {
        let (delay, fault) = (self.hook)(Call { op, bucket, key });
        if !delay.is_zero() {
            self.clock.pause(delay).await;
        }
        match fault {
            Some(Fault::Before(kind)) => {
                Err(Error::new(kind, format!("injected before {op:?} of {key}")))
            }
            Some(Fault::After | Fault::TornBody(_) | Fault::TurnedByte(_) | Fault::Stale)
            | None => Ok(fault),
        }
    }
}

/// Loses the answer where the fault says so.
fn leave<T>(fault: Option<Fault>, result: Result<T>) -> Result<T> {
    if fault == Some(Fault::After) {
        return Err(Error::new(Kind::Unavailable, "injected: the answer was lost"));
    }
    result
}

fn torn(fault: Option<Fault>, body: Body) -> Body {
    let Some(Fault::TornBody(max_bytes)) = fault else { return body };
    let len_bytes = body.len_bytes();
    let mut left = max_bytes;
    let frames = body.map(move |frame| {
        let frame = frame?;
        let len = frame.len() as u64;
        if len > left {
            return Err("injected: the body was torn".into());
        }
        left -= len;
        Ok(frame)
    });
    Body::new(len_bytes, frames)
}

/// What the store gives, with whatever the fault does to it.
fn given(fault: Option<Fault>, body: Body) -> Body {
    let len_bytes = body.len_bytes();
    let Some(Fault::TurnedByte(at)) = fault.filter(|_| len_bytes > 0) else {
        return torn(fault, body);
    };
    let mut left = at % len_bytes;
    let mut turned = false;
    let frames = body.map(move |frame| {
        let frame = frame?;
        let len = frame.len() as u64;
        if turned || len <= left {
            left = left.saturating_sub(len);
            return Ok(frame);
        }
        turned = true;
        let mut bytes = frame.to_vec();
        bytes[left as usize] ^= 0x10;
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
        let fault = self.enter(Op::CreateBucket, &bucket.0, "").await?;
        leave(fault, self.inner.create_bucket(bucket).await)
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        let fault = self.enter(Op::DeleteBucket, &bucket.0, "").await?;
        leave(fault, self.inner.delete_bucket(bucket).await)
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        let fault = self.enter(Op::ListBuckets, "", "").await?;
        leave(fault, self.inner.list_buckets().await)
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written> {
        let fault = self.enter(Op::Put, &bucket.0, &key.0).await?;
        leave(fault, self.inner.put(bucket, key, torn(fault, body), options).await)
    }

    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        let fault = self.enter(Op::Get, &bucket.0, &key.0).await?;
        let (head, body) = leave(fault, self.inner.get(bucket, key, read, options).await)?;
        Ok((head, given(fault, body)))
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<()> {
        let fault = self.enter(Op::Delete, &bucket.0, &key.0).await?;
        leave(fault, self.inner.delete(bucket, key, version).await)
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        let fault = self.enter(Op::List, &bucket.0, &options.prefix).await?;
        let asked = (bucket.clone(), options.clone());
        let listed = || self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(older) = listed().get(&asked).filter(|_| fault == Some(Fault::Stale)).cloned() {
            return Ok(older);
        }
        let page = leave(fault, self.inner.list(bucket, options).await)?;
        listed().insert(asked, page.clone());
        Ok(page)
    }

    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId> {
        let fault = self.enter(Op::CreateUpload, &bucket.0, &key.0).await?;
        leave(fault, self.inner.create_upload(bucket, key, attributes).await)
    }

    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        let fault = self.enter(Op::PutPart, &part.upload.bucket.0, &part.upload.key.0).await?;
        leave(fault, self.inner.put_part(part, torn(fault, body), options).await)
    }

    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        let fault = self.enter(Op::ListParts, &upload.bucket.0, &upload.key.0).await?;
        leave(fault, self.inner.list_parts(upload, after).await)
    }

    async fn complete(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
        size_bytes: u64,
    ) -> Result<Written> {
        let fault = self.enter(Op::Complete, &upload.bucket.0, &upload.key.0).await?;
        leave(fault, self.inner.complete(upload, parts, size_bytes).await)
    }

    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()> {
        let fault = self.enter(Op::Abort, &upload.bucket.0, &upload.key.0).await?;
        leave(fault, self.inner.abort(upload).await)
    }

    async fn read_parts(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        let fault = self.enter(Op::ReadParts, &upload.bucket.0, &upload.key.0).await?;
        let body = leave(fault, self.inner.read_parts(upload, parts).await)?;
        Ok(body.map(|body| given(fault, body)))
    }

    fn reserves(&self, bucket: &str) -> bool {
        self.inner.reserves(bucket)
    }

    async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        let fault = self.enter(Op::KeepsVersions, &bucket.0, "").await?;
        leave(fault, self.inner.keeps_versions(bucket).await)
    }
}
