//! Digests of chunks, whole-file digests that are combined from them, and checksums of S3 clients.
//!
//! Guarantees: a digest that is combined from chunks is the digest of the file, in whatever order
//! the chunks came. The text form is `<kind>:<lower-case hex>`. It stores nothing. Source: BLAKE3
//! paper §2.1 and `blake3::hazmat` (subtree chaining values); CRC-64/NVME is the checksum of
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>.

mod algorithm;
pub mod batch;
mod checksum;
mod chunk;
mod multibuffer;
mod sha256;
pub mod verified;
mod whole;

pub use algorithm::Algorithm;
pub use checksum::{Checksum, ChecksumHasher, combined, composite};
pub use chunk::{ChunkDigests, ChunkHasher, Contribution, ContributionHasher};
pub use multibuffer::{DigestSet, Digests, Hasher, update_all};
pub use sha256::{ParseDigestError, PassedSha256, RunningSha256, Sha256};
pub use whole::{Expected, Kind, Unsupported, Whole};
