//! What a backup reads on this machine: a file, stdin, or the output of a command.
//!
//! Guarantees: a chunk is read completely or not at all.

mod command;
mod file;
mod reader;

use bytes::Bytes;

pub(super) use command::RunningCommand;
pub(super) use file::FileSource;
pub(super) use reader::chunks_of;

/// The bytes of one chunk and its place in the source.
#[derive(Debug)]
pub(super) struct Chunk {
    pub index: u64,
    /// Bytes from the beginning of the source.
    pub offset: u64,
    pub bytes: Bytes,
}
