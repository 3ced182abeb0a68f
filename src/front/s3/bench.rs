//! A door for `benches/micro.rs`: the documents that S3 clients send, which no other room reads.
//!
//! Guarantees: it does what a request's document goes through, and no more.

use super::document;

/// How many parts a Complete names, or None where it is malformed.
pub fn chosen_parts(bytes: &[u8]) -> Option<usize> {
    document::chosen_parts(bytes).ok().map(|parts| parts.len())
}

/// How many keys a DeleteObjects names, or None where it is malformed.
pub fn deletions(bytes: &[u8]) -> Option<usize> {
    document::deletions(bytes).ok().map(|found| found.keys.len())
}
