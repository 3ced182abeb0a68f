//! A commit of the index that is kept whole while somebody copies it.
//!
//! Guarantees: as long as it is there, no file that the commit names is removed. The copy of the
//! index lies in `incoming/`, and goes with it unless it was taken away before.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::super::Result;
use super::super::files::Files;
use super::super::handle::Handle;
use super::super::pins::Hold;
use super::index_copy::copy_index;

#[derive(Debug)]
pub(in super::super) struct Held {
    /// The name of the copy in `incoming/`.
    index: String,
    files: Arc<Files>,
    _hold: Hold,
}

impl Held {
    /// Copies the index into a file of this name under `incoming/`. Blocks. **Errors**: `Full`,
    /// `Unavailable`; also once `stop` is true.
    pub fn take(
        handle: &Handle,
        files: &Arc<Files>,
        index: String,
        stop: &AtomicBool,
    ) -> Result<Self> {
        // The hold first: what is released after the index is read is not removed.
        let held = Self { index, files: Arc::clone(files), _hold: files.pins.hold() };
        let transaction = handle.read()?;
        let path = files.places().incoming.join(&held.index);
        copy_index(&transaction, &path, handle.path(), stop)?;
        Ok(held)
    }

    pub fn index(&self) -> &str {
        &self.index
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // If this fails, the next opening removes the file.
        self.files.remove(&self.index).ok();
    }
}
