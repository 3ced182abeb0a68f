//! Reads a stream of chunks: of stdin, or of what a command writes.
//!
//! Guarantees: the chunks come in order, and only the last is shorter than the chunk size. Nothing
//! can be read a second time.

use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Chunk;
use crate::client::{Error, Result, error::chunk_too_large};

/// A chunk's buffer begins with at most this many bytes and grows as bytes are read.
const MAX_INITIAL_BUFFER_BYTES: usize = 1 << 20;

/// The chunks of a reader up to its end.
pub(in crate::client) fn chunks_of(
    reader: impl AsyncRead + Unpin,
    chunk_size: u64,
) -> Result<impl Stream<Item = Result<Chunk>>> {
    let buffer_bytes =
        usize::try_from(chunk_size).map_err(|_| chunk_too_large())?.min(MAX_INITIAL_BUFFER_BYTES);
    let start = (reader, 0_u64, 0_u64);
    Ok(stream::try_unfold(start, move |(mut reader, index, offset)| async move {
        let mut bytes = Vec::with_capacity(buffer_bytes);
        let read = (&mut reader).take(chunk_size).read_to_end(&mut bytes).await;
        let len = read.map_err(Error::io(Path::new("-"), "cannot be read"))? as u64;
        let chunk = Chunk { index, offset, bytes: Bytes::from(bytes) };
        Ok((len > 0).then_some((chunk, (reader, index + 1, offset + len))))
    }))
}
