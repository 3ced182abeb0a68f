//! Backs up one file, stdin, the output of a command, or the attributes of a directory.
//!
//! Guarantees: only chunks that are not recorded are sent; every other local chunk is compared with
//! its record, and if one differs a fresh backup is begun, once; a backup counts as complete only
//! if the gateway confirmed the digest of what was read here and the file has not changed. At most
//! `jobs` chunks are in memory.

mod existing;
mod finalize;
mod options;
mod send;
mod stream;
mod upload;

use crate::api::Finalized;

pub use options::BackupOptions;
pub use stream::{backup_command, backup_stdin};
pub(super) use upload::backup_directory;
pub use upload::backup_file;

/// The result of a backup that is complete.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    pub backup_id: String,
    pub bucket: String,
    pub key: String,
    #[serde(flatten)]
    pub object: Finalized,
    pub bytes_sent: u64,
    /// Bytes that the gateway had already.
    pub bytes_skipped: u64,
}
