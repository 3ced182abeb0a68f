//! A limit of bytes per second that all its users share.
//!
//! Guarantees: in any period the users together transfer no more than the rate allows, plus what
//! each of them transfers in one call; calls are served in the order in which they came. It does
//! not know what the bytes are.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// A shared rate limit. Without a rate it delays nothing.
#[derive(Debug)]
pub struct RateLimit {
    /// Bytes per second.
    rate: Option<u64>,
    clock: Clock,
    /// When all bytes reserved so far will have been transferred at this rate (monotonic clock).
    reserved_until: Mutex<Duration>,
}

impl RateLimit {
    pub fn new(rate: Option<u64>, clock: Clock) -> Self {
        Self { rate, clock, reserved_until: Mutex::default() }
    }

    /// Reserves bytes, and returns how long to wait for those that were reserved earlier. The time
    /// that these bytes take delays the next caller, not this one.
    pub fn reserve(&self, bytes: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let now = self.clock.monotonic();
        let mut reserved_until = self.reserved_until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*reserved_until).max(now);
        *reserved_until = start + cost;
        start.saturating_sub(now)
    }

    /// How long a reservation that is made now would have to wait.
    pub fn current_wait(&self) -> Duration {
        self.reserve(0)
    }

    /// Waits until `bytes` may be transferred. **Cancel**: the bytes stay reserved.
    pub async fn acquire(&self, bytes: u64) {
        let wait = self.reserve(bytes);
        if !wait.is_zero() {
            self.clock.pause(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_are_transferred_at_the_rate() {
        let clock = Clock::seeded(1);
        let limit = RateLimit::new(Some(1000), clock.clone());
        for _ in 0..11 {
            limit.acquire(500).await;
        }
        let elapsed = clock.monotonic();
        assert!(
            (Duration::from_millis(4990)..Duration::from_millis(5100)).contains(&elapsed),
            "{elapsed:?}"
        );
        assert_eq!(RateLimit::new(None, clock).reserve(u64::MAX), Duration::ZERO);
    }
}
