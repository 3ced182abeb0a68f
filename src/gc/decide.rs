//! What is to become of a session, from its state and its age.
//!
//! Guarantees: a session that anybody could still carry on is kept; so are the records of an object
//! that is there. Pure.

use std::time::Duration;

use crate::upload::{Retention, Status};

/// How long the parts of an aborted session are looked for again: one that was in flight at its end
/// can turn up until its gateway has given up.
pub(super) const SETTLE: Duration = Duration::from_secs(900);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Keep,
    /// Ended, and its parts freed.
    Expire,
    /// Freed again, and marked as such.
    Free,
    /// Its records go, the tombstone too.
    Forget,
}

/// How long a session of each kind is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub expire_after: Duration,
    pub keep_aborted: Duration,
}

impl Terms {
    /// The age below which nothing becomes of any session.
    pub fn least(self) -> Duration {
        self.expire_after.min(self.keep_aborted).min(SETTLE)
    }
}

/// `idle`: since when nothing was written of it.
pub(super) fn fate(status: &Status, idle: Duration, tie: Retention, terms: Terms) -> Fate {
    let after = |limit: Duration, fate: Fate| if idle >= limit { fate } else { Fate::Keep };
    match (status, tie) {
        (Status::InProgress | Status::Finalizing { .. }, _) => {
            after(terms.expire_after, Fate::Expire)
        }
        (Status::Aborted { kept: true, .. }, _) => after(terms.keep_aborted, Fate::Expire),
        (Status::Aborted { freed: false, .. }, _) => after(SETTLE, Fate::Free),
        (
            Status::Superseded { .. } | Status::Complete { .. },
            Retention::Successor | Retention::Object,
        ) => Fate::Keep,
        (Status::Superseded { .. } | Status::Complete { .. } | Status::Aborted { .. }, _) => {
            after(terms.expire_after, Fate::Forget)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_time() {
        let hour = Duration::from_secs(3600);
        let terms = Terms { expire_after: 10 * hour, keep_aborted: 5 * hour };
        let aborted = |kept, freed| Status::Aborted { reason: String::new(), kept, freed };
        let superseded = Status::Superseded { by: "b".to_owned() };
        let table = [
            (Status::InProgress, Retention::None, 9, Fate::Keep),
            (Status::InProgress, Retention::None, 10, Fate::Expire),
            (Status::Finalizing { checks: Default::default() }, Retention::None, 10, Fate::Expire),
            (aborted(true, false), Retention::None, 4, Fate::Keep),
            (aborted(true, false), Retention::None, 5, Fate::Expire),
            (aborted(false, false), Retention::None, 0, Fate::Keep),
            (aborted(false, false), Retention::None, 1, Fate::Free),
            (aborted(false, true), Retention::None, 9, Fate::Keep),
            (aborted(false, true), Retention::None, 10, Fate::Forget),
            (superseded.clone(), Retention::Successor, 99, Fate::Keep),
            (superseded.clone(), Retention::None, 9, Fate::Keep),
            (superseded, Retention::None, 10, Fate::Forget),
        ];
        for (status, tie, hours, wanted) in table {
            assert_eq!(
                fate(&status, hours * hour, tie, terms),
                wanted,
                "{status:?} {tie:?} {hours} h"
            );
        }
        assert_eq!(terms.least(), SETTLE);
    }
}
