//! The rows of the index and their bytes.
//!
//! Guarantees: an encoded row decodes to the same row. An object's row is the length of its head,
//! the head as JSON, then the bytes of a small object unchanged, so that no JSON document is stored
//! as a string within JSON.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::super::super::conditions::Existing;
use super::super::super::{Attributes, ETag, Error, Head, Key, Listed, Result, Tags, UploadTarget};
use crate::digest::{Checksum, Sha256};

/// Bytes of a file: all that were written, or, in a copy, some of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct FileRef {
    pub id: String,
    pub len_bytes: u64,
    /// Where in the file they begin.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: u64,
}

impl FileRef {
    /// A whole file.
    pub fn whole(id: String, len_bytes: u64) -> Self {
        Self { id, len_bytes, offset: 0 }
    }
}

fn is_zero(offset: &u64) -> bool {
    *offset == 0
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
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
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
    /// How many files beyond the first of each part its copied parts were given.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_files: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct PartRow {
    pub etag: ETag,
    file: FileRef,
    /// Only a part that was copied from an object of several files has more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more_files: Vec<FileRef>,
    /// In hex; empty if it is not known, because the part was copied.
    pub sha256: String,
}

impl PartRow {
    /// A part whose bytes are a file of its own.
    pub fn new(etag: ETag, file: FileRef, sha256: Sha256) -> Self {
        Self { etag, file, more_files: Vec::new(), sha256: sha256.hex() }
    }

    /// A part that shares the files of an object. None without a file.
    pub fn shared(etag: ETag, mut files: Vec<FileRef>) -> Option<Self> {
        let more_files = files.split_off(1.min(files.len()));
        let file = files.pop()?;
        Some(Self { etag, file, more_files, sha256: String::new() })
    }

    /// In order.
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        std::iter::once(&self.file).chain(&self.more_files)
    }

    pub fn len_bytes(&self) -> u64 {
        self.files().map(|file| file.len_bytes).sum()
    }
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
struct ListedHead<'a> {
    etag: ETag,
    size_bytes: u64,
    modified_ms: u64,
    #[serde(borrow)]
    attributes: ListedAttributes<'a>,
}

#[derive(Deserialize)]
struct ListedAttributes<'a> {
    headers: ListedHeaders,
    #[serde(borrow)]
    user: ListedUser<'a>,
    /// A checksum has no character that JSON escapes.
    #[serde(default)]
    checksum: Option<&'a str>,
}

#[derive(Deserialize)]
struct ListedUser<'a> {
    /// `header_names::STATED_CHECKSUM`.
    #[serde(rename = "ratchet-checksum")]
    checksum: Option<&'a str>,
}

#[derive(Deserialize)]
struct ListedHeaders {
    #[serde(rename = "x-amz-storage-class")]
    storage_class: Option<String>,
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

    /// How many bytes are in the row itself; None if they are in files.
    pub fn inline_bytes(&self) -> Option<usize> {
        match &self.content {
            Content::Inline(bytes) => Some(bytes.len()),
            Content::Files(_) => None,
        }
    }

    /// What conditions are compared with.
    pub fn as_existing(&self) -> Existing<'_> {
        let (etag, size_bytes) = (&self.etag, self.size_bytes);
        Existing { etag, size_bytes, modified: time(self.modified_ms) }
    }

    /// The head, with its checksum where it is asked for, and the content.
    pub fn into_head(self, date: SystemTime, with_checksum: bool) -> (Head, Content) {
        let text = self.attributes.checksum.as_deref().filter(|_| with_checksum);
        let checksum = text.and_then(|text| text.parse().ok());
        let head = Head {
            etag: self.etag,
            size_bytes: self.size_bytes,
            modified: time(self.modified_ms),
            date,
            tag_count: self.attributes.tags.len(),
            attributes: self.attributes.into(),
            version: None,
            checksum,
        };
        (head, self.content)
    }
}

/// The entry of a listing for an object's row.
pub(in super::super) fn listed(key: Key, row: &[u8]) -> Result<Listed> {
    let ListedHead { etag, size_bytes, modified_ms, attributes } = from_json(split(row)?.0)?;
    let storage_class = attributes.headers.storage_class;
    let checksum = attributes.user.checksum.or(attributes.checksum);
    let checksum = checksum.and_then(|text| text.split_once(':')?.0.parse().ok());
    Ok(Listed { key, size_bytes, etag, modified: time(modified_ms), storage_class, checksum })
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
            tags: from.tags,
            checksum: None,
        }
    }
}

impl From<AttributesRow> for Attributes {
    fn from(from: AttributesRow) -> Self {
        Self {
            content_type: from.content_type,
            headers: from.headers,
            user: from.user,
            tags: from.tags,
        }
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
        let whole = FileRef::whole("ab".into(), 9);
        let some = FileRef { id: "ab".into(), len_bytes: 3, offset: 4 };
        for content in [
            Content::Inline(vec![]),
            Content::Inline(vec![1, 2]),
            Content::Files(vec![whole]),
            Content::Files(vec![some]),
        ] {
            let row = ObjectRow {
                etag: ETag::from("e"),
                size_bytes: 2,
                modified_ms: 3,
                attributes: AttributesRow::default(),
                content,
            };
            assert_eq!(ObjectRow::decode(&row.encode()).unwrap(), row);
        }
        let old: FileRef = from_json(br#"{"id":"ab","len_bytes":9}"#).unwrap();
        assert_eq!(old, FileRef::whole("ab".into(), 9));
        assert!(ObjectRow::decode(&[1, 0]).is_err());
        assert!(ObjectRow::decode(&[9, 0, 0, 0, 1]).is_err());
    }
}
