//! Restores complete backups to a file or to stdout.
//!
//! Guarantees: every byte that is written was checked against the SHA-256 of its chunk. At most
//! `jobs` chunks are in memory.

mod byte_range;
mod file;
mod stdout;

pub use byte_range::ByteRange;
pub use file::restore_to_file;
pub use stdout::restore_to_stdout;

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
    fn max_concurrent_chunks(&self) -> usize {
        self.jobs.max(1)
    }
}

/// The result of a restore.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    pub backup_id: String,
    /// Bytes that were received.
    pub bytes_read: u64,
    /// Bytes that the file had already.
    pub bytes_kept: u64,
}
