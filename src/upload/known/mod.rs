//! Parts that the store already holds in complete objects: it copies them, and they are not sent
//! again.
//!
//! Guarantees: a part is taken only from an object of the same bucket, and of the same account
//! unless its client may read all of the bucket, that is still the one its records describe: the
//! store pins the copy to the ETag, and the bytes count only once they were hashed, by the store as
//! it copied them or here. Whatever fails on the way asks for the bytes; nothing that is recorded
//! changes by it. What is kept in memory is an index, bounded by `Resume::known_parts`; the truth
//! is in the segments. It decides nothing about a part that its session has already. **Layout**:
//! `v1/<account>/known/<bucket>/<time>-<backupId>`, empty, newest first. Source:
//! docs/architecture.md#known-parts.

mod claims;
mod find;
mod index;
mod load;

pub use claims::{ChunkClaim, Claimed};
pub(in crate::upload) use find::Wanted;
pub(in crate::upload) use load::KnownParts;

use super::manifest::{Destination, Root};
use crate::digest::Kind;
use crate::store::Limits;

impl Root {
    /// Whether parts of this session may be copied from other objects: what its digest needs of a
    /// part is its SHA-256.
    fn takes_known_parts(&self) -> bool {
        let needs_bytes = match self.digest {
            None | Some(Kind::Sha256Chunks) => false,
            Some(Kind::Blake3 | Kind::Crc64Nvme | Kind::Sha256) => true,
        };
        self.has_parts_of_its_chunks() && !needs_bytes
    }

    /// Whether others may find parts of its object, of this many bytes. One that fits in a smallest
    /// part is not worth a copy, and S3 copies no range of it.
    pub(in crate::upload) fn offers_known_parts(&self, size_bytes: u64, limits: Limits) -> bool {
        self.has_parts_of_its_chunks() && size_bytes > limits.min_part_bytes
    }

    /// Whether each chunk is a part of its own.
    pub(in crate::upload) fn has_parts_of_its_chunks(&self) -> bool {
        self.plan.group == 1 && matches!(self.destination, Destination::Parts(_))
    }
}
