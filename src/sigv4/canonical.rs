//! The canonical request, the string to sign, and the signature of it.
//!
//! Guarantees: names and values of the query and the path are normalised to S3's encoding, so that a client that
//! leaves a reserved character bare still agrees; header values are taken as they came, blanks folded.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::borrow::Cow;
use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::Digest;

use super::{ALGORITHM, Scope, Secret};

/// All but the unreserved characters of RFC 3986.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What goes into a canonical request beside the request itself.
pub(super) struct Terms<'a> {
    /// Lower case, sorted.
    pub signed_headers: &'a [String],
    /// The value of `x-amz-content-sha256`.
    pub payload: &'a str,
}

/// The request in the form that is signed. None where a signed header is absent or not text.
pub(super) fn request(parts: &Parts, terms: &Terms<'_>) -> Option<String> {
    let mut text = format!("{}\n{}\n{}\n", parts.method, path(parts), query(parts));
    for name in terms.signed_headers {
        let mut values = Vec::new();
        for value in parts.headers.get_all(name) {
            values.push(folded(std::str::from_utf8(value.as_bytes()).ok()?));
        }
        // A server that speaks HTTP/1.1 keeps the host in the header; a client may have it in the URI only.
        if values.is_empty() && name == "host" {
            values.push(Cow::Borrowed(parts.uri.authority()?.as_str()));
        }
        if values.is_empty() {
            return None;
        }
        writeln!(text, "{name}:{}", values.join(",")).expect("writing to a String cannot fail");
    }
    write!(text, "\n{}\n{}", terms.signed_headers.join(";"), terms.payload).expect("writing to a String cannot fail");
    Some(text)
}

/// The signature of a canonical request, as lower-case hex.
pub(super) fn signature(request: &str, time: &str, scope: &Scope, secret: &Secret) -> String {
    let hash = hex(&sha2::Sha256::digest(request.as_bytes()));
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{hash}");
    hex(&mac(&key(scope, secret), &to_sign))
}

/// The signing key of a scope.
pub(super) fn key(scope: &Scope, secret: &Secret) -> Vec<u8> {
    let first = format!("AWS4{}", secret.0).into_bytes();
    [scope.day.as_str(), &scope.region, super::SERVICE, "aws4_request"]
        .into_iter()
        .fold(first, |key, text| mac(&key, text))
}

/// The query's pairs as they came.
pub(super) fn pairs(parts: &Parts) -> impl Iterator<Item = (&str, &str)> {
    let pairs = parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// S3's encoding of a query's name or value.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// Segment by segment: a `%2F` on the wire is not the `/` between two segments.
fn path(parts: &Parts) -> String {
    parts.uri.path().split('/').map(normal).collect::<Vec<_>>().join("/")
}

fn query(parts: &Parts) -> String {
    let mut pairs: Vec<(String, String)> = pairs(parts)
        .filter(|(name, _)| *name != "X-Amz-Signature")
        // As a query is read: a plus is a blank.
        .map(|(name, value)| (normal(name), normal(&value.replace('+', "%20"))))
        .collect();
    // By name, then by value: not by the joined text, where `=` sorts behind `-`.
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn normal(text: &str) -> String {
    let bytes: Vec<u8> = percent_decode_str(text).collect();
    percent_encoding::percent_encode(&bytes, QUERY).to_string()
}

fn folded(value: &str) -> Cow<'_, str> {
    let value = value.trim();
    if !value.contains("  ") {
        return Cow::Borrowed(value);
    }
    Cow::Owned(value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

pub(super) fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
        text
    })
}

/// 32 bytes of 64 hex digits.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
