//! The `Content-Digest` and `Repr-Digest` fields: parsed and printed.
//!
//! Guarantees: a field that is not a dictionary of byte sequences is refused; algorithms other than
//! `sha-256` are ignored; of members with the same name the last one is used. Source: RFC 9530 §2
//! and §3, RFC 8941 §3.2, §3.3.5 and §4.2.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;

use crate::digest::Sha256;

use super::error::{Error, Kind};

const NAME: &str = "content-digest";
const SHA256: &str = "sha-256";

/// The SHA-256 in the field; None if the field is absent or has only other algorithms. **Errors**:
/// `BadRequest` if it is malformed.
pub fn content_digest(headers: &HeaderMap) -> Result<Option<Sha256>, Error> {
    let mut found = None;
    for line in headers.get_all(NAME) {
        let text = line.to_str().map_err(|_| malformed())?;
        found = parse(text).ok_or_else(malformed)?.or(found);
    }
    Ok(found)
}

/// The value of the field for a SHA-256.
pub fn print_sha256(digest: &Sha256) -> String {
    format!("{SHA256}=:{}:", digest.base64())
}

fn malformed() -> Error {
    Error::new(Kind::BadRequest, "content-digest is not of the form sha-256=:<base64>:")
}

/// The outer None: the field is malformed.
fn parse(text: &str) -> Option<Option<Sha256>> {
    let mut found = None;
    for member in text.split(',') {
        let (name, value) = member.trim_matches([' ', '\t']).split_once('=')?;
        let bytes = byte_sequence(value)?;
        if !is_key(name) {
            return None;
        }
        if name == SHA256 {
            found = Some(Sha256(bytes.try_into().ok()?));
        }
    }
    Some(found)
}

fn is_key(name: &str) -> bool {
    let starts = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'*');
    starts
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b))
}

/// Parses `:base64:` with optional parameters, which no algorithm defines and which are ignored.
fn byte_sequence(value: &str) -> Option<Vec<u8>> {
    let (encoded, parameters) = value.strip_prefix(':')?.split_once(':')?;
    if !(parameters.is_empty() || parameters.starts_with(';')) {
        return None;
    }
    STANDARD.decode(encoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9530 appendix B.1: the digest of `{"hello": "world"}` and a line feed.
    const RFC: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    fn field(lines: &[&str]) -> Result<Option<Sha256>, Error> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, line.parse().unwrap());
        }
        content_digest(&headers)
    }

    #[test]
    fn the_example_of_the_rfc_is_parsed_and_printed() {
        let digest = field(&[RFC]).unwrap().unwrap();
        assert_eq!(digest, Sha256::of(b"{\"hello\": \"world\"}\n"));
        assert_eq!(print_sha256(&digest), RFC);
    }

    #[test]
    fn other_algorithms_are_ignored_and_lines_are_joined() {
        let other = "sha-512=:YWJj:, unixsum=:AA==:";
        assert_eq!(field(&[]).unwrap(), None);
        assert_eq!(field(&[other]).unwrap(), None);
        assert!(field(&[other, RFC]).unwrap().is_some());
        assert!(field(&[RFC, other]).unwrap().is_some());
        assert!(field(&[&format!("{other} ,\t{RFC};q=1")]).unwrap().is_some());
    }

    #[test]
    fn malformed_fields_are_refused() {
        let bad = [
            "",
            ",",
            "sha-256",
            "sha-256=abc",
            "sha-256=:YWJj:",
            "sha-256=:****:",
            "sha-256=:YWJj",
            "SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:x",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:,",
        ];
        for text in bad {
            assert_eq!(field(&[text]).unwrap_err().kind(), Kind::BadRequest, "{text}");
        }
    }
}
