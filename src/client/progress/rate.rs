//! Bytes per second over the last seconds. Pure.
//!
//! Guarantees: what moved before the last seconds does not count, so that an outage shows as one.

use std::collections::VecDeque;
use std::time::Duration;

/// Long enough for several chunks on a slow link.
const WINDOW: Duration = Duration::from_secs(15);

/// The newest readings of a counter that only grows.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Duration, u64)>);

impl Rate {
    /// Adds a reading. **Shape**: `now` never decreases.
    pub fn add(&mut self, now: Duration, bytes: u64) {
        self.0.push_back((now, bytes));
        while self.0.get(1).is_some_and(|(at, _)| now.saturating_sub(*at) >= WINDOW) {
            self.0.pop_front();
        }
    }

    /// None before there is a second to judge by.
    pub fn bytes_per_second(&self) -> Option<u64> {
        let ((began, first), (ended, last)) = (self.0.front()?, self.0.back()?);
        let millis = ended.saturating_sub(*began).as_millis();
        if millis < 1000 {
            return None;
        }
        u64::try_from(u128::from(last - first) * 1000 / millis).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_seconds_count() {
        let mut rate = Rate::default();
        assert_eq!(rate.bytes_per_second(), None);
        for second in 0..100 {
            rate.add(Duration::from_secs(second), second * 1000);
        }
        assert_eq!(rate.bytes_per_second(), Some(1000));
        for second in 100..120 {
            rate.add(Duration::from_secs(second), 99_000);
        }
        assert_eq!(rate.bytes_per_second(), Some(0), "nothing has moved since");
    }
}
