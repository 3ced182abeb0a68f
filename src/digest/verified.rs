//! A body that is verified while it is read.
//!
//! Guarantees: the last frame goes on only once length, digests and the source's own checks agree;
//! otherwise the stream fails before it, so that a store keeps nothing of the body
//! (docs/architecture.md#bad-bytes-never-replace-good-ones). Where the length is known only the
//! last frame is held back, otherwise one frame. Each byte is hashed once, and a reader that
//! needs the SHA-256 takes it over. It does not know what the bytes are for.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

use super::batch::BodyHasher;
use super::{DigestSet, Digests, PassedSha256, Sha256};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Where the frames of a body come from, and what their owner checks besides length and digests.
pub trait BodySource: Unpin {
    /// What the owner learns of a body that agrees.
    type Verified;
    /// Why the owner refuses a body.
    type Refusal: fmt::Display;

    /// The next frame.
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, SourceError<Self::Refusal>>>>;

    /// Sees each frame once, in order, before it goes on.
    fn update(&mut self, frame: &Bytes);

    /// The refusal of a body whose length or digest is not the expected one.
    fn mismatch(&self, mismatch: Mismatch) -> Self::Refusal;

    /// The last check, after length and digests agreed and before the last frame goes on. Called
    /// once.
    fn finish(&mut self, digests: Digests) -> Result<Self::Verified, Self::Refusal>;
}

/// Why a source has no further frame.
pub enum SourceError<R> {
    /// The body is not what it should be: this is its outcome.
    Refused(R),
    /// The body ended early for a reason outside of it: readers get this error, and there is no
    /// outcome.
    Interrupted(BoxError),
}

/// What a body must be.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    /// None: not known before the end.
    pub len_bytes: Option<u64>,
    pub sha256: Sha256Check,
    pub md5: Option<[u8; 16]>,
}

/// Whether a body's SHA-256 is computed, and compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sha256Check {
    Skip,
    Compute,
    Compare(Sha256),
}

/// The first difference between a body and its expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// More bytes came than expected: so many so far.
    TooLong {
        received: u64,
    },
    TooShort {
        received: u64,
    },
    Sha256 {
        declared: Sha256,
        found: Sha256,
    },
    Md5 {
        declared: [u8; 16],
        found: [u8; 16],
    },
}

/// How the verification of a body ended; shared by its stream and its owner.
pub struct Outcome<V, R>(Arc<Mutex<Option<Result<V, R>>>>);

impl<V, R> Outcome<V, R> {
    /// Takes the outcome out. None before the end of the body, where it was interrupted, and once
    /// it was taken.
    pub fn take(&self) -> Option<Result<V, R>> {
        self.lock().take()
    }

    /// Takes the refusal out, where the body was refused.
    pub fn refusal(&self) -> Option<R> {
        self.lock().take_if(|outcome| outcome.is_err())?.err()
    }

    /// What was found of a body that agrees.
    pub fn verified(&self) -> Option<V>
    where
        V: Clone,
    {
        self.lock().as_ref()?.as_ref().ok().cloned()
    }

    fn set(&self, outcome: Result<V, R>) {
        *self.lock() = Some(outcome);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Result<V, R>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V, R> Clone for Outcome<V, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V, R> fmt::Debug for Outcome<V, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outcome")
    }
}

/// The frames of a source, of which the last one is held back until everything agrees.
pub struct VerifiedBody<S: BodySource> {
    source: S,
    expected: Expectation,
    hasher: BodyHasher,
    received_bytes: u64,
    /// The newest frame, where it may be the last one.
    held: Option<Bytes>,
    ended: bool,
    sha256: Option<PassedSha256>,
    outcome: Outcome<S::Verified, S::Refusal>,
}

impl<S: BodySource> VerifiedBody<S> {
    /// Verifies a source while it is read. The outcome is there once the stream has ended.
    pub fn verify(source: S, expected: Expectation) -> (Self, Outcome<S::Verified, S::Refusal>) {
        let sha256 = expected.sha256 != Sha256Check::Skip;
        let outcome = Outcome(Arc::default());
        let body = Self {
            source,
            expected,
            hasher: BodyHasher::new(DigestSet { sha256, md5: expected.md5.is_some() }),
            received_bytes: 0,
            held: None,
            ended: false,
            sha256: sha256.then(PassedSha256::default),
            outcome: outcome.clone(),
        };
        (body, outcome)
    }

    /// The SHA-256 that this stream computes, which is there before its last frame goes on. None:
    /// it computes none.
    pub fn sha256(&self) -> Option<PassedSha256> {
        self.sha256.clone()
    }

    /// Takes a frame in, and returns the one that may go on.
    fn accept(&mut self, frame: Bytes) -> Result<Option<Bytes>, S::Refusal> {
        self.received_bytes += frame.len() as u64;
        let received = self.received_bytes;
        if self.expected.len_bytes.is_some_and(|len| received > len) {
            return Err(self.source.mismatch(Mismatch::TooLong { received }));
        }
        self.hasher.push(&frame);
        self.source.update(&frame);
        let more = self.expected.len_bytes.is_some_and(|len| received < len);
        Ok(if more { Some(frame) } else { self.held.replace(frame) })
    }

