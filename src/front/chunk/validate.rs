//! Validation of names and sizes in a request.
//!
//! Guarantees: valid values fit every store and every header field in which they are sent; the
//! error names the field. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html> and
//! `UsingMetadata.html`.

use std::collections::BTreeMap;

use crate::api;
use crate::object::require_free_name;
use crate::upload::NewBackup;
use crate::web::{bucket_name_fits, key_fits};

use super::problem::Problem;

/// The 2 KiB of S3, less the entry of the gateway that names the session.
const MAX_METADATA_BYTES: usize = 2048 - 64;
const MAX_KEY_BYTES: usize = 1024;
const MAX_FILE_ID_BYTES: usize = 256;
const MAX_CONTENT_TYPE_BYTES: usize = 256;

fn check(holds: bool, rule: &str) -> Result<(), Problem> {
    if holds { Ok(()) } else { Err(Problem::bad(rule)) }
}

pub fn backup_id(id: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    check(
        (1..=64).contains(&id.len()) && id.bytes().all(fits),
        "a backupId must have 1 to 64 of A-Z, a-z, 0-9, _ and -",
    )
}

pub fn account_name(name: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    check(
        (1..=64).contains(&name.len()) && name.bytes().all(fits),
        "account must have 1 to 64 of a-z, 0-9 and -",
    )
}

pub fn bucket(name: &str) -> Result<(), Problem> {
    check(
        bucket_name_fits(name),
        "bucket is not a valid bucket name: 3 to 63 of a-z, 0-9, . and -, not like an IP address",
    )
}

pub fn key(key: &str) -> Result<(), Problem> {
    check(
        (1..=MAX_KEY_BYTES).contains(&key.len()) && key_fits(key),
        "key must have 1 to 1024 bytes, none of them 0, and no .. between slashes",
    )
}

/// Converts the document of a request for `upload`. **Errors**: `BadRequest`.
pub fn create(document: api::CreateBackup) -> Result<NewBackup, Problem> {
    bucket(&document.bucket)?;
    key(&document.key)?;
    check(document.file_id.len() <= MAX_FILE_ID_BYTES, "fileId must have at most 256 bytes")?;
    let digest = document.digest.as_deref().map(str::parse).transpose();
    let digest = digest.map_err(|error| Problem::bad(format!("digest: {error}")))?;
    let metadata = metadata(document.metadata)?;
    let layout = document.layout.as_deref().map(str::parse).transpose();
    let layout = layout.map_err(|error| Problem::bad(format!("layout: {error}")))?;
    let content_type_is_valid = document.content_type.as_deref().is_none_or(|text| {
        !text.is_empty() && text.len() <= MAX_CONTENT_TYPE_BYTES && is_header_safe(text)
    });
    check(content_type_is_valid, "contentType must have 1 to 256 printable ASCII characters")?;
    Ok(NewBackup {
        bucket: document.bucket.into(),
        key: document.key.into(),
        chunk_size: document.chunk_size,
        size: document.size,
        file_id: document.file_id,
        digest,
        metadata,
        content_type: document.content_type,
        layout,
    })
}

/// Converts names to lower case, as stores return them.
fn metadata(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Problem> {
    let total: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    check(
        total <= MAX_METADATA_BYTES,
        "metadata must have at most 1984 bytes, names and values together",
    )?;
    let mut metadata = BTreeMap::new();
    for (name, value) in given {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.';
        let name_fits = !name.is_empty() && name.bytes().all(is_token);
        check(
            name_fits,
            &format!("metadata: the name {name:?} must have only letters, digits, -, _ and ."),
        )?;
        let name = name.to_ascii_lowercase();
        require_free_name(&name).map_err(|why| Problem::bad(format!("metadata: {why}")))?;
        check(
            is_header_safe(&value),
            &format!(
                "metadata: the value of {name:?} must be printable ASCII without spaces around it"
            ),
        )?;
        check(
            !metadata.contains_key(&name),
            &format!("metadata: the name {name:?} is given twice"),
        )?;
        metadata.insert(name, value);
    }
    Ok(metadata)
}

fn is_header_safe(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b)) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid_document() -> api::CreateBackup {
        api::CreateBackup {
            bucket: "bucket".to_owned(),
            key: "key".to_owned(),
            chunk_size: 1,
            ..Default::default()
        }
    }

    #[test]
    fn bucket_names_and_backup_ids_are_validated() {
        for name in ["abc", "a.b-c", "123", &"a".repeat(63)] {
            assert!(bucket(name).is_ok(), "{name}");
        }
        for name in
            ["ab", "Abc", "a_b", "-ab", "ab-", "a..b", "10.0.0.1", "a/b", "äbc", &"a".repeat(64)]
        {
            assert!(bucket(name).is_err(), "{name}");
        }
        for id in ["a", "A-z_0", &"a".repeat(64)] {
            assert!(backup_id(id).is_ok(), "{id}");
        }
        for id in ["", "a.b", "a/b", "..", &"a".repeat(65)] {
            assert!(backup_id(id).is_err(), "{id}");
        }
    }

    #[test]
    fn invalid_create_documents_are_refused() {
        assert!(create(valid_document()).is_ok());
        type Change = fn(&mut api::CreateBackup);
        let changes: [(&str, Change); 10] = [
            ("empty key", |c| c.key.clear()),
            ("long key", |c| c.key = "k".repeat(1025)),
            ("zero in key", |c| c.key = "a\0b".to_owned()),
            ("parent segment in key", |c| c.key = "a/../b".to_owned()),
            ("long file id", |c| c.file_id = "f".repeat(257)),
            ("digest", |c| c.digest = Some("md5".to_owned())),
            ("type", |c| c.content_type = Some("a\r\nb".to_owned())),
            ("metadata name", |c| drop(c.metadata.insert("a b".to_owned(), String::new()))),
            ("metadata value", |c| drop(c.metadata.insert("a".to_owned(), "\u{e4}".to_owned()))),
            ("metadata size", |c| drop(c.metadata.insert("a".to_owned(), "v".repeat(2048)))),
        ];
        for (what, change) in changes {
            let mut document = valid_document();
            change(&mut document);
            assert!(create(document).is_err(), "{what}");
        }
        for name in [
            "Ratchet-Upload",
            "ratchet-checksum",
            "RATCHET-x",
            "Snowball-Auto-Extract",
            "minio-snowball-prefix",
        ] {
            let mut document = valid_document();
            document.metadata.insert(name.to_owned(), "x".to_owned());
            assert!(create(document).is_err(), "{name}");
        }
    }
}
