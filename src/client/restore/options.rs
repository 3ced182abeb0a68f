//! The options of a restore and their defaults.

use super::ByteRange;

/// What is restored, and how.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// Chunks that are requested at the same time.
    pub jobs: usize,
    /// Only these bytes; None: the whole file.
    pub range: Option<ByteRange>,
    /// The directory of the file is synced by the caller.
    pub is_in_tree: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { jobs: 4, range: None, is_in_tree: false }
    }
}

impl RestoreOptions {
    pub(super) fn max_concurrent_chunks(&self) -> usize {
        self.jobs.max(1)
    }
}
