//! Backs up one file, stdin, the output of a command, or what has only attributes: a directory, a
//! special file.
//!
//! Guarantees: only chunks that are not recorded are sent; every other local chunk is compared with
//! its record, and if one differs a fresh backup is begun, once; a backup counts as complete only
//! if the gateway confirmed the digest of what was read here and the file has not changed. At most
//! `jobs` chunks are in memory.

mod empty;
mod existing;
mod finalize;
mod one_request;
mod options;
mod path;
mod send;
mod stream;
mod upload;

use std::collections::BTreeMap;

use crate::api::Finalized;

pub use options::{BackupOptions, Known};
pub use path::backup_file;
pub use stream::{backup_command, backup_stdin};

pub(super) use path::{Place, backup_again, backup_path};
pub(super) use upload::backup_source;

/// The result of a backup that is complete.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupReport {
    pub backup_id: String,
    pub bucket: String,
    pub key: String,
    #[serde(flatten)]
    pub object: Finalized,
    /// The metadata of the object, which is older than this run if the object was there.
    #[serde(skip)]
    pub metadata: BTreeMap<String, String>,
    pub bytes_sent: u64,
    /// Bytes that the gateway had already.
    pub bytes_skipped: u64,
}
