//! Restores objects to a file, to stdout, or into what is no regular file.
//!
//! Guarantees: every byte of a backup that is written was checked against the SHA-256 of its chunk;
//! an object that no backup made is checked as a whole, and what by is said. Where to write is
//! found out before a byte is fetched. At most `jobs` chunks are in memory.

mod byte_range;
mod destination;
mod file;
mod key;
mod node;
mod options;
mod part_file;
mod stream;

use super::attributes::Kept;

pub use byte_range::ByteRange;
pub use destination::Destination;
pub use key::restore;
pub use options::RestoreOptions;

pub(super) use file::restore_to_file;
pub(super) use node::restore_node;
pub(super) use part_file::{path_beside, sync_directory};

/// The result of a restore.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreReport {
    /// None for an object that no backup made.
    pub backup_id: Option<String>,
    /// What the bytes were checked by, in words.
    pub checked_by: String,
    /// Whether the object has no checksum, so that only its length was checked.
    pub unchecked: bool,
    /// Bytes that were received.
    pub bytes_read: u64,
    /// Bytes that the file had already.
    pub bytes_kept: u64,
    /// What became of its attributes.
    #[serde(flatten)]
    pub kept: Kept,
}
