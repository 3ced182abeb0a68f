//! A limit on the memory that many bodies share, so that what slow clients hold does not grow with
//! their number (docs/decisions/0016-shared-memory-for-slow-clients.md).
//!
//! Guarantees: no more is reserved than the budget has; a dropped reservation returns all of its
//! bytes. Nothing waits: a caller whose reservation cannot grow continues with less memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that any number of reservations share.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    free_bytes: AtomicUsize,
}

impl MemoryBudget {
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free_bytes: AtomicUsize::new(bytes) })
    }

    /// A reservation of no bytes.
    pub fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { bytes: 0, budget: Arc::clone(self) }
    }
}

/// Reserved bytes of a budget.
#[derive(Debug)]
pub(super) struct Reservation {
    bytes: usize,
    budget: Arc<MemoryBudget>,
}

impl Reservation {
    /// Reserves `bytes` more. If fewer are free, it returns false and changes nothing.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let take = |free: usize| free.checked_sub(bytes);
        let grown =
            self.budget.free_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free_bytes.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_reserved_than_there_is_and_all_of_it_is_returned() {
        let budget = MemoryBudget::new(10);
        let (mut one, mut other) = (budget.reservation(), budget.reservation());
        assert!(one.try_grow(4) && one.try_grow(3));
        assert!(!other.try_grow(4) && other.try_grow(3) && !other.try_grow(1));
        drop(one);
        assert!(other.try_grow(7));
        drop(other);
        assert!(budget.reservation().try_grow(10));
    }
}
