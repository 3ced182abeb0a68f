//! Access for the benchmarks to the JSON of a segment, which is otherwise private to `upload`.
//!
//! Guarantees: it encodes and decodes a segment as every commit does, and nothing else.

use crate::records::Document;

use super::manifest::Segment;

/// The bytes of a segment as they are written to the store.
pub fn encode(segment: &Segment) -> Vec<u8> {
    segment.encode()
}

/// The segment of these bytes; None if they are no valid segment.
pub fn decode(bytes: &[u8]) -> Option<Segment> {
    Segment::decode(bytes).ok()
}
