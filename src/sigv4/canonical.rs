//! The canonical request, the string to sign, and its signature.
//!
//! Guarantees: the path and the names and values of the query are normalised to S3's percent
//! encoding, so that the signature of a client that does not encode a reserved character agrees
//! too; header values are taken as they came, with runs of spaces collapsed. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::borrow::Cow;

use http::HeaderName;
use http::header::HOST;
use http::request::Parts;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use sha2::Digest;

use super::secret::SigningKey;
use super::uri_encoding::URI_COMPONENT;
use super::{ALGORITHM, Scope};
use crate::hex::hex;

/// The canonical form of most requests fits into this.
const TYPICAL_BYTES: usize = 768;

/// How header values that are not UTF-8 are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    AsSent,
    /// The text that the bytes are in Latin-1, in UTF-8: botocore signs text and sends Latin-1.
    Latin1,
}

/// The canonical request. `signed_headers` is sorted; `payload` is the value of
/// `x-amz-content-sha256`. None where a signed header is absent.
pub(super) fn request(
    parts: &Parts,
    signed_headers: &[HeaderName],
    payload: &str,
    reading: Reading,
) -> Option<Vec<u8>> {
    let mut text = String::with_capacity(TYPICAL_BYTES);
    text.push_str(parts.method.as_str());
    text.push('\n');
    add_path(&mut text, parts);
    text.push('\n');
    add_query(&mut text, parts);
    text.push('\n');
    let mut text = text.into_bytes();
    for name in signed_headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.push(b':');
        add_header(&mut text, parts, name, reading)?;
        text.push(b'\n');
    }
    text.push(b'\n');
    for piece in header_names(signed_headers) {
        text.extend_from_slice(piece.as_bytes());
    }
    text.push(b'\n');
    text.extend_from_slice(payload.as_bytes());
    Some(text)
}

/// Whether a signed header has bytes that are not UTF-8.
pub(super) fn has_latin1(parts: &Parts, signed_headers: &[HeaderName]) -> bool {
    let values = signed_headers.iter().flat_map(|name| parts.headers.get_all(name));
    values.into_iter().any(|value| std::str::from_utf8(value.as_bytes()).is_err())
}

/// Appends the header's values. None where it is absent.
fn add_header(
    text: &mut Vec<u8>,
    parts: &Parts,
    name: &HeaderName,
    reading: Reading,
) -> Option<()> {
    let values = parts.headers.get_all(name);
    if values.iter().next().is_none() {
        // An HTTP/1.1 server has the host in the header; a client may have it in the URI only.
        let host = parts.uri.authority().filter(|_| *name == HOST)?;
        text.extend_from_slice(host.as_str().as_bytes());
        return Some(());
    }
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        let value = collapse_spaces(value.as_bytes());
        match reading {
            Reading::Latin1 if std::str::from_utf8(&value).is_err() => {
                let latin1: String = value.iter().copied().map(char::from).collect();
                text.extend_from_slice(latin1.as_bytes());
            }
            Reading::AsSent | Reading::Latin1 => text.extend_from_slice(&value),
        }
    }
    Some(())
}

/// The pieces of the text in which a signature lists the names of headers.
pub(super) fn header_names(names: &[HeaderName]) -> impl Iterator<Item = &str> {
    let separated = |(index, name)| [if index > 0 { ";" } else { "" }, HeaderName::as_str(name)];
    names.iter().enumerate().flat_map(separated)
}

/// The signature of a canonical request, as lower-case hex.
pub(super) fn signature(request: &[u8], time: &str, scope: &Scope, key: &SigningKey) -> String {
    hex(&key.mac(&string_to_sign(request, time, scope)))
}

pub(super) fn string_to_sign(request: &[u8], time: &str, scope: &Scope) -> String {
    let hash = hex(&sha2::Sha256::digest(request));
    [ALGORITHM, time, &scope.text(), &hash].join("\n")
}

/// The name-value pairs of the query, still percent-encoded.
pub(super) fn query_pairs(parts: &Parts) -> impl Iterator<Item = (&str, &str)> {
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The percent-decoded bytes. Two different values that are not UTF-8 stay different.
pub(super) fn decoded_bytes(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// The percent-decoded text; bytes that are not UTF-8 are replaced.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A name or value of a query in S3's percent encoding.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, URI_COMPONENT).to_string()
}

/// Encodes segment by segment, because a `%2F` in the request is not the `/` between two segments.
fn add_path(text: &mut String, parts: &Parts) {
    for (index, segment) in parts.uri.path().split('/').enumerate() {
        if index > 0 {
            text.push('/');
        }
        text.push_str(&normalized(segment));
    }
}

fn add_query(text: &mut String, parts: &Parts) {
    let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = query_pairs(parts)
        .filter(|(name, _)| *name != "X-Amz-Signature")
        // A plus means a space, as it does where the query is parsed.
        .map(|(name, value)| {
            let value = if value.contains('+') {
                normalized(&value.replace('+', "%20")).into_owned().into()
            } else {
                normalized(value)
            };
            (normalized(name), value)
        })
        .collect();
    // By name, then by value. Sorting the joined text would differ, because `=` sorts after `-`.
    pairs.sort_unstable();
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
}

/// The same text in S3's percent encoding; borrowed where it needs no change.
fn normalized(text: &str) -> Cow<'_, str> {
    let unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if text.bytes().all(unreserved) {
        return Cow::Borrowed(text);
    }
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    Cow::Owned(percent_encoding::percent_encode(&bytes, URI_COMPONENT).to_string())
}

/// The value without leading and trailing white space, with runs of spaces as one space.
fn collapse_spaces(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if !value.windows(2).any(|pair| pair == b"  ") {
        return Cow::Borrowed(value);
    }
    let mut collapsed = value.to_vec();
    collapsed.dedup_by(|next, last| *next == b' ' && *last == b' ');
    Cow::Owned(collapsed)
}
