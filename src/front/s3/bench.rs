//! Access for `benches/micro.rs` to the parsers of XML documents, which are otherwise private.
//!
//! Guarantees: it runs the parsers as a request does, and nothing else.

use super::document;

/// The number of parts in a CompleteMultipartUpload; None if it is malformed.
pub fn chosen_parts(bytes: &[u8]) -> Option<usize> {
    document::chosen_parts(bytes).ok().map(|parts| parts.len())
}

/// The number of keys in a DeleteObjects; None if it is malformed.
pub fn deletions(bytes: &[u8]) -> Option<usize> {
    document::deletions(bytes).ok().map(|found| found.keys.len())
}
