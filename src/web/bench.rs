//! A door for `benches/micro.rs`: the decoder of `aws-chunked` bodies, which no other room needs by
//! itself.
//!
//! Guarantees: it does what a request's body goes through, and no more.

use bytes::Bytes;

use super::aws_chunked::Decoder;

/// Decodes an unsigned body that comes in frames; how many bytes came out, or None where it is
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
