//! What was read before and cannot have changed.
//!
//! Guarantees: bounded by the weight of its entries; what is used is kept longer than what is not.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Two generations of entries. A full newer one replaces the older one.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    max_weight: usize,
    generations: Mutex<Generations<K, V>>,
}

#[derive(Debug)]
struct Generations<K, V> {
    newer: HashMap<K, (usize, V)>,
    newer_weight: usize,
    older: HashMap<K, (usize, V)>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub fn new(max_weight: usize) -> Self {
        let generations =
            Generations { newer: HashMap::new(), newer_weight: 0, older: HashMap::new() };
        Self { max_weight, generations: Mutex::new(generations) }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let mut generations = self.lock();
        if let Some((_, value)) = generations.newer.get(key) {
            return Some(value.clone());
        }
        let (key, (weight, value)) = generations.older.remove_entry(key)?;
        self.add(&mut generations, key, weight, value.clone());
        Some(value)
    }

    pub fn insert(&self, key: K, weight: usize, value: V) {
        self.add(&mut self.lock(), key, weight, value);
    }

    fn add(&self, generations: &mut Generations<K, V>, key: K, weight: usize, value: V) {
        if generations.newer_weight + weight > self.max_weight / 2 {
            generations.older = std::mem::take(&mut generations.newer);
            generations.newer_weight = 0;
        }
        let replaced = generations.newer.insert(key, (weight, value));
        generations.newer_weight += weight;
        generations.newer_weight -= replaced.map_or(0, |(weight, _)| weight);
    }

    fn lock(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_weight_is_bounded() {
        let cache = Cache::new(20);
        for key in 0..1000 {
            cache.insert(key, 1, key);
            assert_eq!(cache.get(&0), Some(0), "after {key}");
        }
        assert_eq!(cache.get(&1), None);
        let generations = cache.lock();
        assert!(generations.newer.len() + generations.older.len() <= 20);
    }
}
