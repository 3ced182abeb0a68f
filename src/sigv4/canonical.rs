//! The canonical request, the string to sign, and the signature of it.
//!
//! Guarantees: names and values of the query and the path are normalised to S3's encoding, so that
//! a client that leaves a reserved character bare still agrees; header values are taken as they
//! came, blanks folded. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::borrow::Cow;

use http::HeaderName;
use http::header::HOST;
use http::request::Parts;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use sha2::Digest;

use super::hex::hex;
use super::secret::SigningKey;
use super::uri_encoding::URI_COMPONENT;
use super::{ALGORITHM, Scope};

/// What goes into a canonical request beside the request itself.
pub(super) struct Terms<'a> {
    /// Sorted.
    pub signed_headers: &'a [HeaderName],
    /// The value of `x-amz-content-sha256`.
    pub payload: &'a str,
}

/// Most requests' canonical form fits.
const USUAL_BYTES: usize = 768;

/// The request in the form that is signed. None where a signed header is absent or not text.
pub(super) fn request(parts: &Parts, terms: &Terms<'_>) -> Option<String> {
    let mut text = String::with_capacity(USUAL_BYTES);
    text.push_str(parts.method.as_str());
    text.push('\n');
    add_path(&mut text, parts);
    text.push('\n');
    add_query(&mut text, parts);
    text.push('\n');
    for name in terms.signed_headers {
        text.push_str(name.as_str());
        text.push(':');
        add_header(&mut text, parts, name)?;
        text.push('\n');
    }
    text.push('\n');
    add_names(&mut text, terms.signed_headers);
    text.push('\n');
    text.push_str(terms.payload);
    Some(text)
}

/// The header's values; None where it is absent or not text.
fn add_header(text: &mut String, parts: &Parts, name: &HeaderName) -> Option<()> {
    let values = parts.headers.get_all(name);
    if values.iter().next().is_none() {
        // A server that speaks HTTP/1.1 keeps the host in the header; a client may have it in the
        // URI only.
        text.push_str(parts.uri.authority().filter(|_| *name == HOST)?.as_str());
        return Some(());
    }
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&folded(std::str::from_utf8(value.as_bytes()).ok()?));
    }
    Some(())
}

/// The names of headers, as a signature lists them.
pub(super) fn add_names(text: &mut String, names: &[HeaderName]) {
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push(';');
        }
        text.push_str(name.as_str());
    }
}

/// The signature of a canonical request, as lower-case hex.
pub(super) fn signature(request: &str, time: &str, scope: &Scope, key: &SigningKey) -> String {
    let hash = hex(&sha2::Sha256::digest(request.as_bytes()));
    hex(&key.mac(&[ALGORITHM, time, &scope.text(), &hash].join("\n")))
}

/// The query's pairs as they came.
pub(super) fn pairs(parts: &Parts) -> impl Iterator<Item = (&str, &str)> {
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// As bytes: two values that are no text must not become one.
pub(super) fn decoded_bytes(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// S3's encoding of a query's name or value.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, URI_COMPONENT).to_string()
}

/// Segment by segment: a `%2F` on the wire is not the `/` between two segments.
fn add_path(text: &mut String, parts: &Parts) {
    for (at, segment) in parts.uri.path().split('/').enumerate() {
        if at > 0 {
            text.push('/');
        }
        text.push_str(&normal(segment));
    }
}

fn add_query(text: &mut String, parts: &Parts) {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs(parts)
        .filter(|(name, _)| *name != "X-Amz-Signature")
        // As a query is read: a plus is a blank.
        .map(|(name, value)| {
            let value = if value.contains('+') {
                normal(&value.replace('+', "%20")).into_owned().into()
            } else {
                normal(value)
            };
            (normal(name), value)
        })
        .collect();
    // By name, then by value: not by the joined text, where `=` sorts behind `-`.
    pairs.sort_unstable();
    for (at, (name, value)) in pairs.iter().enumerate() {
        if at > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
}

/// The same text in S3's encoding; as it stands where it needs none.
fn normal(text: &str) -> Cow<'_, str> {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(bare) {
        return Cow::Borrowed(text);
    }
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    Cow::Owned(percent_encoding::percent_encode(&bytes, URI_COMPONENT).to_string())
}

fn folded(value: &str) -> Cow<'_, str> {
    let value = value.trim();
    if !value.contains("  ") {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}
