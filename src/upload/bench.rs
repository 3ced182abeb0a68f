//! A door for the benchmarks: the JSON of a segment, which no other room reads or writes.
//!
//! Guarantees: it does what every commit does with the record, and no more.

use crate::records::Document;

use super::manifest::Segment;

/// The record as it goes to the store.
pub fn encode(segment: &Segment) -> Vec<u8> {
    segment.encode()
}

/// The record as it comes back, or None where it cannot be read.
pub fn decode(bytes: &[u8]) -> Option<Segment> {
    Segment::decode(bytes).ok()
}
