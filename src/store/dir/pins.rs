//! Which files running reads still need.
//!
//! Guarantees: a file that a body is to read from stays on the disk until the body has read it, or
//! is dropped, although its object is replaced or removed meanwhile. No file is held open for that,
//! so an object of many parts costs no more descriptors than any other. Pins are in memory only: a
//! crash ends the reads too, and the next opening removes what they kept.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread::Thread;

/// The pinned files of one store.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Held shared from the lookup of an object until its files are pinned, and alone while the
    /// reaper decides which files it may remove: whoever looks up later sees the commit that
    /// released them.
    lookups: RwLock<()>,
    state: Mutex<State>,
    reaper: OnceLock<Thread>,
}

#[derive(Debug, Default)]
struct State {
    /// How many bodies still need each file.
    counts: HashMap<String, usize>,
    /// Garbage that the reaper left because it was pinned.
    left: HashSet<String>,
}

/// Keeps one file until it is dropped.
#[derive(Debug)]
pub(super) struct Pin {
    pins: Arc<Pins>,
    id: String,
}

impl Pins {
    /// To be held while an object is looked up and its files are pinned; never across an await.
    pub fn lookup(&self) -> RwLockReadGuard<'_, ()> {
        self.lookups.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread to wake once files that it left are no longer pinned.
    pub fn set_reaper(&self, thread: Thread) {
        // Set once: a store has one reaper.
        self.reaper.set(thread).ok();
    }

    pub fn pin(self: &Arc<Self>, id: &str) -> Pin {
        *self.state().counts.entry(id.to_owned()).or_default() += 1;
        Pin { pins: Arc::clone(self), id: id.to_owned() }
    }

    /// Keeps in `garbage` only the files that no body needs. The others are left until they are
    /// unpinned, which wakes the reaper.
    pub fn retain_unpinned(&self, garbage: &mut Vec<String>) {
        let _alone = self.lookups.write().unwrap_or_else(PoisonError::into_inner);
        let State { counts, left } = &mut *self.state();
        garbage.retain(|id| {
            let is_pinned = counts.contains_key(id);
            if is_pinned {
                left.insert(id.clone());
            }
            !is_pinned
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pin {
    /// The pinned file.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.pins.state();
        let Some(count) = state.counts.get_mut(&self.id) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        state.counts.remove(&self.id);
        if state.left.remove(&self.id)
            && let Some(reaper) = self.pins.reaper.get()
        {
            reaper.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_kept_until_its_last_pin_is_dropped() {
        let pins = Arc::new(Pins::default());
        let unpinned = || {
            let mut garbage = vec!["a".to_owned(), "b".to_owned()];
            pins.retain_unpinned(&mut garbage);
            garbage
        };
        let (one, two) = (pins.pin("a"), pins.pin("a"));
        assert_eq!(unpinned(), ["b"]);
        drop(one);
        assert_eq!(unpinned(), ["b"]);
        drop(two);
        assert_eq!(unpinned(), ["a", "b"]);
        assert!(pins.state().counts.is_empty() && pins.state().left.is_empty());
    }
}
