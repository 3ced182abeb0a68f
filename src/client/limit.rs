//! A limit of bytes per second of request bodies, over all calls of a process.
//!
//! Guarantees: over any stretch of time no more goes out than the rate allows and one second's worth beyond it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// The limit; None in `rate`: none.
#[derive(Debug)]
pub(super) struct Limit {
    /// Bytes per second.
    rate: Option<u64>,
    clock: Clock,
    /// When everything that was let through so far has gone out at the rate.
    paid_until: Mutex<Duration>,
}

impl Limit {
    pub fn new(rate: Option<u64>, clock: Clock) -> Self {
        Self { rate, clock, paid_until: Mutex::default() }
    }

    /// Waits until `bytes` may go out. **Cancel**: what was asked for counts as sent.
    pub async fn pass(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let now = self.clock.monotonic();
        let start = {
            let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            let start = (*paid_until).max(now);
            *paid_until = start + cost;
            start
        };
        // Each waits for those before it; its own bytes go out at once.
        self.clock.pause(start.saturating_sub(now)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_go_out_at_the_rate() {
        let clock = Clock::seeded(1);
        let limit = Limit::new(Some(1000), clock.clone());
        for _ in 0..11 {
            limit.pass(500).await;
        }
        let took = clock.monotonic();
        assert!((Duration::from_millis(4990)..Duration::from_millis(5100)).contains(&took), "{took:?}");
    }
}