    /// At the end of the source: everything must agree.
    fn finish(&mut self) -> Result<S::Verified, S::Refusal> {
        let received = self.received_bytes;
        if self.expected.len_bytes.is_some_and(|len| received != len) {
            return Err(self.source.mismatch(Mismatch::TooShort { received }));
        }
        let digests = self.hasher.finish();
        if let (Sha256Check::Compare(declared), Some(found)) =
            (self.expected.sha256, digests.sha256)
            && declared != found
        {
            return Err(self.source.mismatch(Mismatch::Sha256 { declared, found }));
        }
        if let (Some(declared), Some(found)) = (self.expected.md5, digests.md5)
            && declared != found
        {
            return Err(self.source.mismatch(Mismatch::Md5 { declared, found }));
        }
        let verified = self.source.finish(digests)?;
        if let (Some(passed), Some(sha256)) = (&self.sha256, digests.sha256) {
            passed.set(sha256);
        }
        Ok(verified)
    }

    /// Ends the stream with a refusal; readers get its text.
    fn refuse(&mut self, refusal: S::Refusal) -> BoxError {
        self.ended = true;
        let text = refusal.to_string();
        self.outcome.set(Err(refusal));
        text.into()
    }
}

impl<S: BodySource> Stream for VerifiedBody<S> {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while !this.ended {
            // Before the next frame is taken: the hasher holds one at a time.
            ready!(this.hasher.poll_idle(cx));
            let frame = match ready!(this.source.poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_empty() => continue,
                Some(Ok(frame)) => frame,
                Some(Err(SourceError::Refused(refusal))) => {
                    return Poll::Ready(Some(Err(this.refuse(refusal))));
                }
                Some(Err(SourceError::Interrupted(cause))) => {
                    this.ended = true;
                    return Poll::Ready(Some(Err(cause)));
                }
                None => {
                    this.ended = true;
                    return Poll::Ready(match this.finish() {
                        Ok(verified) => {
                            this.outcome.set(Ok(verified));
                            this.held.take().map(Ok)
                        }
                        Err(refusal) => Some(Err(this.refuse(refusal))),
                    });
                }
            };
            match this.accept(frame) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => {}
                Err(refusal) => return Poll::Ready(Some(Err(this.refuse(refusal)))),
            }
        }
        Poll::Ready(None)
    }
}

impl<S: BodySource> fmt::Debug for VerifiedBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedBody").field("expected", &self.expected).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::{FutureExt, StreamExt};

    use super::*;

    /// Frames, and whether the owner's own check agrees.
    struct Frames(VecDeque<&'static [u8]>, bool);

    impl BodySource for Frames {
        type Verified = u32;
        type Refusal = String;

        fn poll_frame(
            &mut self,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Bytes, SourceError<String>>>> {
            Poll::Ready(self.0.pop_front().map(|frame| Ok(Bytes::from_static(frame))))
        }

        fn update(&mut self, _: &Bytes) {}

        fn mismatch(&self, mismatch: Mismatch) -> String {
            format!("{mismatch:?}")
        }

        fn finish(&mut self, _: Digests) -> Result<u32, String> {
            if self.1 { Ok(7) } else { Err("the owner's check".to_owned()) }
        }
    }

    const GOOD: Expectation =
        Expectation { len_bytes: Some(4), sha256: Sha256Check::Compute, md5: None };

    /// What came out before the end or the error, and the outcome.
    fn read(expected: Expectation, owner_agrees: bool) -> (usize, Result<u32, String>) {
        let source = Frames(VecDeque::from([&b"ab"[..], b"", b"cd"]), owner_agrees);
        let (mut body, outcome) = VerifiedBody::verify(source, expected);
        let mut passed_on = 0;
        while let Some(Ok(frame)) = body.next().now_or_never().expect("no frame is waited for") {
            passed_on += frame.len();
        }
        let complete = outcome.verified().is_some();
        assert_eq!(body.sha256().and_then(|sha256| sha256.get()).is_some(), complete);
        (passed_on, outcome.take().expect("the body has ended"))
    }

    #[test]
    fn a_body_that_agrees_goes_on_whole() {
        let declared = Sha256Check::Compare(Sha256::of(b"abcd"));
        for expected in [
            GOOD,
            Expectation { len_bytes: None, ..GOOD },
            Expectation { sha256: declared, ..GOOD },
        ] {
            assert_eq!(read(expected, true), (4, Ok(7)), "{expected:?}");
        }
    }

    #[test]
    fn the_last_frame_of_a_body_that_does_not_agree_stays_back() {
        let wrong = Sha256Check::Compare(Sha256::of(b"other"));
        for (expected, passed_on) in [
            (Expectation { len_bytes: Some(3), ..GOOD }, 2),
            (Expectation { sha256: wrong, ..GOOD }, 2),
            (Expectation { md5: Some([0; 16]), ..GOOD }, 2),
            (Expectation { md5: Some([0; 16]), len_bytes: None, ..GOOD }, 2),
        ] {
            let (bytes, outcome) = read(expected, true);
            assert_eq!((bytes, outcome.is_err()), (passed_on, true), "{expected:?}");
        }
        assert_eq!(read(GOOD, false), (2, Err("the owner's check".to_owned())));
        // Nothing tells a reader that a body is too short until its end, and it is short of bytes.
        let (_, outcome) = read(Expectation { len_bytes: Some(5), ..GOOD }, true);
        assert!(outcome.unwrap_err().contains("TooShort"));
    }
}
