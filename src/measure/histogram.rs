//! How long something took, in buckets of fixed bounds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets, in seconds: from a read of the cache to a finalize of a large
/// upload. What took longer is in the last bucket, without a bound.
pub(super) const BOUNDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what took longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many took as long as each bound or less, and how many there are in all.
    pub(super) fn cumulative(&self) -> ([u64; BOUNDS.len()], u64) {
        let (mut below, mut total) = ([0; BOUNDS.len()], 0);
        for (at, bucket) in self.buckets.iter().enumerate() {
            total += bucket.load(Ordering::Relaxed);
            if let Some(below) = below.get_mut(at) {
                *below = total;
            }
        }
        (below, total)
    }

    pub(super) fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_their_bound() {
        let histogram = Histogram::default();
        for ms in [1, 2, 10, 11, 500_000] {
            histogram.add(Duration::from_millis(ms));
        }
        let (below, total) = histogram.cumulative();
        assert_eq!((&below[..5], below[13], total), (&[1, 2, 2, 3, 4][..], 4, 5));
        assert!((histogram.sum_seconds() - 500.024).abs() < 1e-9);
    }
}
