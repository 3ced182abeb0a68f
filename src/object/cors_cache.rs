//! The CORS rules of the buckets that pages asked for lately, and which of them exist.
//!
//! Guarantees: bounded; rules are kept for [`MAX_AGE`]; a change that this process makes is seen at
//! once. Anyone can send a preflight for any name, so few rules are read at the same time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::names::Bucket;

use super::cors::CorsRule;

/// How long another gateway's change may stay unseen.
const MAX_AGE: Duration = Duration::from_secs(5);
const MAX_BUCKETS: usize = 1024;
const MAX_READS: usize = 16;

pub type Rules = Arc<[CorsRule]>;

#[derive(Debug)]
pub(super) struct CorsCache {
    known: Mutex<HashMap<Bucket, Known>>,
    /// Grows with each change of this process: what was read before it is not kept.
    generation: AtomicU64,
    turns: Semaphore,
}

/// What is known of a bucket.
#[derive(Debug)]
struct Known {
    read_at: Duration,
    rules: Rules,
    /// Whether there is the bucket. None: nobody asked.
    exists: Option<bool>,
}

impl Known {
    fn is_fresh(&self, now: Duration) -> bool {
        now.saturating_sub(self.read_at) < MAX_AGE
    }
}

impl Default for CorsCache {
    fn default() -> Self {
        Self {
            known: Mutex::default(),
            generation: AtomicU64::new(0),
            turns: Semaphore::new(MAX_READS),
        }
    }
}

impl CorsCache {
    pub fn get(&self, bucket: &Bucket, now: Duration) -> Option<Rules> {
        let known = self.lock();
        let found = known.get(bucket).filter(|known| known.is_fresh(now))?;
        Some(Arc::clone(&found.rules))
    }

    /// Whether there is the bucket, where it was asked since its rules were read.
    pub fn exists(&self, bucket: &Bucket, now: Duration) -> Option<bool> {
        self.lock().get(bucket).filter(|known| known.is_fresh(now))?.exists
    }

    /// Keeps whether there is a bucket as long as its rules, unless this process changed some since
    /// `generation`.
    pub fn note_existence(&self, bucket: &Bucket, generation: u64, exists: bool) {
        let mut known = self.lock();
        if self.generation() == generation
            && let Some(known) = known.get_mut(bucket)
        {
            known.exists = Some(exists);
        }
    }

    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Keeps rules that were read at `read_at`, unless this process changed some since
    /// `generation`.
    pub fn insert(&self, bucket: &Bucket, read_at: Duration, generation: u64, rules: &Rules) {
        let mut known = self.lock();
        if self.generation() != generation {
            return;
        }
        if known.len() >= MAX_BUCKETS {
            known.retain(|_, known| known.is_fresh(read_at));
        }
        if known.len() >= MAX_BUCKETS
            && let Some(oldest) =
                known.iter().min_by_key(|(_, known)| known.read_at).map(|(name, _)| name.clone())
        {
            known.remove(&oldest);
        }
        let rules = Arc::clone(rules);
        known.insert(bucket.clone(), Known { read_at, rules, exists: None });
    }

    pub fn forget(&self, bucket: &Bucket) {
        let mut known = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        known.remove(bucket);
    }

    /// Waits for permission to read.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Nothing closes the semaphore.
        self.turns.acquire().await.ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Bucket, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_kept_for_a_while_and_forgotten_at_a_change() {
        let (cache, bucket, rules) = (CorsCache::default(), Bucket::from("b"), Rules::default());
        let at = Duration::from_secs(100);
        cache.insert(&bucket, at, cache.generation(), &rules);
        assert!(cache.get(&bucket, at + MAX_AGE / 2).is_some());
        assert!(cache.get(&bucket, at + MAX_AGE).is_none());
        let before = cache.generation();
        cache.forget(&bucket);
        assert!(cache.get(&bucket, at).is_none());
        cache.insert(&bucket, at, before, &rules);
        assert!(cache.get(&bucket, at).is_none(), "read before the change");
    }

    #[test]
    fn whether_a_bucket_exists_is_kept_as_long_as_its_rules() {
        let (cache, bucket, rules) = (CorsCache::default(), Bucket::from("b"), Rules::default());
        let at = Duration::from_secs(100);
        cache.note_existence(&bucket, cache.generation(), true);
        assert_eq!(cache.exists(&bucket, at), None, "its rules are not known");
        cache.insert(&bucket, at, cache.generation(), &rules);
        assert_eq!(cache.exists(&bucket, at), None);
        cache.note_existence(&bucket, cache.generation(), false);
        assert_eq!(cache.exists(&bucket, at + MAX_AGE / 2), Some(false));
        assert_eq!(cache.exists(&bucket, at + MAX_AGE), None);
        let before = cache.generation();
        cache.forget(&bucket);
        cache.insert(&bucket, at, cache.generation(), &rules);
        cache.note_existence(&bucket, before, false);
        assert_eq!(cache.exists(&bucket, at), None, "found before the change");
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let (cache, rules) = (CorsCache::default(), Rules::default());
        for number in 0..3 * MAX_BUCKETS {
            let bucket = Bucket::from(format!("b{number}"));
            cache.insert(&bucket, Duration::from_micros(number as u64), 0, &rules);
        }
        assert_eq!(cache.lock().len(), MAX_BUCKETS);
        let newest = Bucket::from(format!("b{}", 3 * MAX_BUCKETS - 1));
        assert!(cache.get(&newest, Duration::ZERO).is_some());
    }
}
