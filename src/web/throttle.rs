//! The turn of one body among all that an account moves.
//!
//! Guarantees: after each frame it waits until the account's pace lets the next one by; without a
//! limit it costs nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::clock::Clock;
use crate::rate_limit::RateLimit;

use super::admission::Permit;

#[derive(Default)]
pub(super) struct Throttle {
    of: Option<(Arc<RateLimit>, Clock)>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Throttle {
    pub fn new(place: &Permit, clock: &Clock) -> Self {
        Self { of: Some((Arc::clone(place.rate_limit()), clock.clone())), wait: None }
    }

    /// Books a frame that went by.
    pub fn moved(&mut self, bytes: u64) {
        let Some((pace, clock)) = &self.of else { return };
        let wait = pace.reserve(bytes);
        if !wait.is_zero() {
            let clock = clock.clone();
            self.wait = Some(Box::pin(async move { clock.pause(wait).await }));
        }
    }

    /// Ready when the next frame may go by.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(wait) = &mut self.wait {
            ready!(wait.as_mut().poll(cx));
            self.wait = None;
        }
        Poll::Ready(())
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("waits", &self.wait.is_some()).finish()
    }
}
