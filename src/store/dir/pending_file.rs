//! A file that a body is being written into.
//!
//! Guarantees: unless it is kept, it is removed once the last write to it ends, also if no future
//! waits for that write. It has no disk space before its first bytes are written, and then at most
//! twice the received bytes and a MiB: a client cannot occupy space for bytes that it does not send
//! (docs/decisions/0014-preallocation.md).

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::disk::{preallocate, require_room};
use super::modes::create_file;

/// What is preallocated beyond as much again as was received.
const EXTRA_BYTES: u64 = 1 << 20;

/// The most that is preallocated ahead of the received bytes: extents of this size are large enough
/// for any disk.
const MAX_AHEAD_BYTES: u64 = 64 << 20;

/// Shared with the writes in flight; the last one to end drops it, as a removal would wait for
/// them.
#[derive(Debug)]
pub(super) struct PendingFile {
    pub file: File,
    path: PathBuf,
    len_bytes: u64,
    /// The end of the preallocated range, which begins at 0.
    preallocated_bytes: AtomicU64,
    kept: AtomicBool,
}

impl PendingFile {
    /// Creates the file. Blocks. **Errors**: a full disk, before the first byte is received.
    pub fn create(path: PathBuf, len_bytes: u64) -> io::Result<Self> {
        let file = create_file(&path)?;
        let pending = Self {
            file,
            path,
            len_bytes,
            preallocated_bytes: AtomicU64::new(0),
            kept: AtomicBool::new(false),
        };
        require_room(&pending.file, len_bytes)?;
        Ok(pending)
    }

    /// Preallocates more if the bytes before `end` are not covered: to be called before they are
    /// written. Blocks. **Errors**: a full disk.
    pub fn preallocate(&self, end: u64) -> io::Result<()> {
        // No race between load and store: the writes of one body run one after the other.
        let Some(range) =
            next_range(self.preallocated_bytes.load(Ordering::Relaxed), end, self.len_bytes)
        else {
            return Ok(());
        };
        require_room(&self.file, range.end - range.start)?;
        self.preallocated_bytes.store(range.end, Ordering::Relaxed);
        preallocate(&self.file, range)
    }

    /// Keeps the file, once everything is written and synced.
    pub fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

/// The range to preallocate next, where `[0, allocated)` is, before bytes up to `end` of
/// `len_bytes` are written. None if they are covered.
fn next_range(allocated: u64, end: u64, len_bytes: u64) -> Option<Range<u64>> {
    let next = (end + (end + EXTRA_BYTES).min(MAX_AHEAD_BYTES)).min(len_bytes);
    (end > allocated && next > allocated).then_some(allocated..next)
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            // A file that cannot be removed now is removed when the store is opened again.
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
    fn the_preallocated_range_grows_with_the_received_bytes() {
        let table = [
            ((0, 1, 100), Some(0..100)),
            ((0, 1, 200 * MIB), Some(0..MIB + 2)),
            ((0, MIB, 200 * MIB), Some(0..3 * MIB)),
            ((3 * MIB, 3 * MIB, 200 * MIB), None),
            ((3 * MIB, 4 * MIB, 200 * MIB), Some(3 * MIB..9 * MIB)),
            ((3 * MIB, 4 * MIB, 8 * MIB), Some(3 * MIB..8 * MIB)),
            ((8 * MIB, 8 * MIB, 8 * MIB), None),
            ((128 * MIB, 129 * MIB, 400 * MIB), Some(128 * MIB..193 * MIB)),
            // More than the announced length: refused elsewhere.
            ((100, 200, 100), None),
        ];
        for ((allocated, end, len_bytes), expected) in table {
            assert_eq!(
                next_range(allocated, end, len_bytes),
                expected,
                "{end} of {len_bytes} after {allocated}"
            );
        }
    }

    #[test]
    fn the_file_is_removed_with_its_last_handle_unless_kept() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let file = Arc::new(PendingFile::create(path.clone(), 10).unwrap());
        let writer = Arc::clone(&file);
        drop(file);
        assert!(path.exists());
        drop(writer);
        assert!(!path.exists());
        PendingFile::create(path.clone(), 10).unwrap().keep();
        assert!(path.exists());
    }
}
