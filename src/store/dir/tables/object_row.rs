//! The row of an object and its bytes.
//!
//! Guarantees: an encoded row decodes to the same row; a row of an older version, whose head is
//! JSON, decodes too. An older version refuses a row of this one as damaged, so it cannot take an
//! object in a pack for an empty one.
//!
//! **Layout**: three bytes with the length of the head, little-endian; a byte with its form: 0 for
//! JSON, 1 for that of `object_head`; the head; the bytes of an object that is in the row itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::Deserialize;

use super::super::super::conditions::Existing;
use super::super::super::{ETag, Head, Key, Listed, Result};
use super::object_head::{self, ListedHead, ObjectHead};
use super::rows::{AttributesRow, FileRef, damaged, from_json};

/// The forms of a head.
const JSON: u8 = 0;
const BINARY: u8 = 1;

/// Where an object's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Content {
    /// In the row itself.
    Inline(Bytes),
    /// In a pack, with others.
    Packed(FileRef),
    /// In files of their own, in order.
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

/// The head that older versions wrote; `files` is None where the bytes are in the row.
#[derive(Deserialize)]
struct OldHead {
    etag: ETag,
    size_bytes: u64,
    modified_ms: u64,
    attributes: AttributesRow,
    files: Option<Vec<FileRef>>,
}

/// What a listing shows of it; the rest is not decoded.
#[derive(Deserialize)]
struct OldListedHead {
    etag: ETag,
    size_bytes: u64,
    modified_ms: u64,
    attributes: OldListedAttributes,
}

