//! The store's clock under the eye of our own.
//!
//! Guarantees: a store's clock that jumps forwards makes nothing older than this process has seen
//! it get, so no sweep takes a live session for one that was left long ago; a clock that jumps
//! backwards only makes things younger. Both wear off once the last look at the clock before the
//! jump is as old as the longest age that matters. It knows nothing of what happened before it was
//! made: there the store's clock is believed. Source: DESIGN §12.9. The embedded store's clock is
//! its machine's, and that one is set by hand, by NTP after a start without a battery, by a machine
//! that wakes up.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// Looks at the store's clock, each with our own monotonic time.
#[derive(Debug)]
pub(super) struct Watch {
    /// The longest age that matters: looks that are older are forgotten.
    longest: Duration,
    /// In the order of time, and to each it is later now than to the one before it.
    looks: VecDeque<Look>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    store: SystemTime,
    own: Duration,
    /// Since when the clock has run so, or later than so. All that is older is older by our own
    /// time too.
    since: Duration,
}

impl Look {
    /// What time it is if the store's clock ran steadily since.
    fn now(self, own: Duration) -> SystemTime {
        self.store.checked_add(own.saturating_sub(self.own)).unwrap_or(self.store)
    }
}

impl Watch {
    pub fn new(longest: Duration) -> Self {
        Self { longest, looks: VecDeque::new() }
    }

    /// Takes in what the store's clock says. What time it is, as far as anything of the last
    /// `longest` is concerned: the earliest that any look in that time gives.
    pub fn look(&mut self, store: SystemTime, own: Duration) -> SystemTime {
        let mut since = own;
        while let Some(last) = self.looks.pop_back_if(|last| last.now(own) >= store) {
            since = last.since;
        }
        self.looks.push_back(Look { store, own, since });
        while self.looks.get(1).is_some_and(|next| own.saturating_sub(next.since) >= self.longest) {
            self.looks.pop_front();
        }
        self.looks.front().map_or(store, |first| first.now(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(86_400);

    /// A watch on a clock that was right at the start.
    fn watch() -> (Watch, SystemTime) {
        let start = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let mut watch = Watch::new(7 * DAY);
        assert_eq!(watch.look(start, Duration::ZERO), start);
        (watch, start)
    }

    #[test]
    fn a_steady_clock_is_believed() {
        let (mut watch, start) = watch();
        for hours in 1..1000 {
            assert_eq!(watch.look(start + hours * HOUR, hours * HOUR), start + hours * HOUR);
            assert_eq!(watch.looks.len(), 1);
        }
    }

    #[test]
    fn a_jump_forwards_ages_nothing_until_it_is_old() {
        let (mut watch, start) = watch();
        for hours in 1..200 {
            let now = watch.look(start + 30 * DAY + hours * HOUR, hours * HOUR);
            // What was written just before the jump is as old as we saw it get.
            let age = now.duration_since(start).unwrap();
            assert_eq!(age >= 7 * DAY, hours >= 7 * 24, "{hours} h");
        }
    }

    #[test]
    fn a_jump_backwards_and_its_mending_age_nothing() {
        let (mut watch, start) = watch();
        assert_eq!(watch.look(start - 30 * DAY, HOUR), start - 30 * DAY);
        let now = watch.look(start + 2 * HOUR, 2 * HOUR);
        assert!(now <= start + 2 * HOUR - 30 * DAY, "{now:?}");
        let (later, day) = (start + 9 * DAY, 9 * DAY);
        assert_eq!(watch.look(later, day), later, "it has worn off");
    }

    #[test]
    fn many_looks_stay_few() {
        let (mut watch, start) = watch();
        for minutes in 1..100_000_u32 {
            // A clock that gains: every look disagrees with all before it.
            let own = minutes * Duration::from_secs(300);
            watch.look(start + own + own / 1000, own);
        }
        assert!(watch.looks.len() < 2100, "{}", watch.looks.len());
    }
}
