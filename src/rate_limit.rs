//! A pace: at most so many bytes per second, over everybody who shares it.
//!
//! Guarantees: over any stretch of time no more goes by than the rate allows and what each sharer
//! moves at once beyond it; who comes first goes first. It does not know what the bytes are.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// The pace; without a rate nobody waits.
#[derive(Debug)]
pub struct RateLimit {
    /// Bytes per second.
    rate: Option<u64>,
    clock: Clock,
    /// When everything that was booked so far has gone by at the rate.
    paid_until: Mutex<Duration>,
}

impl RateLimit {
    pub fn new(rate: Option<u64>, clock: Clock) -> Self {
        Self { rate, clock, paid_until: Mutex::default() }
    }

    /// Books bytes. How long they have to wait for those that were booked before; their own cost is
    /// the next one's wait.
    pub fn book(&self, bytes: u64) -> Duration {
        let Some(rate) = self.rate else { return Duration::ZERO };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let now = self.clock.monotonic();
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = (*paid_until).max(now);
        *paid_until = start + cost;
        start.saturating_sub(now)
    }

    /// How long bytes that were booked now would wait.
    pub fn debt(&self) -> Duration {
        self.book(0)
    }

    /// Waits until `bytes` may go by. **Cancel**: what was asked for counts as gone.
    pub async fn pass(&self, bytes: u64) {
        let wait = self.book(bytes);
        if !wait.is_zero() {
            self.clock.pause(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_by_at_the_rate() {
        let clock = Clock::seeded(1);
        let pace = RateLimit::new(Some(1000), clock.clone());
        for _ in 0..11 {
            pace.pass(500).await;
        }
        let took = clock.monotonic();
        assert!(
            (Duration::from_millis(4990)..Duration::from_millis(5100)).contains(&took),
            "{took:?}"
        );
        assert_eq!(RateLimit::new(None, clock).book(u64::MAX), Duration::ZERO);
    }
}
