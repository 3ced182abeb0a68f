//! Access for `fuzz/` to the parsers of this room that a request reaches only with a valid
//! signature.
//!
//! Guarantees: built by cargo-fuzz only. It asserts only what a parser must never do.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, Method};
use http_body_util::Full;

use super::{conditions, document, form, get, route};
use crate::clock::Clock;
use crate::web::{Query, RequestBody, Settings};

/// Parses the documents of Complete and DeleteObjects; the result is never longer than the input.
pub fn document(bytes: &[u8]) {
    if let Ok(found) = document::deletions(bytes) {
        assert!(found.keys.iter().map(|entry| entry.key.len()).sum::<usize>() <= bytes.len());
    }
    if let Ok(parts) = document::chosen_parts(bytes) {
        assert!(parts.len() <= bytes.len() / "<Part>".len());
    }
}

/// Parses a `Range` and an entity tag.
pub fn range(text: &str, size: u64) {
    if let Some((first, end)) = get::range(text).and_then(|range| range.span(size)) {
        assert!(first < end && end <= size, "{text} of {size}: {first}..{end}");
    }
    conditions::unquoted(text);
}

/// Finds the operation for a path, query and headers.
pub fn route(method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) {
    let Ok(target) = route::target(path, headers, Some("s3.test")) else { return };
    let Ok(query) = Query::parse(query) else { return };
    route::route(method, &target, &query, headers).ok();
}

/// Parses a POST form up to the end of its file.
pub fn form(bytes: &[u8], boundary: &str) {
    let body = RequestBody::new(
        Full::new(Bytes::copy_from_slice(bytes)),
        Clock::seeded(1),
        &Settings::default(),
    );
    // A body in memory is read without waiting.
    let Some(Ok(mut form)) = form::read(body, boundary, bytes.len() as u64).now_or_never() else {
        return;
    };
    let mut file = 0;
    while let Some(Some(Ok(frame))) = form.file.next().now_or_never() {
        file += frame.len();
    }
    assert!(file <= bytes.len());
}
