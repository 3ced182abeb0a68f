//! The rows of uploads and parts and their bytes, which are JSON, and what they have in common with
//! those of objects (`object_row`).
//!
//! Guarantees: an encoded row decodes to the same row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::super::{Attributes, ETag, Error, Result, Tags, UploadTarget};
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

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct AttributesRow {
    pub(super) content_type: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) user: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) checksum: Option<String>,
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

pub(super) fn damaged() -> Error {
    Error::unavailable("a row of the index is damaged")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_an_older_index_is_a_whole_one() {
        let old: FileRef = from_json(br#"{"id":"ab","len_bytes":9}"#).unwrap();
        assert_eq!(old, FileRef::whole("ab".into(), 9));
    }
}
