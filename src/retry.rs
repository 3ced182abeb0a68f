//! Back-off: how long to wait before the next attempt, and when to give up.
//!
//! Guarantees: pauses are exponential with full jitter, uniform on
//! `[0, min(base_pause · 2ⁿ, max_pause)]`; the sum of all pauses stays within the budget. Pure: it
//! neither sleeps nor reads a clock. Source:
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>

use std::time::Duration;

/// How one kind of operation is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub base_pause: Duration,
    pub max_pause: Duration,
    /// Upper bound for the sum of all pauses.
    pub budget: Duration,
}

/// The retry state of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    policy: Policy,
    attempts: u32,
    spent: Duration,
}

impl Policy {
    pub fn start(self) -> Backoff {
        Backoff { policy: self, attempts: 0, spent: Duration::ZERO }
    }
}

impl Backoff {
    /// The pause before the next attempt, or None when the budget is spent. `jitter` returns a
    /// random duration, uniform on `[0, its argument]`; `retry_after` is the server's
    /// `Retry-After` and a lower bound of the pause.
    pub fn next(
        &mut self,
        retry_after: Option<Duration>,
        jitter: impl FnOnce(Duration) -> Duration,
    ) -> Option<Duration> {
        let ceiling = self
            .policy
            .base_pause
            .saturating_mul(1 << self.attempts.min(20))
            .min(self.policy.max_pause);
        self.attempts = self.attempts.saturating_add(1);
        let pause = jitter(ceiling).max(retry_after.unwrap_or_default());
        // A pause of zero costs budget too; otherwise there could be attempts without end.
        let cost = pause.max(Duration::from_millis(1));
        if self.spent + cost > self.policy.budget {
            return None;
        }
        self.spent += cost;
        Some(pause)
    }

    /// How many pauses were asked for so far, the refused one included.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        base_pause: Duration::from_millis(100),
        max_pause: Duration::from_secs(1),
        budget: Duration::from_secs(5),
    };

    #[test]
    fn pauses_double_up_to_the_maximum_and_end_with_the_budget() {
        let mut backoff = POLICY.start();
        let pauses: Vec<u64> = std::iter::from_fn(|| backoff.next(None, |max| max))
            .map(|p| p.as_millis() as u64)
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn retry_after_is_a_lower_bound() {
        let retry_after = Duration::from_secs(3);
        assert_eq!(POLICY.start().next(Some(retry_after), |_| Duration::ZERO), Some(retry_after));
    }

    #[test]
    fn the_budget_ends_even_if_every_pause_is_zero() {
        let mut backoff = POLICY.start();
        let attempts =
            std::iter::from_fn(|| backoff.next(None, |_| Duration::ZERO)).take(100_000).count();
        assert_eq!(attempts, 5000);
    }
}
