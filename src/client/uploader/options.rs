//! The options of a backup and their defaults.

use std::collections::BTreeMap;

use crate::digest::Kind;

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
    /// `multipart` or `content`; None: as the gateway's settings say.
    pub layout: Option<String>,
    pub known: Known,
}

/// What is done about content that is backed up already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// It is not sent again.
    #[default]
    Keep,
    /// It is read, and sent again if it is damaged.
    Check,
    /// It is sent again.
    Replace,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            jobs: 4,
            chunk_size: 8 << 20,
            digest: Kind::Sha256Chunks,
            file_id: None,
            metadata: BTreeMap::new(),
            layout: None,
            known: Known::Keep,
        }
    }
}

impl BackupOptions {
    /// How many chunks of one file are processed at the same time. With a whole-file SHA-256 only
    /// one: the gateway computes it while chunks come in order, and must otherwise read the object
    /// back, which not every bucket allows (docs/api.md#the-whole-file-sha-256).
    pub(super) fn max_concurrent_chunks(&self) -> usize {
        match self.digest {
            Kind::Sha256 => 1,
            Kind::Blake3 | Kind::Crc64Nvme | Kind::Sha256Chunks => self.jobs.max(1),
        }
    }
}
