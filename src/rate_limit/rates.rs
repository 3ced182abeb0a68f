//! How many bytes per second are allowed: always the same number, or one for each time of the day.
//!
//! Guarantees: bytes whose transfer lasts beyond a change of the rate take as long as both rates
//! together allow. Pure: it reads no clock.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Bytes per second, by the time of day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// From when (since midnight) which rate counts; None: no limit. **Shape**: at least one,
    /// ascending. Before the first, the last one counts.
    changes: Vec<(Duration, Option<u64>)>,
}

impl Rates {
    /// The same rate at any time.
    pub fn constant(rate: Option<u64>) -> Self {
        Self { changes: vec![(Duration::ZERO, rate)] }
    }

    /// A rate from each of these times of the day on. None if there is no time, one is there twice,
    /// or one is not within a day.
    pub fn daily(mut changes: Vec<(Duration, Option<u64>)>) -> Option<Self> {
        changes.sort();
        let is_ascending = changes.windows(2).all(|two| two[0].0 < two[1].0);
        let is_valid = changes.last().is_some_and(|last| last.0 < DAY) && is_ascending;
        is_valid.then_some(Self { changes })
    }

    /// Whether there is no limit at any time.
    pub fn is_unlimited(&self) -> bool {
        self.changes.iter().all(|(_, rate)| rate.is_none())
    }

    /// Whether the time of day does not matter.
    pub fn is_constant(&self) -> bool {
        self.changes.len() == 1
    }

    /// How long the transfer of these bytes takes that begins at this time of the day.
    pub fn time_for(&self, bytes: u64, begin: Duration) -> Duration {
        let (mut rest, mut spent) = (bytes as f64, Duration::ZERO);
        // Whole days at once: otherwise there could be years of them.
        if let Some(per_day) = self.bytes_per_day() {
            let days = (rest / per_day).floor();
            rest -= days * per_day;
            spent = Duration::try_from_secs_f64(days * DAY.as_secs_f64()).unwrap_or(Duration::MAX);
        }
        let mut at = time_of_day(begin);
        loop {
            let (rate, lasts) = self.at(at);
            let Some(rate) = rate else { return spent };
            let needed = rest / rate.max(1) as f64;
            if needed <= lasts.as_secs_f64() {
                let needed = Duration::try_from_secs_f64(needed).unwrap_or_default();
                return spent.saturating_add(needed);
            }
            rest -= lasts.as_secs_f64() * rate.max(1) as f64;
            spent = spent.saturating_add(lasts);
            at = time_of_day(at + lasts);
        }
    }

    /// The rate at a time of the day, and how long it lasts from there.
    fn at(&self, time: Duration) -> (Option<u64>, Duration) {
        let next = self.changes.partition_point(|(from, _)| *from <= time);
        let current = next.checked_sub(1).unwrap_or(self.changes.len() - 1);
        let ends = self.changes.get(next).map_or(self.changes[0].0 + DAY, |change| change.0);
        (self.changes[current].1, ends - time)
    }

    /// None if there is no limit at some time.
    fn bytes_per_day(&self) -> Option<f64> {
        let mut bytes = 0.0;
        for (from, _) in &self.changes {
            let (rate, lasts) = self.at(*from);
            bytes += rate?.max(1) as f64 * lasts.as_secs_f64();
        }
        Some(bytes)
    }
}

fn time_of_day(time: Duration) -> Duration {
    time.checked_sub(DAY * u32::try_from(time.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_rate_counts_from_its_time_on() {
        // From 8:00 ten bytes per second, from 22:00 a thousand, from 23:00 no limit.
        let changes = [(23 * HOUR, None), (8 * HOUR, Some(10)), (22 * HOUR, Some(1000))];
        let rates = Rates::daily(changes.to_vec()).unwrap();
        let seconds = |bytes, begin: Duration| rates.time_for(bytes, begin).as_secs();
        assert_eq!(seconds(1000, 9 * HOUR), 100);
        assert_eq!(seconds(u64::MAX, 23 * HOUR), 0);
        assert_eq!(seconds(u64::MAX, 7 * HOUR), 0);
        // 40 s at ten bytes, then the other 600 bytes within a second.
        assert_eq!(seconds(1000, 22 * HOUR - Duration::from_secs(40)), 40);
        assert_eq!(seconds(6400, 22 * HOUR - Duration::from_secs(40)), 46);
        // At 23:00 the rest goes at once.
        assert_eq!(seconds(u64::MAX, 22 * HOUR), 3600);
        assert_eq!(seconds(1000, 24 * HOUR + 9 * HOUR), 100);
    }

    #[test]
    fn rates_without_a_pause_are_added_over_days() {
        let rates = Rates::daily(vec![(HOUR, Some(1)), (2 * HOUR, Some(2))]).unwrap();
        let per_day = 3600 + 2 * 23 * 3600;
        assert_eq!(rates.time_for(per_day, 7 * HOUR), DAY);
        assert_eq!(
            rates.time_for(1000 * per_day + 1, 90 * 60 * Duration::from_secs(1)).as_secs(),
            86_400_001
        );
        assert_eq!(Rates::constant(Some(4)).time_for(8 * 86_400, HOUR), 2 * DAY);
    }

    #[test]
    fn times_are_different_and_within_a_day() {
        for wrong in [vec![], vec![(DAY, None)], vec![(HOUR, None), (HOUR, Some(1))]] {
            assert_eq!(Rates::daily(wrong), None);
        }
        assert!(Rates::constant(None).is_unlimited());
        assert!(!Rates::daily(vec![(HOUR, None), (DAY / 2, Some(1))]).unwrap().is_unlimited());
    }
}
