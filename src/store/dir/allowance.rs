//! A bound on the memory that many bodies share, so that what slow clients hold does not grow with
//! their number.
//!
//! Guarantees: no more is given than there is; a share gives back all it has when it goes. Nobody
//! waits: who gets nothing makes do with less.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// So many bytes for all together.
#[derive(Debug)]
pub(super) struct Allowance {
    left_bytes: AtomicUsize,
}

impl Allowance {
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left_bytes: AtomicUsize::new(bytes) })
    }

    /// A share of nothing.
    pub fn share(self: &Arc<Self>) -> Share {
        Share { bytes: 0, of: Arc::clone(self) }
    }
}

/// What one of them has of it.
#[derive(Debug)]
pub(super) struct Share {
    bytes: usize,
    of: Arc<Allowance>,
}

impl Share {
    /// Takes so many more; none where not all of them are left.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let take = |left: usize| left.checked_sub(bytes);
        let grown =
            self.of.left_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.left_bytes.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_than_there_is_and_all_of_it_comes_back() {
        let allowance = Allowance::new(10);
        let (mut one, mut other) = (allowance.share(), allowance.share());
        assert!(one.grow(4) && one.grow(3));
        assert!(!other.grow(4) && other.grow(3) && !other.grow(1));
        drop(one);
        assert!(other.grow(7));
        drop(other);
        assert!(allowance.share().grow(10));
    }
}
