//! A file that a body is being written into.
//!
//! Guarantees: unless it is kept, it is gone once nobody writes to it any more, whoever waits for that or not.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk::{require_room, set_aside};
use super::modes::create_file;

/// What a body has of the disk before it comes: enough for usual parts, and all that a client who never sends can hold.
const ASIDE_BYTES: u64 = 64 << 20;

/// Shared with those who write, of whom the last lets it go: to remove a file waits for a write that is under way.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub file: File,
    path: PathBuf,
    len_bytes: u64,
    kept: AtomicBool,
}

impl Unfinished {
    /// Blocks. **Errors**: a full disk, before the first byte: what does not fit is not begun.
    pub fn create(path: PathBuf, len_bytes: u64) -> io::Result<Self> {
        let file = create_file(&path)?;
        let unfinished = Self { file, path, len_bytes, kept: AtomicBool::new(false) };
        require_room(&unfinished.file, len_bytes)?;
        unfinished.set_aside(0)?;
        Ok(unfinished)
    }

    /// Sets the next stretch of the disk aside, if one begins there. Blocks.
    pub fn set_aside(&self, at: u64) -> io::Result<()> {
        if !at.is_multiple_of(ASIDE_BYTES) || at >= self.len_bytes {
            return Ok(());
        }
        set_aside(&self.file, self.len_bytes.min(at + ASIDE_BYTES))
    }

    /// Everything is written and synced: it stays.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            // Should it stay, opening the store removes it.
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn it_is_gone_with_the_last_who_writes_unless_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = Arc::new(Unfinished::create(path.clone(), 10).unwrap());
        let writes = Arc::clone(&file);
        drop(file);
        assert!(path.exists());
        drop(writes);
        assert!(!path.exists());
        Unfinished::create(path.clone(), 10).unwrap().keep();
        assert!(path.exists());
    }
}
