//! The JSON frame of a document: its version first, its checksum last.
//!
//! Guarantees: what is encoded decodes to the same value; a document of another version is refused
//! and not misread; a document in which a byte changed or is missing is refused, because it ends
//! with the CRC64NVME of all bytes before that member. Pure: it reads and writes no store. Source:
//! docs/architecture.md#documents.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, ChecksumHasher};

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    value: T,
}

/// The last member of a document, and the end of the document. Over plain HTTP nothing else
/// protects what a store returns.
const CHECKSUM_MEMBER: &str = ",\"crc64nvme\":\"";
const END: &str = "\"}";
/// Base64 of eight bytes.
const CHECKSUM_CHARS: usize = 12;

fn checksum(bytes: &[u8]) -> String {
    let mut hasher = ChecksumHasher::new(Algorithm::Crc64Nvme);
    hasher.update(bytes);
    hasher.finish().base64()
}

/// The document's bytes. `value` serializes as a JSON object without the members `version` and
/// `crc64nvme`.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    encode_version(VERSION, value)
}

fn encode_version<T: Serialize>(version: u32, value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&Versioned { version, value })
        .expect("documents have string keys and no members that fail to serialize");
    // The closing brace.
    bytes.pop();
    let checksum = checksum(&bytes);
    bytes.extend([CHECKSUM_MEMBER, &checksum, END].concat().into_bytes());
    bytes
}

/// The value of a document. **Errors**: the reason, for a person, why the bytes are no document of
/// this version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let tail_len = CHECKSUM_MEMBER.len() + CHECKSUM_CHARS + END.len();
    let (content, tail) = bytes.split_at(bytes.len().saturating_sub(tail_len));
    if tail != [CHECKSUM_MEMBER, &checksum(content), END].concat().as_bytes() {
        let reason = "its bytes are not those that were written: its CRC64NVME is absent or wrong";
        return Err(reason.to_owned());
    }
    let document: Versioned<T> =
        serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if document.version == VERSION {
        Ok(document.value)
    } else {
        Err(format!("version {} is not version {VERSION}", document.version))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Example {
        members: BTreeMap<String, String>,
    }

    fn example() -> Example {
        let members = (0..40).map(|number| (format!("member{number}"), format!("{number:032x}")));
        Example { members: members.collect() }
    }

    #[test]
    fn a_document_decodes_to_what_was_encoded() {
        assert_eq!(decode::<Example>(&encode(&example())).unwrap(), example());
    }

    #[test]
    fn the_version_is_first_and_the_checksum_last() {
        let members = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(
            String::from_utf8(encode(&Example { members })).unwrap(),
            r#"{"version":1,"members":{"a":"b"},"crc64nvme":"gWaEEYd17K0="}"#
        );
    }

    #[test]
    fn another_version_is_refused() {
        let bytes = encode_version(VERSION + 1, &example());
        assert!(decode::<Example>(&bytes).unwrap_err().contains("version 2"));
    }

    #[test]
    fn a_changed_or_missing_byte_is_noticed() {
        let bytes = encode(&example());
        for at in (0..bytes.len()).step_by(97).chain(bytes.len() - 30..bytes.len()) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(decode::<Example>(&changed).is_err(), "byte {at} changed");
            assert!(decode::<Example>(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(decode::<Example>(b"{}").is_err());
        assert!(decode::<Example>(b"").is_err());
    }
}
