//! Open files of packs that are read again and again.
//!
//! Guarantees: a bounded number of files is open, the recently used ones; a file that was removed
//! is closed, so that its space is free once its last reader is done.

use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that stay open.
const MAX_OPEN: usize = 64;

/// The open packs of a store.
#[derive(Debug, Default)]
pub struct PackHandles {
    /// The recently used first.
    open: Mutex<Vec<(String, Arc<File>)>>,
}

impl PackHandles {
    /// The open file of a pack.
    pub fn get(&self, id: &str) -> Option<Arc<File>> {
        let mut open = self.open();
        let at = open.iter().position(|(known, _)| known == id)?;
        // One step only: a pack that is read most is soon the first.
        open.swap(at, at.saturating_sub(1));
        Some(Arc::clone(&open[at.saturating_sub(1)].1))
    }

    /// Keeps the file of a pack open. The pack must be pinned.
    pub fn keep(&self, id: &str, file: &Arc<File>) {
        let mut open = self.open();
        if open.iter().all(|(known, _)| known != id) {
            open.truncate(MAX_OPEN - 1);
            // Before the last ones: it is the least recent of those that stay.
            let at = open.len() / 2;
            open.insert(at, (id.to_owned(), Arc::clone(file)));
        }
    }

    /// Closes the file of a pack, if it is open.
    pub fn forget(&self, id: &str) {
        self.open().retain(|(known, _)| known != id);
    }

    fn open(&self) -> MutexGuard<'_, Vec<(String, Arc<File>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_packs_is_open_and_the_used_ones_stay() {
        let handles = PackHandles::default();
        let file = Arc::new(tempfile::tempfile().unwrap());
        handles.keep("used", &file);
        for number in 0..10 * MAX_OPEN {
            handles.keep(&number.to_string(), &file);
            for _ in 0..MAX_OPEN {
                assert!(handles.get("used").is_some());
            }
        }
        assert_eq!(Arc::strong_count(&file), 1 + MAX_OPEN);
        handles.forget("used");
        assert!(handles.get("used").is_none());
        assert_eq!(Arc::strong_count(&file), MAX_OPEN);
    }
}
