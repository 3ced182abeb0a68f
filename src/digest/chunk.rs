//! The digests of one chunk: its SHA-256, and what it contributes to the whole-file digest.
//!
//! Guarantees: only the digest kind that was named at create is computed beside SHA-256
//! (docs/architecture.md#one-digest-kind-per-session).

use blake3::hazmat::HasherExt;
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::Kind;
use super::sha256::Sha256;
use crate::hex::{hex, unhex};

/// What a chunk contributes to the whole-file digest. Text, because JSON records contain it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Contribution {
    /// The chaining value of the chunk's subtree. A chunk at offset 0 also has the hash that it
    /// would have as a whole file.
    Blake3 {
        cv: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        root: Option<String>,
    },
    /// CRC-64/NVME as 16 hex digits.
    Crc64Nvme(String),
}

/// The digests and length of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkDigests {
    pub sha256: Sha256,
    pub len_bytes: u64,
    /// None for kinds that need only the SHA-256, and for an empty chunk.
    pub contribution: Option<Contribution>,
}

/// Computes what a chunk contributes to the whole-file digest.
pub struct ContributionHasher(State);

enum State {
    None,
    Blake3 { subtree: Box<blake3::Hasher>, offset: u64 },
    Crc64(Box<crc_fast::Digest>),
}

impl ContributionHasher {
    /// `offset_bytes` is where the chunk begins in the file: for `Kind::Blake3` a multiple of a
    /// chunk size that is a power of two of at least 1,024.
    pub fn new(kind: Option<Kind>, offset_bytes: u64) -> Self {
        Self(match kind {
            Some(Kind::Blake3) => {
                let mut subtree = Box::new(blake3::Hasher::new());
                subtree.set_input_offset(offset_bytes);
                State::Blake3 { subtree, offset: offset_bytes }
            }
            Some(Kind::Crc64Nvme) => {
                State::Crc64(Box::new(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)))
            }
            Some(Kind::Sha256 | Kind::Sha256Chunks) | None => State::None,
        })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::None => {}
            State::Blake3 { subtree, .. } => {
                subtree.update(bytes);
            }
            State::Crc64(crc) => crc.update(bytes),
        }
    }

    /// The digests of the chunk, given its SHA-256 and length.
    pub fn finish(self, sha256: Sha256, len_bytes: u64) -> ChunkDigests {
        let contribution = match self.0 {
            State::Blake3 { subtree, offset } if len_bytes > 0 => Some(Contribution::Blake3 {
                cv: hex(&subtree.finalize_non_root()),
                root: (offset == 0).then(|| hex(subtree.finalize().as_bytes())),
            }),
            State::Crc64(crc) if len_bytes > 0 => {
                Some(Contribution::Crc64Nvme(format!("{:016x}", crc.finalize())))
            }
            State::None | State::Blake3 { .. } | State::Crc64(_) => None,
        };
        ChunkDigests { sha256, len_bytes, contribution }
    }
}

/// Computes all digests of one chunk.
pub struct ChunkHasher {
    sha256: sha2::Sha256,
    contribution: ContributionHasher,
    len_bytes: u64,
}

impl ChunkHasher {
    /// As [`ContributionHasher::new`].
    pub fn new(kind: Option<Kind>, offset_bytes: u64) -> Self {
        Self {
            sha256: sha2::Sha256::new(),
            contribution: ContributionHasher::new(kind, offset_bytes),
            len_bytes: 0,
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.contribution.update(bytes);
        self.len_bytes += bytes.len() as u64;
    }

    pub fn finish(self) -> ChunkDigests {
        self.contribution.finish(Sha256(self.sha256.finalize().into()), self.len_bytes)
    }
}

impl Contribution {
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
