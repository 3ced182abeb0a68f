//! Access for `fuzz/` to the parsers of this room that a request reaches only with a valid
//! signature.
//!
//! Guarantees: built by cargo-fuzz only. It asserts only what a parser must never do.

use bytes::Bytes;

use super::aws_chunked::Decoder;
use crate::sigv4::ChunkVerifier;

/// Decodes a body in frames of `cut` bytes; the output is never longer than the input.
pub fn aws_chunked(body: &[u8], cut: usize, signer: Option<ChunkVerifier>) {
    let mut decoder = Decoder::new(signer);
    let mut out = 0;
    for frame in body.chunks(cut.max(1)) {
        let mut input = Bytes::copy_from_slice(frame);
        loop {
            match decoder.next(&mut input) {
                Ok(Some(data)) => out += data.len(),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(out <= body.len(), "{out} bytes came out of {}", body.len());
    decoder.finish().ok();
}
