//! Slows one body down to the rate limit of its account.
//!
//! Guarantees: after each frame it waits until the rate limit allows the next one; without a limit
//! it costs nothing. Source: docs/architecture.md#throttling.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::clock::Clock;
use crate::rate_limit::RateLimit;

use super::admission::Permit;

#[derive(Default)]
pub(super) struct Throttle {
    limit: Option<(Arc<RateLimit>, Clock)>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Throttle {
    pub fn new(permit: &Permit, clock: &Clock) -> Self {
        Self { limit: Some((Arc::clone(permit.rate_limit()), clock.clone())), wait: None }
    }

    /// Counts a frame that was sent or received.
    pub fn record(&mut self, bytes: u64) {
        let Some((rate_limit, clock)) = &self.limit else { return };
        let wait = rate_limit.reserve(bytes);
        if !wait.is_zero() {
            let clock = clock.clone();
            self.wait = Some(Box::pin(async move { clock.pause(wait).await }));
        }
    }

    /// Ready when the next frame may be sent or received.
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
        f.debug_struct("Throttle").field("waits", &self.wait.is_some()).finish()
    }
}
