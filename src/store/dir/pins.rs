//! Which files running reads still need.
//!
//! Guarantees: a file that a body is to read from stays on the disk until the body has read it, or
//! is dropped, although its object is replaced or removed meanwhile. No file is held open for that,
//! so an object of many parts costs no more descriptors than any other. While a snapshot is taken
//! no file is removed at all. Pins and holds are in memory only: a crash ends the reads and the
//! snapshots too, and the next opening removes what they kept.

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
    /// How many snapshots are being taken.
    holds: usize,
}

/// Keeps all files until it is dropped.
#[derive(Debug)]
pub(super) struct Hold(Arc<Pins>);

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

    /// Keeps all files. To be called before the index is read that names them.
    pub fn hold(self: &Arc<Self>) -> Hold {
        self.state().holds += 1;
        Hold(Arc::clone(self))
    }

    fn wake_reaper(&self) {
        if let Some(reaper) = self.reaper.get() {
            reaper.unpark();
        }
    }

    /// Keeps in `garbage` only the files that no body and no snapshot needs. The others are left
    /// until they are unpinned or no snapshot is being taken, which wakes the reaper.
    pub fn retain_unpinned(&self, garbage: &mut Vec<String>) {
        let _alone = self.lookups.write().unwrap_or_else(PoisonError::into_inner);
        let State { counts, left, holds } = &mut *self.state();
        if *holds > 0 {
            garbage.clear();
            return;
        }
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
        if state.left.remove(&self.id) {
            self.pins.wake_reaper();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.holds -= 1;
        if state.holds == 0 {
            self.0.wake_reaper();
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

    #[test]
    fn every_file_is_kept_until_the_last_snapshot_is_taken() {
        let pins = Arc::new(Pins::default());
        let unpinned = || {
            let mut garbage = vec!["a".to_owned()];
            pins.retain_unpinned(&mut garbage);
            garbage
        };
        let (one, two) = (pins.hold(), pins.hold());
        drop(one);
        assert!(unpinned().is_empty());
        drop(two);
        assert_eq!(unpinned(), ["a"]);
    }
}
