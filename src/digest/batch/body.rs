//! The hasher of one body.
//!
//! Guarantees: a frame that is too small to be worth a wait, or that this processor hashes no
//! faster together with others, is hashed at once. It does not read the body.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::waiting::Waiting;
use crate::digest::{DigestSet, Digests, Hasher};

/// Frames below this size do not wait for others.
const MIN_WAITING_BYTES: usize = 16 << 10;

/// Computes the digests of one body from its frames.
pub struct BodyHasher(HasherState);

enum HasherState {
    Idle(Hasher),
    Waiting(Waiting),
}

impl BodyHasher {
    pub fn new(digests: DigestSet) -> Self {
        Self(HasherState::Idle(Hasher::new(digests)))
    }

    /// Ready once the last frame is hashed; only then may the next one be pushed.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let HasherState::Waiting(waiting) = &mut self.0 {
            self.0 = HasherState::Idle(ready!(Pin::new(waiting).poll(cx)));
        }
        Poll::Ready(())
    }

    /// Returns once the last frame is hashed.
    pub async fn idle(&mut self) {
        poll_fn(|cx| self.poll_idle(cx)).await;
    }

    /// Hashes the next frame, perhaps later together with frames of other bodies. To be called only
    /// when `poll_idle` is ready.
    pub fn push(&mut self, bytes: &Bytes) {
        let hasher = self.hasher();
        if bytes.len() < MIN_WAITING_BYTES || !hasher.benefits_from_batching() {
            hasher.update(bytes);
        } else {
            self.0 = HasherState::Waiting(Waiting::new(std::mem::take(hasher), bytes.clone()));
        }
    }

    /// The digests of all frames. To be called only when `poll_idle` is ready.
    pub fn finish(&mut self) -> Digests {
        std::mem::take(self.hasher()).finish()
    }

    fn hasher(&mut self) -> &mut Hasher {
        match &mut self.0 {
            HasherState::Idle(hasher) => hasher,
            HasherState::Waiting(_) => {
                unreachable!("the caller waits until a frame is hashed before it pushes the next")
            }
        }
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyHasher")
    }
}
