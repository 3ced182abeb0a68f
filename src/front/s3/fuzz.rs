//! Doors for `fuzz/`: the parsers of this room that no request reaches without a signature that
//! holds.
//!
//! Guarantees: built by cargo-fuzz only. It judges nothing beyond what a parser must never do.

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use http::{HeaderMap, Method};
use http_body_util::Full;

use super::{conditions, document, form, get, route};
use crate::clock::Clock;
use crate::web::{Query, RequestBody, Settings};

/// The documents of Complete and DeleteObjects; what is read is no longer than what was sent.
pub fn document(bytes: &[u8]) {
    if let Ok(found) = document::deletions(bytes) {
        assert!(found.keys.iter().map(|entry| entry.key.len()).sum::<usize>() <= bytes.len());
    }
    if let Ok(parts) = document::chosen_parts(bytes) {
        assert!(parts.len() <= bytes.len() / "<Part>".len());
    }
}

/// A `Range` or a condition on a write.
pub fn range(text: &str, size: u64) {
    if let Some((first, end)) = get::range(text).and_then(|read| read.span(size)) {
        assert!(first < end && end <= size, "{text} of {size}: {first}..{end}");
    }
    conditions::bare(text);
}

/// Path, query and headers to an operation.
pub fn route(method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) {
    let Ok(target) = route::target(path, headers, Some("s3.test")) else { return };
    let Ok(query) = Query::parse(query) else { return };
    route::route(method, &target, &query, headers).ok();
}

/// A POST form up to the end of its file.
pub fn form(bytes: &[u8], boundary: &str) {
    let body = RequestBody::new(
        Full::new(Bytes::copy_from_slice(bytes)),
        Clock::seeded(1),
        &Settings::default(),
    );
    // A body that is there whole is read without a pause.
    let Some(Ok(mut form)) = form::read(body, boundary, bytes.len() as u64).now_or_never() else {
        return;
    };
    let mut file = 0;
    while let Some(Some(Ok(frame))) = form.file.next().now_or_never() {
        file += frame.len();
    }
    assert!(file <= bytes.len());
}
