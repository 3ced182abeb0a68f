//! Access for `benches/micro.rs` to the decoder of `aws-chunked` bodies, which is otherwise
//! private.
//!
//! Guarantees: it runs the decoder as the body of a request does, and nothing else.

use bytes::Bytes;

use super::aws_chunked::Decoder;

/// Decodes an unsigned body in frames. Returns the number of decoded bytes; None if it is
/// malformed.
pub fn aws_chunked(frames: &[Bytes]) -> Option<usize> {
    let mut decoder = Decoder::new(None);
    let mut out = 0;
    for frame in frames {
        let mut input = frame.clone();
        while let Some(data) = decoder.next(&mut input).ok()? {
            out += data.len();
        }
    }
    decoder.finish().ok()?;
    Some(out)
}
