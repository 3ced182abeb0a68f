//! The hashes of one chunk while it streams: its SHA-256, and what the whole-file digest of its session needs.
//!
//! Guarantees: only the kind named at create is computed beside SHA-256 (DESIGN §12.15).
//! It does not know whether the chunk is wanted.

use blake3::hazmat::HasherExt;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::Kind;
use super::sha256::{Sha256, hex, unhex};

/// What a chunk adds to the whole-file digest. Text, since it is kept in JSON records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Extra {
    /// The chunk's subtree chaining value; for a chunk at offset 0 also its hash as a whole file of its own.
    Blake3 {
        cv: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        root: Option<String>,
    },
    /// CRC-64/NVME as 16 hex digits.
    Crc64Nvme(String),
}

/// What is known of a chunk once all its bytes went by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkDigests {
    pub sha256: Sha256,
    pub len_bytes: u64,
    /// None for kinds that need nothing beside SHA-256, and for an empty chunk.
    pub extra: Option<Extra>,
}

enum ExtraHasher {
    None,
    Blake3 { subtree: Box<blake3::Hasher>, offset: u64 },
    Crc64(Box<crc_fast::Digest>),
}

/// The running hashes of one chunk.
pub struct ChunkHasher {
    sha256: sha2::Sha256,
    extra: ExtraHasher,
    len_bytes: u64,
}

impl ChunkHasher {
    /// `offset_bytes`: where the chunk starts in the file; for `Kind::Blake3` a multiple of a power-of-two chunk
    /// size of at least 1,024.
    pub fn new(kind: Option<Kind>, offset_bytes: u64) -> Self {
        let extra = match kind {
            Some(Kind::Blake3) => {
                let mut subtree = Box::new(blake3::Hasher::new());
                subtree.set_input_offset(offset_bytes);
                ExtraHasher::Blake3 { subtree, offset: offset_bytes }
            }
            Some(Kind::Crc64Nvme) => {
                ExtraHasher::Crc64(Box::new(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)))
            }
            Some(Kind::Sha256 | Kind::Sha256Chunks) | None => ExtraHasher::None,
        };
        Self { sha256: sha2::Sha256::new(), extra, len_bytes: 0 }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.len_bytes += bytes.len() as u64;
        match &mut self.extra {
            ExtraHasher::None => {}
            ExtraHasher::Blake3 { subtree, .. } => {
                subtree.update(bytes);
            }
            ExtraHasher::Crc64(crc) => crc.update(bytes),
        }
    }

    pub fn finish(self) -> ChunkDigests {
        let extra = match self.extra {
            ExtraHasher::Blake3 { subtree, offset } if self.len_bytes > 0 => Some(Extra::Blake3 {
                cv: hex(&subtree.finalize_non_root()),
                root: (offset == 0).then(|| hex(subtree.finalize().as_bytes())),
            }),
            ExtraHasher::Crc64(crc) if self.len_bytes > 0 => Some(Extra::Crc64Nvme(format!("{:016x}", crc.finalize()))),
            ExtraHasher::None | ExtraHasher::Blake3 { .. } | ExtraHasher::Crc64(_) => None,
        };
        ChunkDigests { sha256: Sha256(self.sha256.finalize().into()), len_bytes: self.len_bytes, extra }
    }
}

impl Extra {
    pub(super) fn blake3(&self) -> Option<([u8; 32], Option<[u8; 32]>)> {
        match self {
            Self::Blake3 { cv, root } => Some((unhex(cv)?, root.as_deref().and_then(unhex))),
            Self::Crc64Nvme(_) => None,
        }
    }

    pub(super) fn crc64nvme(&self) -> Option<u64> {
        match self {
            Self::Crc64Nvme(crc) => unhex(crc).map(u64::from_be_bytes),
            Self::Blake3 { .. } => None,
        }
    }
}
