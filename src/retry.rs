//! Back-off: how long to wait before the next try, and when to stop trying.
//!
//! Guarantees: pauses are exponential with full jitter, uniform on `[0, min(base · 2ⁿ, most)]`; the
//! sum of all pauses stays within the budget. Pure: it neither sleeps nor reads a clock. Source:
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>

use std::time::Duration;

/// The terms of one operation's retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    pub base: Duration,
    pub most: Duration,
    /// The most that all pauses together may take.
    pub budget: Duration,
}

/// One operation's tries so far.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    policy: Policy,
    tries: u32,
    spent: Duration,
}

impl Policy {
    pub fn start(self) -> Backoff {
        Backoff { policy: self, tries: 0, spent: Duration::ZERO }
    }
}

impl Backoff {
    /// The next pause, or None when the budget is spent. `jitter` draws uniformly from `[0, its
    /// argument]`; `asked` is what a `Retry-After` wants, and is a lower bound.
    pub fn next(
        &mut self,
        asked: Option<Duration>,
        jitter: impl FnOnce(Duration) -> Duration,
    ) -> Option<Duration> {
        let ceiling =
            self.policy.base.saturating_mul(1 << self.tries.min(20)).min(self.policy.most);
        self.tries = self.tries.saturating_add(1);
        let pause = jitter(ceiling).max(asked.unwrap_or_default());
        // A pause of nothing still costs a try: without this a budget could never be spent.
        let cost = pause.max(Duration::from_millis(1));
        if self.spent + cost > self.policy.budget {
            return None;
        }
        self.spent += cost;
        Some(pause)
    }

    /// How often it was asked.
    pub fn tries(&self) -> u32 {
        self.tries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        base: Duration::from_millis(100),
        most: Duration::from_secs(1),
        budget: Duration::from_secs(5),
    };

    #[test]
    fn pauses_double_up_to_the_most_and_end_with_the_budget() {
        let mut backoff = POLICY.start();
        let pauses: Vec<u64> = std::iter::from_fn(|| backoff.next(None, |most| most))
            .map(|p| p.as_millis() as u64)
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn retry_after_is_a_lower_bound() {
        let asked = Duration::from_secs(3);
        assert_eq!(POLICY.start().next(Some(asked), |_| Duration::ZERO), Some(asked));
    }

    #[test]
    fn a_budget_ends_even_if_every_pause_is_nothing() {
        let mut backoff = POLICY.start();
        let tries =
            std::iter::from_fn(|| backoff.next(None, |_| Duration::ZERO)).take(100_000).count();
        assert_eq!(tries, 5000);
    }
}
