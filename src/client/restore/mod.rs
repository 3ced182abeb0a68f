//! Restores complete backups to a file or to stdout.
//!
//! Guarantees: every byte that is written was checked against the SHA-256 of its chunk. At most
//! `jobs` chunks are in memory.

mod byte_range;
mod file;
mod options;
mod stdout;

pub use byte_range::ByteRange;
pub use file::restore_to_file;
pub use options::RestoreOptions;
pub use stdout::restore_to_stdout;

/// The result of a restore.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    pub backup_id: String,
    /// Bytes that were received.
    pub bytes_read: u64,
    /// Bytes that the file had already.
    pub bytes_kept: u64,
}
