//! A limit of bytes per second that all its users share.
//!
//! Guarantees: in any period the users together transfer no more than the rate allows, plus what
//! each of them transfers in one call; calls are served in the order in which they came. It does
//! not know what the bytes are.

mod rates;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

pub use rates::Rates;

/// A shared rate limit. Without a rate it delays nothing.
///
/// A rate that changes with the time of day counts from its time on, also for bytes that were
/// reserved before.
#[derive(Debug)]
pub struct RateLimit {
    rates: Rates,
    clock: Clock,
    /// When all bytes reserved so far will have been transferred at this rate (monotonic clock).
    reserved_until: Mutex<Duration>,
}

impl RateLimit {
    /// `rate` is in bytes per second.
    pub fn new(rate: Option<u64>, clock: Clock) -> Self {
        Self::with_rates(Rates::constant(rate), clock)
    }

    pub fn with_rates(rates: Rates, clock: Clock) -> Self {
        Self { rates, clock, reserved_until: Mutex::default() }
    }

    /// Reserves bytes, and returns how long to wait for those that were reserved earlier. The time
    /// that these bytes take delays the next caller, not this one.
    pub fn reserve(&self, bytes: u64) -> Duration {
        if self.rates.is_unlimited() {
            return Duration::ZERO;
        }
        let now = self.clock.monotonic();
        let mut reserved_until = self.reserved_until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*reserved_until).max(now);
        let wait = start.saturating_sub(now);
        let begin = if self.rates.is_constant() { wait } else { self.clock.time_of_day() + wait };
        *reserved_until = start.saturating_add(self.rates.time_for(bytes, begin));
        wait
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
