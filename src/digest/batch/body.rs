//! What hashes one body.
//!
//! Guarantees: what is too small to be worth a wait, or gains nothing by it on this processor, is
//! hashed at once. It does not read the body.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::waiting::Waiting;
use crate::digest::{DigestSet, Digests, Hasher};

/// Less is not worth waiting for others.
const SMALL_BYTES: usize = 16 << 10;

/// The digests of one body while its frames go by.
pub struct BodyHasher(HasherState);

enum HasherState {
    Idle(Hasher),
    Waiting(Waiting),
}

impl BodyHasher {
    pub fn new(wanted: DigestSet) -> Self {
        Self(HasherState::Idle(Hasher::new(wanted)))
    }

    /// Ready once what was given is hashed; before that nothing more may be given.
    pub fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let HasherState::Waiting(waiting) = &mut self.0 {
            self.0 = HasherState::Idle(ready!(Pin::new(waiting).poll(cx)));
        }
        Poll::Ready(())
    }

    /// As `poll_idle`.
    pub async fn idle(&mut self) {
        poll_fn(|cx| self.poll_idle(cx)).await;
    }

    /// Takes the next frame, to be hashed together with others' frames. Only when idle.
    pub fn push(&mut self, bytes: &Bytes) {
        let hasher = self.hasher();
        if bytes.len() < SMALL_BYTES || !hasher.benefits_from_batching() {
            hasher.update(bytes);
        } else {
            self.0 = HasherState::Waiting(Waiting::new(std::mem::take(hasher), bytes.clone()));
        }
    }

    /// Of all that was given. Only when idle.
    pub fn finish(&mut self) -> Digests {
        std::mem::take(self.hasher()).finish()
    }

    fn hasher(&mut self) -> &mut Hasher {
        match &mut self.0 {
            HasherState::Idle(hasher) => hasher,
            HasherState::Waiting(_) => {
                unreachable!("its owner waits for one frame before it gives the next")
            }
        }
    }
}

impl fmt::Debug for BodyHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyHasher")
    }
}
