//! A stream of bytes with a known length that a store reads or returns.
//!
//! Guarantees: `collect` never holds more than the caller's bound. The reader detects a body that
//! is too short or too long: every store compares the bytes it received with `len_bytes` and stores
//! nothing if they differ by more than `slack_bytes`, which is 0 unless the length shows only at
//! the end (docs/decisions/0025-the-file-of-a-form-has-no-length.md). It knows nothing of HTTP.

use std::error::Error as StdError;
use std::fmt;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};

use super::{Error, Kind};
use crate::digest::verified::{BodySource, VerifiedBody};
use crate::digest::{Algorithm, Checksum, ChecksumHasher, PassedSha256};

/// Why the stream of a body failed, with the private cause.
pub type BodyError = Box<dyn StdError + Send + Sync>;

/// A stream of bytes, with the number of bytes that it will have.
pub struct Body {
    len_bytes: u64,
    slack_bytes: u64,
    sha256: Option<PassedSha256>,
    stream: Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>,
}

impl Body {
    pub fn new(
        len_bytes: u64,
        stream: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static,
    ) -> Self {
        Self { len_bytes, slack_bytes: 0, sha256: None, stream: Box::pin(stream) }
    }

    /// The same body, which may end up to so many bytes before its length.
    #[must_use]
    pub fn with_slack(self, slack_bytes: u64) -> Self {
        Self { slack_bytes: slack_bytes.min(self.len_bytes), ..self }
    }

    /// A body that is verified while it is read. If its stream computes the SHA-256, the store uses
    /// that value and does not hash the bytes again.
    pub fn verified<S>(len_bytes: u64, body: VerifiedBody<S>) -> Self
    where
        S: BodySource<Verified: Send, Refusal: Send> + Send + 'static,
    {
        Self { sha256: body.sha256(), ..Self::new(len_bytes, body) }
    }

    /// The SHA-256 that the stream computes, which is there before its last frame. None: the
    /// stream computes none.
    pub fn sha256(&self) -> Option<PassedSha256> {
        self.sha256.clone()
    }

    /// The same bytes; the last frame goes on only once `gate` has succeeded.
    pub fn gated(self, gate: impl Future<Output = Result<(), BodyError>> + Send + 'static) -> Self {
        let (len_bytes, sha256) = (self.len_bytes, self.sha256.clone());
        let state = (self, Some(gate), 0);
        let stream = stream::unfold(state, move |(mut body, mut gate, passed_bytes)| async move {
            let frame = match body.next().await {
                Some(Err(error)) => return Some((Err(error), (body, None, passed_bytes))),
                Some(Ok(frame)) => Some(frame),
                None => None,
            };
            let passed_bytes = passed_bytes + frame.as_ref().map_or(0, Bytes::len) as u64;
            if passed_bytes >= len_bytes
                && let Some(gate) = gate.take()
                && let Err(error) = gate.await
            {
                return Some((Err(error), (Self::empty(), None, passed_bytes)));
            }
            frame.map(|frame| (Ok(frame), (body, gate, passed_bytes)))
        });
        Self { sha256, ..Self::new(len_bytes, stream) }
    }

    pub fn empty() -> Self {
        Self::new(0, stream::empty())
    }

    /// How many bytes the stream will have, at most.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many bytes fewer the stream may have.
    pub fn slack_bytes(&self) -> u64 {
        self.slack_bytes
    }

    /// The numbers of bytes that the stream may have.
    pub(super) fn lengths(&self) -> RangeInclusive<u64> {
        self.len_bytes - self.slack_bytes..=self.len_bytes
    }

    /// The same bytes, and their checksum once they were all read.
    pub fn with_checksum(self, algorithm: Option<Algorithm>) -> (Self, ChecksumResult) {
        let result = ChecksumResult::default();
        let Some(algorithm) = algorithm else { return (self, result) };
        let (len_bytes, slack_bytes) = (self.len_bytes, self.slack_bytes);
        let (sha256, checksum) = (self.sha256.clone(), Arc::clone(&result.0));
        let stream = stream::unfold(
            (self, Some(ChecksumHasher::new(algorithm))),
            move |(mut body, mut hasher)| {
                let checksum = Arc::clone(&checksum);
                async move {
                    match body.next().await {
                        Some(Ok(bytes)) => {
                            hasher.iter_mut().for_each(|hasher| hasher.update(&bytes));
                            Some((Ok(bytes), (body, hasher)))
                        }
                        Some(Err(error)) => Some((Err(error), (body, None))),
                        None => {
                            // Cannot fail: a body ends once.
                            hasher.take().map(|hasher| checksum.set(hasher.finish()).ok());
                            None
                        }
                    }
                }
            },
        );
        (Self { sha256, slack_bytes, ..Self::new(len_bytes, stream) }, result)
    }

    /// The whole body in memory. **Errors**: `Body` where it is longer than `max_bytes`, too short,
    /// or interrupted.
    pub async fn collect(mut self, max_bytes: usize) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(next) = self.next().await {
            let bytes = next.map_err(|cause| {
                Error::new(Kind::Body, "the body was interrupted").because(cause)
            })?;
            if all.len() + bytes.len() > max_bytes {
                return Err(Error::new(
                    Kind::Body,
                    format!("the body is longer than {max_bytes} bytes"),
                ));
            }
            all.extend_from_slice(&bytes);
        }
        if !self.lengths().contains(&(all.len() as u64)) {
            let what = format!("the body ended after {} of {} bytes", all.len(), self.len_bytes);
            return Err(Error::new(Kind::Body, what));
        }
        Ok(all.freeze())
    }
}

/// The checksum of a body, which is there once a reader has read it to its end.
#[derive(Clone, Debug, Default)]
pub struct ChecksumResult(Arc<OnceLock<Checksum>>);

impl ChecksumResult {
    /// None before the end, and where no algorithm was given.
    pub fn get(&self) -> Option<Checksum> {
        self.0.get().cloned()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes.len() as u64, stream::iter([Ok(bytes)]))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl Stream for Body {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("len_bytes", &self.len_bytes).finish_non_exhaustive()
    }
}
