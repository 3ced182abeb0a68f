//! A file that a body is being written into.
//!
//! Guarantees: unless it is kept, it is gone once nobody writes to it any more, whoever waits for
//! that or not. It holds nothing of the disk before its first bytes are written, and then at most
//! as much again as came and a MiB: what a client holds, it has sent.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::disk::{preallocate, require_room};
use super::modes::create_file;

/// What is set aside beyond as much again as came.
const MORE_BYTES: u64 = 1 << 20;

/// The most that is set aside ahead of what came: the file is laid out in pieces that are long
/// enough for any disk.
const MAX_BYTES: u64 = 64 << 20;

/// Shared with those who write, of whom the last lets it go: to remove a file waits for a write
/// that is under way.
#[derive(Debug)]
pub(super) struct PendingFile {
    pub file: File,
    path: PathBuf,
    len_bytes: u64,
    /// Up to where the disk is set aside.
    preallocated_bytes: AtomicU64,
    kept: AtomicBool,
}

impl PendingFile {
    /// Blocks. **Errors**: a full disk, before the first byte: what does not fit is not begun.
    pub fn create(path: PathBuf, len_bytes: u64) -> io::Result<Self> {
        let file = create_file(&path)?;
        let unfinished = Self {
            file,
            path,
            len_bytes,
            preallocated_bytes: AtomicU64::new(0),
            kept: AtomicBool::new(false),
        };
        require_room(&unfinished.file, len_bytes)?;
        Ok(unfinished)
    }

    /// Sets more of the disk aside where the bytes before `end` are not covered: to be called
    /// before they are written. Blocks.
    /// **Errors**: a full disk.
    pub fn preallocate(&self, end: u64) -> io::Result<()> {
        // Whoever writes does so one after the other.
        let Some(stretch) =
            next_stretch(self.preallocated_bytes.load(Ordering::Relaxed), end, self.len_bytes)
        else {
            return Ok(());
        };
        require_room(&self.file, stretch.end - stretch.start)?;
        self.preallocated_bytes.store(stretch.end, Ordering::Relaxed);
        preallocate(&self.file, stretch)
    }

    /// Everything is written and synced: it stays.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

/// What to set aside next where `[0, aside)` is, before bytes up to `end` of `len_bytes` are
/// written. None where they have their room.
fn next_stretch(aside: u64, end: u64, len_bytes: u64) -> Option<Range<u64>> {
    let next = (end + (end + MORE_BYTES).min(MAX_BYTES)).min(len_bytes);
    (end > aside && next > aside).then_some(aside..next)
}

impl Drop for PendingFile {
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

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_set_aside_grows_with_what_came() {
        let table = [
            ((0, 1, 100), Some(0..100)),
            ((0, 1, 200 * MIB), Some(0..MIB + 2)),
            ((0, MIB, 200 * MIB), Some(0..3 * MIB)),
            ((3 * MIB, 3 * MIB, 200 * MIB), None),
            ((3 * MIB, 4 * MIB, 200 * MIB), Some(3 * MIB..9 * MIB)),
            ((3 * MIB, 4 * MIB, 8 * MIB), Some(3 * MIB..8 * MIB)),
            ((8 * MIB, 8 * MIB, 8 * MIB), None),
            ((128 * MIB, 129 * MIB, 400 * MIB), Some(128 * MIB..193 * MIB)),
            // More than was promised: refused elsewhere.
            ((100, 200, 100), None),
        ];
        for ((aside, end, len_bytes), wanted) in table {
            assert_eq!(
                next_stretch(aside, end, len_bytes),
                wanted,
                "{end} of {len_bytes} after {aside}"
            );
        }
    }

    #[test]
    fn it_is_gone_with_the_last_who_writes_unless_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = Arc::new(PendingFile::create(path.clone(), 10).unwrap());
        let writes = Arc::clone(&file);
        drop(file);
        assert!(path.exists());
        drop(writes);
        assert!(!path.exists());
        PendingFile::create(path.clone(), 10).unwrap().keep();
        assert!(path.exists());
    }
}