#[derive(Deserialize)]
struct OldListedAttributes {
    headers: OldListedHeaders,
    user: OldListedUser,
    #[serde(default)]
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct OldListedUser {
    /// `header_names::STATED_CHECKSUM`.
    #[serde(rename = "ratchet-checksum")]
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct OldListedHeaders {
    #[serde(rename = "x-amz-storage-class")]
    storage_class: Option<String>,
}

impl ObjectRow {
    pub fn encode(&self) -> Vec<u8> {
        let inline = match &self.content {
            Content::Inline(bytes) => &bytes[..],
            Content::Packed(_) | Content::Files(_) => &[],
        };
        let mut row = Vec::with_capacity(256 + inline.len());
        row.extend_from_slice(&[0; 4]);
        let fields = (&self.etag, self.size_bytes, self.modified_ms);
        object_head::encode(&mut row, fields, &self.attributes, &self.content);
        let len = u32::try_from(row.len() - 4).ok().filter(|len| *len < 1 << 24);
        let len = len.expect("30,000 files of 40 bytes are less than 16 MiB");
        row[..4].copy_from_slice(&(len | u32::from(BINARY) << 24).to_le_bytes());
        row.extend_from_slice(inline);
        row
    }

    pub fn decode(row: &[u8]) -> Result<Self> {
        let Split { form, head, inline } = Split::of(row)?;
        let ObjectHead { etag, size_bytes, modified_ms, attributes, elsewhere } = match form {
            JSON => {
                let old: OldHead = from_json(head)?;
                ObjectHead {
                    etag: old.etag,
                    size_bytes: old.size_bytes,
                    modified_ms: old.modified_ms,
                    attributes: old.attributes,
                    elsewhere: old.files.map(Content::Files),
                }
            }
            BINARY => object_head::decode(head).ok_or_else(damaged)?,
            _ => return Err(damaged()),
        };
        let content = elsewhere.unwrap_or_else(|| Content::Inline(Bytes::copy_from_slice(inline)));
        Ok(Self { etag, size_bytes, modified_ms, attributes, content })
    }

    /// The files that are the object's own or shared with copies: no pack.
    pub fn files(&self) -> &[FileRef] {
        match &self.content {
            Content::Inline(_) | Content::Packed(_) => &[],
            Content::Files(files) => files,
        }
    }

    /// All that the object's bytes are read from, with its pack.
    pub fn places(&self) -> &[FileRef] {
        match &self.content {
            Content::Inline(_) => &[],
            Content::Packed(body) => std::slice::from_ref(body),
            Content::Files(files) => files,
        }
    }

    /// How many bytes the content has, which should be the size of the object.
    pub fn content_bytes(&self) -> u64 {
        match &self.content {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Packed(body) => body.len_bytes,
            Content::Files(files) => files.iter().map(|file| file.len_bytes).sum(),
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
    let Split { form, head, .. } = Split::of(row)?;
    let ListedHead { etag, size_bytes, modified_ms, storage_class, checksum } = match form {
        JSON => {
            let OldListedHead { etag, size_bytes, modified_ms, attributes } = from_json(head)?;
            let OldListedAttributes { headers, user, checksum } = attributes;
            let (storage_class, checksum) = (headers.storage_class, user.checksum.or(checksum));
            ListedHead { etag, size_bytes, modified_ms, storage_class, checksum }
        }
        BINARY => object_head::decode_listed(head).ok_or_else(damaged)?,
        _ => return Err(damaged()),
    };
    let checksum = checksum.and_then(|text| text.split_once(':')?.0.parse().ok());
    Ok(Listed { key, size_bytes, etag, modified: time(modified_ms), storage_class, checksum })
}

/// The bytes of an object's row.
struct Split<'a> {
    form: u8,
    head: &'a [u8],
    inline: &'a [u8],
}

impl<'a> Split<'a> {
    fn of(row: &'a [u8]) -> Result<Self> {
        let ([a, b, c, form], rest) = row.split_first_chunk::<4>().ok_or_else(damaged)?;
        let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        let (head, inline) = rest.split_at_checked(len).ok_or_else(damaged)?;
        Ok(Self { form: *form, head, inline })
    }
}

fn time(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::super::super::super::Attributes;
    use super::*;

    fn row(content: Content, size_bytes: u64) -> ObjectRow {
        let (etag, modified_ms) = (ETag::from("e"), 3);
        ObjectRow { etag, size_bytes, modified_ms, attributes: AttributesRow::default(), content }
    }

    #[test]
    fn an_encoded_object_decodes_to_the_same_row() {
        let file = |id: &str, offset| FileRef { id: id.to_owned(), len_bytes: 2, offset };
        for content in [
            Content::Inline(Bytes::new()),
            Content::Inline(Bytes::from_static(&[1, 2])),
            Content::Packed(file("0123456789abcdef0123456789abcdef", 1 << 20)),
            Content::Files(vec![]),
            Content::Files(vec![file("ab", 0), file("cd", 9)]),
        ] {
            let row = row(content, 2);
            assert_eq!(ObjectRow::decode(&row.encode()).unwrap(), row);
        }
        let pair = |name: &str| (name.to_owned(), format!("value of {name}"));
        let attributes = Attributes {
            content_type: Some("text/plain".into()),
            headers: [pair("cache-control"), pair("x-amz-storage-class")].into(),
            user: [pair("é"), pair("")].into(),
            tags: super::super::super::super::Tags([pair("tag")].into()),
        };
        let checksum = "CRC64NVME:CGT6zaTT8Bg=".parse().ok();
        let attributes = AttributesRow::new(attributes, checksum);
        let row = ObjectRow { attributes, ..row(Content::Inline(Bytes::from_static(&[7])), 1) };
        let mut encoded = row.encode();
        assert_eq!(ObjectRow::decode(&encoded).unwrap(), row);
        let entry = listed(Key::from("key"), &encoded).unwrap();
        assert_eq!((entry.size_bytes, entry.modified), (1, time(3)));
        assert_eq!(entry.storage_class.as_deref(), Some("value of x-amz-storage-class"));
        let head_bytes = usize::from(encoded[0]) + 256 * usize::from(encoded[1]);
        for cut in 0..4 + head_bytes {
            assert!(ObjectRow::decode(&encoded[..cut]).is_err(), "{cut}");
        }
        // A head that is longer than its fields, and a form of a later version.
        encoded[0] += 1;
        assert!(ObjectRow::decode(&encoded).is_err());
        encoded[0] -= 1;
        encoded[3] = 2;
        assert!(ObjectRow::decode(&encoded).is_err() && listed("key".into(), &encoded).is_err());
    }

    #[test]
    fn rows_of_older_versions_are_read() {
        let old = |files: &str, inline: &[u8]| {
            let head = format!(
                r#"{{"etag":"e","size_bytes":2,"modified_ms":3,"attributes":{{"content_type":null,"headers":{{"x-amz-storage-class":"GLACIER"}},"user":{{}}}},"files":{files}}}"#
            );
            [&(head.len() as u32).to_le_bytes(), head.as_bytes(), inline].concat()
        };
        let inline = old("null", &[1, 2]);
        let found = ObjectRow::decode(&inline).unwrap();
        assert_eq!(found.content, Content::Inline(Bytes::from_static(&[1, 2])));
        assert_eq!(listed("key".into(), &inline).unwrap().storage_class.unwrap(), "GLACIER");
        let found = ObjectRow::decode(&old(r#"[{"id":"ab","len_bytes":2}]"#, &[])).unwrap();
        assert_eq!(found.content, Content::Files(vec![FileRef::whole("ab".into(), 2)]));
        assert!(ObjectRow::decode(&[1, 0]).is_err());
        assert!(ObjectRow::decode(&[9, 0, 0, 0, 1]).is_err());
    }
}
