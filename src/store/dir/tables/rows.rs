//! The rows of the index and their bytes.
//!
//! Guarantees: an encoded row decodes to the same row. An object's row is the length of its head,
//! the head as JSON, then the bytes of a small object unchanged, so that no JSON document is stored
//! as a string within JSON.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::super::super::{Attributes, ETag, Error, Head, Key, Listed, Result, UploadTarget};
use crate::digest::Checksum;

/// A file with the bytes of a body, and how many bytes of the file belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct FileRef {
    pub id: String,
    pub len_bytes: u64,
}

/// Where an object's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Content {
    Inline(Vec<u8>),
    /// In order.
    Files(Vec<FileRef>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ObjectRow {
    pub etag: ETag,
    pub size_bytes: u64,
    pub modified_ms: u64,
    pub attributes: AttributesRow,
    pub content: Content,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct AttributesRow {
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    user: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

impl UploadRow {
    /// Whether the upload is one of this bucket and key.
    pub fn is_of(&self, target: UploadTarget<'_>) -> bool {
        self.bucket == target.bucket.as_str() && self.key == target.key.as_str()
    }
}

impl AttributesRow {
    pub fn new(attributes: Attributes, checksum: Option<Checksum>) -> Self {
        Self { checksum: checksum.map(|checksum| checksum.to_string()), ..attributes.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct UploadRow {
    pub bucket: String,
    pub key: String,
    pub attributes: AttributesRow,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct PartRow {
    pub etag: ETag,
    pub file: FileRef,
    pub sha256: String,
}

/// The head of an object's row; `files` is None for an inline one.
#[derive(Serialize, Deserialize)]
struct ObjectHead {
    etag: ETag,
    size_bytes: u64,
    modified_ms: u64,
    attributes: AttributesRow,
    files: Option<Vec<FileRef>>,
}

/// What a listing shows of an object; the rest of its row is not decoded.
#[derive(Deserialize)]
struct ListedHead {
    etag: ETag,
    size_bytes: u64,
    modified_ms: u64,
}

impl ObjectRow {
    pub fn encode(&self) -> Vec<u8> {
        let (files, inline) = match &self.content {
            Content::Inline(bytes) => (None, bytes.as_slice()),
            Content::Files(files) => (Some(files.clone()), &[][..]),
        };
        let head = ObjectHead {
            etag: self.etag.clone(),
            size_bytes: self.size_bytes,
            modified_ms: self.modified_ms,
            attributes: self.attributes.clone(),
            files,
        };
        let head = to_json(&head);
        let len = u32::try_from(head.len()).expect("10,000 parts of 60 bytes are less than 4 GiB");
        [&len.to_le_bytes(), head.as_slice(), inline].concat()
    }

    pub fn decode(row: &[u8]) -> Result<Self> {
        let (head, inline) = split(row)?;
        let head: ObjectHead = from_json(head)?;
        let content = head.files.map_or_else(|| Content::Inline(inline.to_vec()), Content::Files);
        Ok(Self {
            etag: head.etag,
            size_bytes: head.size_bytes,
            modified_ms: head.modified_ms,
            attributes: head.attributes,
            content,
        })
    }

    pub fn files(&self) -> &[FileRef] {
        match &self.content {
            Content::Inline(_) => &[],
            Content::Files(files) => files,
        }
    }

    pub fn head(&self, date: SystemTime) -> Head {
        Head {
            etag: self.etag.clone(),
            size_bytes: self.size_bytes,
            modified: time(self.modified_ms),
            date,
            attributes: self.attributes.clone().into(),
            version: None,
            checksum: self.attributes.checksum.as_deref().and_then(|text| text.parse().ok()),
        }
    }
}

/// The entry of a listing for an object's row.
pub(in super::super) fn listed(key: Key, row: &[u8]) -> Result<Listed> {
    let ListedHead { etag, size_bytes, modified_ms } = from_json(split(row)?.0)?;
    Ok(Listed { key, size_bytes, etag, modified: time(modified_ms) })
}

/// The encoded head of an object's row, and the bytes of an inline object.
fn split(row: &[u8]) -> Result<(&[u8], &[u8])> {
    let (len, rest) = row.split_first_chunk::<4>().ok_or_else(damaged)?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(damaged)
}

fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

impl From<Attributes> for AttributesRow {
    fn from(from: Attributes) -> Self {
        Self {
            content_type: from.content_type,
            headers: from.headers,
            user: from.user,
            checksum: None,
        }
    }
}

impl From<AttributesRow> for Attributes {
    fn from(from: AttributesRow) -> Self {
        Self { content_type: from.content_type, headers: from.headers, user: from.user }
    }
}

pub(super) fn to_json<T: Serialize>(row: &T) -> Vec<u8> {
    serde_json::to_vec(row)
        .expect("rows have string keys, and serializing their fields cannot fail")
}

pub(in super::super) fn from_json<'a, T: Deserialize<'a>>(row: &'a [u8]) -> Result<T> {
    serde_json::from_slice(row).map_err(|error| damaged().because(error))
}

fn damaged() -> Error {
    Error::unavailable("a row of the index is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_object_decodes_to_the_same_row() {
        let file = FileRef { id: "ab".into(), len_bytes: 9 };
        for content in
            [Content::Inline(vec![]), Content::Inline(vec![1, 2]), Content::Files(vec![file])]
        {
            let row = ObjectRow {
                etag: ETag::from("e"),
                size_bytes: 2,
                modified_ms: 3,
                attributes: AttributesRow::default(),
                content,
            };
            assert_eq!(ObjectRow::decode(&row.encode()).unwrap(), row);
        }
        assert!(ObjectRow::decode(&[1, 0]).is_err());
        assert!(ObjectRow::decode(&[9, 0, 0, 0, 1]).is_err());
    }
}
