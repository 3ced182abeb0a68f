//! Running hashes of chunks, and whole-file digests put together from them.
//!
//! Guarantees: a whole-file digest from chunk values is the digest of the file's bytes, whatever
//! order the chunks came in. Text form everywhere: `<kind>:<lower-case hex>`. It reads no streams
//! and keeps nothing. Source: BLAKE3 paper §2.1 and `blake3::hazmat` (subtree chaining values);
//! CRC-64/NVME is the checksum of
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.

pub mod batch;
mod checksum;
mod chunk;
mod multibuffer;
mod sha256;
pub mod verified;
mod whole;

pub use checksum::{Algorithm, Checksum, ChecksumHasher, combined, composite};
pub use chunk::{ChunkDigests, ChunkHasher, Contribution, ContributionHasher};
pub use multibuffer::{DigestSet, Digests, Hasher, update_all};
pub use sha256::{ParseDigestError, PassedSha256, RunningSha256, Sha256};
pub use whole::{Expected, Kind, Unsupported, Whole};
