//! The options of a restore and their defaults.

use super::ByteRange;

/// What is restored, and how.
#[derive(Clone, Copy, Debug)]
pub struct RestoreOptions {
    /// Chunks that are requested at the same time.
    pub jobs: usize,
    /// Only these bytes; None: the whole file.
    pub range: Option<ByteRange>,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { jobs: 4, range: None }
    }
}

impl RestoreOptions {
    pub(super) fn max_concurrent_chunks(&self) -> usize {
        self.jobs.max(1)
    }
}
