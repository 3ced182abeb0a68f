//! Protection against jumps of the store's clock.
//!
//! Guarantees: a jump of the store's clock forwards makes nothing older than this process has seen
//! it become, so no sweep takes a live session for one that was abandoned long ago; a jump
//! backwards only makes things younger. The effect of a jump ends once the last sample before it is
//! as old as the longest age that matters. What the clock did before this process started is not
//! known: for that time the store's clock is trusted. Pure. Source:
//! docs/architecture.md#clock-jumps.
//!
//! The embedded store's clock is the wall clock of its machine. It jumps when it is set by hand, by
//! NTP after a start without a battery, or when a machine wakes up.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// Compares the store's clock with the monotonic clock of this process.
#[derive(Debug)]
pub(super) struct ClockJumpGuard {
    /// The longest age that matters; older samples are dropped.
    max_age: Duration,
    /// Oldest first. Carried on to now, each gives a later time of the store than the one before.
    samples: VecDeque<ClockSample>,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
struct ClockSample {
    store_time: SystemTime,
    monotonic: Duration,
    /// The monotonic time since which the store's clock has run as in this sample, or later.
    /// Everything that is older is older by the monotonic clock too.
    since: Duration,
}

impl ClockSample {
    /// The store's time at `monotonic`, if its clock has run steadily since the sample.
    fn store_time_at(self, monotonic: Duration) -> SystemTime {
        self.store_time
            .checked_add(monotonic.saturating_sub(self.monotonic))
            .unwrap_or(self.store_time)
    }
}

impl ClockJumpGuard {
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, samples: VecDeque::new() }
    }

    /// Adds a sample of the store's clock. Returns the time from which ages up to `max_age` are
    /// counted: the earliest that any sample of that period gives for this moment.
    pub fn trusted_time(&mut self, store_time: SystemTime, monotonic: Duration) -> SystemTime {
        let mut since = monotonic;
        while let Some(last) =
            self.samples.pop_back_if(|last| last.store_time_at(monotonic) >= store_time)
        {
            since = last.since;
        }
        self.samples.push_back(ClockSample { store_time, monotonic, since });
        while self
            .samples
            .get(1)
            .is_some_and(|second| monotonic.saturating_sub(second.since) >= self.max_age)
        {
            self.samples.pop_front();
        }
        self.samples.front().map_or(store_time, |first| first.store_time_at(monotonic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    /// A guard with one sample, of a clock that was right at the start.
    fn guard() -> (ClockJumpGuard, SystemTime) {
        let start = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let mut guard = ClockJumpGuard::new(7 * DAY);
        assert_eq!(guard.trusted_time(start, Duration::ZERO), start);
        (guard, start)
    }

    #[test]
    fn a_steady_clock_is_trusted() {
        let (mut guard, start) = guard();
        for hours in 1..1000 {
            let store_time = start + hours * HOUR;
            assert_eq!(guard.trusted_time(store_time, hours * HOUR), store_time);
            assert_eq!(guard.samples.len(), 1);
        }
    }

    #[test]
    fn a_jump_forwards_ages_nothing_until_the_jump_is_old() {
        let (mut guard, start) = guard();
        for hours in 1..200 {
            let now = guard.trusted_time(start + 30 * DAY + hours * HOUR, hours * HOUR);
            // What was written just before the jump is as old as the monotonic clock says.
            let age = now.duration_since(start).unwrap();
            assert_eq!(age >= 7 * DAY, hours >= 7 * 24, "{hours} h");
        }
    }

    #[test]
    fn a_jump_backwards_and_its_correction_age_nothing() {
        let (mut guard, start) = guard();
        assert_eq!(guard.trusted_time(start - 30 * DAY, HOUR), start - 30 * DAY);
        let now = guard.trusted_time(start + 2 * HOUR, 2 * HOUR);
        assert!(now <= start + 2 * HOUR - 30 * DAY, "{now:?}");
        let (later, monotonic) = (start + 9 * DAY, 9 * DAY);
        assert_eq!(guard.trusted_time(later, monotonic), later, "the effect has ended");
    }

    #[test]
    fn the_number_of_samples_is_bounded() {
        let (mut guard, start) = guard();
        for minutes in 1..100_000_u32 {
            // A clock that runs fast: every sample disagrees with all before it.
            let monotonic = minutes * Duration::from_secs(300);
            guard.trusted_time(start + monotonic + monotonic / 1000, monotonic);
        }
        assert!(guard.samples.len() < 2100, "{}", guard.samples.len());
    }
}
