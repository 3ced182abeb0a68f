//! What a backup reads on this machine: a file, or stdin.
//!
//! Guarantees: a chunk is read completely or not at all.

mod file;
mod stdin;

use bytes::Bytes;

pub(super) use file::FileSource;
pub(super) use stdin::stdin_chunks;

/// The bytes of one chunk and its place in the source.
#[derive(Debug)]
pub(super) struct Chunk {
    pub index: u64,
    /// Bytes from the beginning of the source.
    pub offset: u64,
    pub bytes: Bytes,
}
