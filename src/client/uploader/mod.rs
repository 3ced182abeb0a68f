//! Backs up one file, stdin, or the attributes of a directory.
//!
//! Guarantees: only chunks that are not recorded are sent; every other local chunk is compared with
//! its record, and if one differs a fresh backup is begun, once; a backup counts as complete only
//! if the gateway confirmed the digest of what was read here and the file has not changed. At most
//! `jobs` chunks are in memory.

mod existing;
mod finalize;
mod send;
mod upload;

use std::collections::BTreeMap;

use crate::api::Finalized;
use crate::digest::Kind;

pub(super) use upload::backup_directory;
pub use upload::{backup_file, backup_stdin};

/// How a backup is made.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// Chunks that are read and sent at the same time.
    pub jobs: usize,
    /// Bytes; doubled until the file has at most 10,000 chunks.
    pub chunk_size: u64,
    /// The digest of the whole file that the gateway must confirm.
    pub digest: Kind,
    /// Names the content; without it the size, the first and the last chunk do.
    pub file_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            jobs: 4,
            chunk_size: 8 << 20,
            digest: Kind::Sha256Chunks,
            file_id: None,
            metadata: BTreeMap::new(),
        }
    }
}

impl BackupOptions {
    /// How many chunks of one file are processed at the same time. With a whole-file SHA-256 only
    /// one: the gateway computes it while chunks come in order, and must otherwise read the object
    /// back, which not every bucket allows (docs/api.md#the-whole-file-sha-256).
    fn max_concurrent_chunks(&self) -> usize {
        match self.digest {
            Kind::Sha256 => 1,
            Kind::Blake3 | Kind::Crc64Nvme | Kind::Sha256Chunks => self.jobs.max(1),
        }
    }
}

/// A backup that is complete.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CompletedBackup {
    pub backup_id: String,
    pub bucket: String,
    pub key: String,
    #[serde(flatten)]
    pub object: Finalized,
    pub bytes_sent: u64,
    pub bytes_skipped: u64,
}
