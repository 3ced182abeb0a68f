//! Puts of bodies whose length shows only at their end: the files of forms.
//!
//! S3 wants the length before the first byte. So a small body is received into memory. A large one
//! becomes a multipart upload of two parts: the bytes that are there in any case, which stream, and
//! the rest, which is at most the slack of the body.
//! Guarantees: the memory of all small bodies together is bounded; a body that fails leaves nothing
//! of the upload. Source: docs/decisions/0025-the-file-of-a-form-has-no-length.md.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::{
    Body, BodyError, Bucket, ChosenPart, Completion, Error, Key, Kind, Limits, PartNumber,
    PartTarget, PutMode, PutOptions, Result, UploadId, UploadTarget, Written,
};
use super::{Aws, control, objects};

/// What all bodies together that are received into memory may have.
const MAX_MEMORY_BYTES: u64 = 64 << 20;
/// The unit in which memory is counted.
const UNIT_BYTES: u64 = 1 << 10;

/// The memory of bodies that are being received.
#[derive(Debug)]
pub(super) struct Memory(Semaphore);

impl Default for Memory {
    fn default() -> Self {
        Self(Semaphore::new((MAX_MEMORY_BYTES / UNIT_BYTES) as usize))
    }
}

impl Memory {
    /// **Errors**: `SlowDown` where too much is in use.
    fn acquire(&self, bytes: u64) -> Result<SemaphorePermit<'_>> {
        let units = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX);
        let full = |_| Error::new(Kind::SlowDown, "too many bodies are being received into memory");
        self.0.try_acquire_many(units).map_err(full)
    }
}

pub(super) async fn put(
    aws: &Aws,
    bucket: &Bucket,
    key: &Key,
    body: Body,
    options: PutOptions,
) -> Result<Written> {
    let (most, slack) = (body.len_bytes(), body.slack_bytes());
    if most - slack >= Limits::S3.min_part_bytes {
        return put_in_parts(aws, (bucket, key), body, options).await;
    }
    let _memory = aws.memory.acquire(most)?;
    let bytes = body.collect(usize::try_from(most).unwrap_or(usize::MAX)).await?;
    objects::put(&aws.client, bucket, key, bytes.into(), options).await
}

/// **Errors**: `Invalid` for a condition, which not every server decides at the end of an upload.
async fn put_in_parts(
    aws: &Aws,
    (bucket, key): (&Bucket, &Key),
    body: Body,
    options: PutOptions,
) -> Result<Written> {
    if options.mode != PutMode::Overwrite || options.checksum.is_some() {
        let what = "a condition or checksum of a large body needs its length";
        return Err(Error::new(Kind::Invalid, what));
    }
    let upload = control::create_upload(&aws.control, bucket, key, &options.attributes).await?;
    let target = UploadTarget { bucket, key, upload: &upload };
    let mut guard = AbortOnDrop::new(aws, target);
    let (first_bytes, slack) = (body.len_bytes() - body.slack_bytes(), body.slack_bytes());
    let source = Arc::new(Mutex::new(Source { body, held: Bytes::new() }));
    let first = Body::new(first_bytes, frames(Arc::clone(&source), Some(first_bytes)));
    let mut parts = vec![put_part(aws, target, number(1), first).await?];
    let rest = Body::new(slack, frames(source, None)).with_slack(slack);
    let rest = rest.collect(usize::try_from(slack).unwrap_or(usize::MAX)).await?;
    let size_bytes = first_bytes + rest.len() as u64;
    if !rest.is_empty() {
        parts.push(put_part(aws, target, number(2), rest.into()).await?);
    }
    let written =
        control::complete(&aws.control, target, &parts, &Completion::of(size_bytes)).await;
    // After a Complete without an answer there may be no upload any more; an abort is harmless.
    if written.is_ok() {
        guard.keep();
    }
    written
}

fn number(number: u32) -> PartNumber {
    PartNumber::new(number).expect("1 and 2 are part numbers")
}

async fn put_part(
    aws: &Aws,
    upload: UploadTarget<'_>,
    number: PartNumber,
    body: Body,
) -> Result<ChosenPart> {
    let written = objects::put_part(&aws.client, PartTarget { upload, number }, body, None).await?;
    Ok(ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) })
}

/// A body that is read in two pieces.
struct Source {
    body: Body,
    /// The rest of a frame that belongs to both.
    held: Bytes,
}

/// The next bytes: so many, or all.
fn frames(
    source: Arc<Mutex<Source>>,
    mut remaining: Option<u64>,
) -> impl Stream<Item = std::result::Result<Bytes, BodyError>> {
    stream::poll_fn(move |cx| {
        if remaining == Some(0) {
            return Poll::Ready(None);
        }
        // Never waited for: the two pieces are read one after the other.
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frame = std::mem::take(&mut source.held);
        while frame.is_empty() {
            match ready!(source.body.poll_next_unpin(cx)) {
                Some(Ok(next)) => frame = next,
                other => return Poll::Ready(other),
            }
        }
        if let Some(bytes_left) = &mut remaining {
            let cut = usize::try_from(*bytes_left).unwrap_or(usize::MAX).min(frame.len());
            source.held = frame.split_off(cut);
            *bytes_left -= frame.len() as u64;
        }
        Poll::Ready(Some(Ok(frame)))
    })
}

/// Aborts an upload unless it is kept: also where the future that owns it is dropped.
struct AbortOnDrop {
    control: Option<aws_sdk_s3::Client>,
    bucket: Bucket,
    key: Key,
    upload: UploadId,
}

impl AbortOnDrop {
    fn new(aws: &Aws, target: UploadTarget<'_>) -> Self {
        Self {
            control: Some(aws.control.clone()),
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            upload: target.upload.clone(),
        }
    }

    fn keep(&mut self) {
        self.control = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        let (Some(control), Ok(runtime)) =
            (self.control.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (bucket, key, upload) = (self.bucket.clone(), self.key.clone(), self.upload.clone());
        runtime.spawn(async move {
            let target = UploadTarget { bucket: &bucket, key: &key, upload: &upload };
            if let Err(error) = control::abort(&control, target).await {
                tracing::warn!(%error, "an upload of a form's file could not be aborted");
            }
        });
    }
}
