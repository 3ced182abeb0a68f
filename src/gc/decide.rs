//! What a sweep does with a session, by the session's status and age.
//!
//! Guarantees: a session that a client could still continue is kept; so are the documents of an
//! object that is there. Pure. Source: docs/architecture.md#expiry-and-sweeping.

use std::time::Duration;

use crate::upload::{Retention, Status};

/// How long after an abort late parts are looked for: a part that was in flight at the abort can
/// appear until its gateway has given up.
pub(super) const LATE_PART_WINDOW: Duration = Duration::from_secs(900);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReclaimAction {
    Keep,
    /// End the session and free its parts.
    Expire,
    /// Free the parts of an aborted session again, and mark it as freed.
    Free,
    /// Remove the documents, with the root that is left of an ended session.
    Forget,
}

/// How long sessions are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetentionLimits {
    pub expire_after: Duration,
    /// Of an aborted session whose parts wait for a successor.
    pub keep_aborted: Duration,
}

impl RetentionLimits {
    /// The age below which every session is kept.
    pub fn min_age(self) -> Duration {
        self.expire_after.min(self.keep_aborted).min(LATE_PART_WINDOW)
    }

    /// The longest age on which an action depends.
    pub fn max_age(self) -> Duration {
        self.expire_after.max(self.keep_aborted).max(LATE_PART_WINDOW)
    }
}

/// `idle`: the time since the newest document of the session was written. `retention`: what the
/// documents of a closed session are still needed for.
pub(super) fn reclaim_action(
    status: &Status,
    idle: Duration,
    retention: Retention,
    limits: RetentionLimits,
) -> ReclaimAction {
    let after = |limit: Duration, action: ReclaimAction| {
        if idle >= limit { action } else { ReclaimAction::Keep }
    };
    match (status, retention) {
        (Status::InProgress | Status::Finalizing { .. }, _) => {
            after(limits.expire_after, ReclaimAction::Expire)
        }
        (Status::Aborted { kept: true, .. }, _) => {
            after(limits.keep_aborted, ReclaimAction::Expire)
        }
        (Status::Aborted { freed: false, .. }, _) => after(LATE_PART_WINDOW, ReclaimAction::Free),
        (
            Status::Superseded { .. } | Status::Complete { .. },
            Retention::Successor | Retention::Object,
        ) => ReclaimAction::Keep,
        (Status::Superseded { .. } | Status::Complete { .. } | Status::Aborted { .. }, _) => {
            after(limits.expire_after, ReclaimAction::Forget)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_own_limit() {
        let hour = Duration::from_secs(3600);
        let limits = RetentionLimits { expire_after: 10 * hour, keep_aborted: 5 * hour };
        let aborted = |kept, freed| Status::Aborted { reason: String::new(), kept, freed };
        let superseded = Status::Superseded { by: "b".into(), alias: false };
        let finalizing = Status::Finalizing { checks: Default::default() };
        let table = [
            (Status::InProgress, Retention::None, 9, ReclaimAction::Keep),
            (Status::InProgress, Retention::None, 10, ReclaimAction::Expire),
            (finalizing, Retention::None, 10, ReclaimAction::Expire),
            (aborted(true, false), Retention::None, 4, ReclaimAction::Keep),
            (aborted(true, false), Retention::None, 5, ReclaimAction::Expire),
            (aborted(false, false), Retention::None, 0, ReclaimAction::Keep),
            (aborted(false, false), Retention::None, 1, ReclaimAction::Free),
            (aborted(false, true), Retention::None, 9, ReclaimAction::Keep),
            (aborted(false, true), Retention::None, 10, ReclaimAction::Forget),
            (superseded.clone(), Retention::Successor, 99, ReclaimAction::Keep),
            (superseded.clone(), Retention::None, 9, ReclaimAction::Keep),
            (superseded, Retention::None, 10, ReclaimAction::Forget),
        ];
        for (status, retention, hours, expected) in table {
            assert_eq!(
                reclaim_action(&status, hours * hour, retention, limits),
                expected,
                "{status:?} {retention:?} {hours} h"
            );
        }
        assert_eq!((limits.min_age(), limits.max_age()), (LATE_PART_WINDOW, 10 * hour));
    }
}
