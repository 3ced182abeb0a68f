//! The head of an object's row as bytes.
//!
//! Guarantees: an encoded head decodes to the same head, and nothing else does: a head with bytes
//! too many or too few is refused. It is a third as long as it would be as JSON, because an index
//! of small objects consists of little else (docs/decisions/0027-small-objects-are-in-packs.md).
//!
//! **Layout**: in this order ETag, size, time of modification, content type, headers, metadata,
//! tags, checksum, where the bytes are. Numbers are LEB128. A text is twice the number of its bytes
//! and those bytes; hex digits are twice the number of the bytes that they stand for plus one, and
//! those bytes. A map is the number of its pairs and the pairs. What may be missing is a list of
//! none or one. The bytes are in the row (0), in a pack (1, id, offset), or in files (2, their
//! number, and of each id, length, offset).

use std::collections::BTreeMap;

use super::super::super::{ETag, Tags};
use super::object_row::Content;
use super::rows::{AttributesRow, FileRef};
use crate::header_names::STATED_CHECKSUM;
use crate::hex::hex;

/// Shorter hex digits stay text, as they may be numbers.
const MIN_HEX_DIGITS: usize = 16;

/// Everything but the bytes that are in the row itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ObjectHead {
    pub etag: ETag,
    pub size_bytes: u64,
    pub modified_ms: u64,
    pub attributes: AttributesRow,
    /// None: the bytes follow the head.
    pub elsewhere: Option<Content>,
}

/// What a listing shows of a head.
pub(super) struct ListedHead {
    pub etag: ETag,
    pub size_bytes: u64,
    pub modified_ms: u64,
    pub storage_class: Option<String>,
    /// That of its client, or else of the store, as text.
    pub checksum: Option<String>,
}

/// Appends the head of a row to `to`.
pub(super) fn encode(
    to: &mut Vec<u8>,
    (etag, size_bytes, modified_ms): (&ETag, u64, u64),
    attributes: &AttributesRow,
    content: &Content,
) {
    put_text(to, etag.as_str());
    put_number(to, size_bytes);
    put_number(to, modified_ms);
    put_option(to, attributes.content_type.as_deref());
    put_map(to, &attributes.headers);
    put_map(to, &attributes.user);
    put_map(to, &attributes.tags.0);
    put_option(to, attributes.checksum.as_deref());
    match content {
        Content::Inline(_) => put_number(to, 0),
        Content::Packed(body) => {
            put_number(to, 1);
            put_text(to, &body.id);
            put_number(to, body.offset);
        }
        Content::Files(files) => {
            put_number(to, 2);
            put_number(to, files.len() as u64);
            for file in files {
                put_text(to, &file.id);
                put_number(to, file.len_bytes);
                put_number(to, file.offset);
            }
        }
    }
}

fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn put_text(to: &mut Vec<u8>, text: &str) {
    let digits = text.as_bytes();
    let is_hex = digits.len() >= MIN_HEX_DIGITS
        && digits.len().is_multiple_of(2)
        && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex {
        put_number(to, 2 * digits.len() as u64);
        to.extend_from_slice(digits);
        return;
    }
    put_number(to, digits.len() as u64 + 1);
    let value = |digit: u8| if digit > b'9' { digit - b'a' + 10 } else { digit - b'0' };
    to.extend(digits.chunks_exact(2).map(|pair| value(pair[0]) << 4 | value(pair[1])));
}

fn put_option(to: &mut Vec<u8>, text: Option<&str>) {
    put_number(to, u64::from(text.is_some()));
    if let Some(text) = text {
        put_text(to, text);
    }
}

fn put_map(to: &mut Vec<u8>, map: &BTreeMap<String, String>) {
    put_number(to, map.len() as u64);
    for (name, value) in map {
        put_text(to, name);
        put_text(to, value);
    }
}

/// The head; None if the bytes are none.
pub(super) fn decode(bytes: &[u8]) -> Option<ObjectHead> {
    let mut rest = Rest(bytes);
    let (etag, size_bytes, modified_ms) = (ETag(rest.text()?), rest.number()?, rest.number()?);
    let attributes = AttributesRow {
        content_type: rest.option()?,
        headers: rest.map()?,
        user: rest.map()?,
        tags: Tags(rest.map()?),
        checksum: rest.option()?,
    };
    let elsewhere = match rest.number()? {
        0 => None,
        1 => {
            let (id, offset) = (rest.text()?, rest.number()?);
            Some(Content::Packed(FileRef { id, len_bytes: size_bytes, offset }))
        }
        2 => Some(Content::Files(rest.files()?)),
        _ => return None,
    };
    let head = ObjectHead { etag, size_bytes, modified_ms, attributes, elsewhere };
    rest.0.is_empty().then_some(head)
}

/// What a listing shows of a head; the places of the bytes are not looked at.
pub(super) fn decode_listed(bytes: &[u8]) -> Option<ListedHead> {
    let mut rest = Rest(bytes);
    let (etag, size_bytes, modified_ms) = (ETag(rest.text()?), rest.number()?, rest.number()?);
    rest.option()?;
    let storage_class = rest.map()?.remove("x-amz-storage-class");
    let stated = rest.map()?.remove(STATED_CHECKSUM);
    rest.map()?;
    let checksum = stated.or(rest.option()?);
    Some(ListedHead { etag, size_bytes, modified_ms, storage_class, checksum })
}

/// What is left to decode.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // Bits past the 64th were lost.
                return (number >> shift == bits).then_some(number);
            }
        }
        None
    }

    fn text(&mut self) -> Option<String> {
        let code = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(code / 2)?;
        self.0 = rest;
        if code % 2 == 1 {
            Some(hex(text))
        } else {
            Some(std::str::from_utf8(text).ok()?.to_owned())
        }
    }

    fn option(&mut self) -> Option<Option<String>> {
        match self.number()? {
            0 => Some(None),
            1 => Some(Some(self.text()?)),
            _ => None,
        }
    }

    fn map(&mut self) -> Option<BTreeMap<String, String>> {
        (0..self.number()?).map(|_| Some((self.text()?, self.text()?))).collect()
    }

    fn files(&mut self) -> Option<Vec<FileRef>> {
        let count = self.number()?;
        let next = |_| {
            Some(FileRef { id: self.text()?, len_bytes: self.number()?, offset: self.number()? })
        };
        (0..count).map(next).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_size_and_texts_of_any_kind_come_back() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut rest = Rest(&bytes);
            assert_eq!((rest.number(), rest.0.len()), (Some(number), 0));
        }
        let texts =
            ["", "é", "0123456789", "0123456789abcdef", "0123456789abcdefF", "0123456789ABCDEF"];
        for text in texts {
            let mut bytes = Vec::new();
            put_text(&mut bytes, text);
            let mut rest = Rest(&bytes);
            assert_eq!((rest.text().as_deref(), rest.0.len()), (Some(text), 0));
        }
        // More bits than a number has, and more bytes than there are.
        assert_eq!(Rest(&[0xff; 10]).number(), None);
        assert_eq!(Rest(&[0x80; 9]).number(), None);
        assert_eq!(Rest(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2]).number(), None);
        assert_eq!(Rest(&[8, b'a']).text(), None);
        assert_eq!(Rest(&[2, 0xff]).text(), None, "no UTF-8");
    }
}
