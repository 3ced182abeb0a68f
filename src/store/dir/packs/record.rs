//! The form of a pack.
//!
//! Guarantees: a pack can be read from its beginning without the index; each body says whose it is,
//! so that the index needs no row for that.
//!
//! **Layout**: records, without gaps: `RPK1`, the length of the row's key and that of the body as
//! four bytes each, little-endian; the key, `<bucket>/<key>`; the body. Between them are entries of
//! the `journal`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::journal;

const MAGIC: [u8; 4] = *b"RPK1";
/// Every record and every entry of the journal has more.
pub(super) const HEAD_BYTES: usize = 12;

/// How much is read at a time while records are looked for.
const READ_BYTES: usize = 256 << 10;

/// How many bytes of a pack a body takes.
pub fn record_bytes(row_key: &str, body_bytes: u64) -> u64 {
    (HEAD_BYTES + row_key.len()) as u64 + body_bytes
}

/// Appends a record. Returns where in it the body begins.
pub(super) fn append(to: &mut Vec<u8>, row_key: &str, body: &[u8]) -> u64 {
    let four_bytes = |len: usize| {
        let len = u32::try_from(len).expect("names and small bodies are shorter than 4 GiB");
        len.to_le_bytes()
    };
    to.reserve(HEAD_BYTES + row_key.len() + body.len());
    to.extend_from_slice(&MAGIC);
    to.extend_from_slice(&four_bytes(row_key.len()));
    to.extend_from_slice(&four_bytes(body.len()));
    to.extend_from_slice(row_key.as_bytes());
    to.extend_from_slice(body);
    (HEAD_BYTES + row_key.len()) as u64
}

/// A body in a pack.
#[derive(Debug, PartialEq, Eq)]
pub struct PackedBody {
    pub row_key: String,
    /// Where in the pack it begins.
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// The four bytes at this place of a head, as a number.
pub(super) fn number(head: &[u8], at: usize) -> usize {
    let four = head.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map_or(0, |four| u32::from_le_bytes(four) as usize)
}

/// How long the record of a body is that begins with this head. None if none begins.
pub(super) fn body_record_bytes(head: &[u8]) -> Option<usize> {
    head.starts_with(&MAGIC).then(|| HEAD_BYTES + number(head, 4) + number(head, 8))
}

/// Reads the records of a pack one after the other.
pub(super) struct Records {
    window: Window,
    /// Where the next record begins.
    at: u64,
}

impl Records {
    pub fn of(file: File) -> Self {
        Self { window: Window::of(file), at: 0 }
    }

    /// The next body. None at the end, or where no record begins. Blocks.
    pub fn next(&mut self) -> io::Result<Option<PackedBody>> {
        loop {
            let Some(head) = self.window.bytes(self.at, HEAD_BYTES)? else { return Ok(None) };
            if head.starts_with(&journal::MAGIC) {
                self.at += journal::entry_bytes(number(head, 4)) as u64;
                continue;
            }
            let key_bytes = number(head, 4);
            let Some(record_bytes) = body_record_bytes(head) else { return Ok(None) };
            let Some(record) = self.window.bytes(self.at, record_bytes)? else { return Ok(None) };
            let Some((key, body)) = record.get(HEAD_BYTES..).map(|rest| rest.split_at(key_bytes))
            else {
                return Ok(None);
            };
            let Ok(row_key) = std::str::from_utf8(key).map(str::to_owned) else { return Ok(None) };
            let bytes = body.to_vec();
            let offset = self.at + (HEAD_BYTES + key_bytes) as u64;
            self.at += record_bytes as u64;
            return Ok(Some(PackedBody { row_key, offset, bytes }));
        }
    }
}

/// A pack of which a piece is in memory.
pub(super) struct Window {
    file: File,
    piece: Vec<u8>,
    /// Where the piece begins.
    at: u64,
}

impl Window {
    pub fn of(file: File) -> Self {
        Self { file, piece: Vec::new(), at: 0 }
    }

    /// These bytes of the pack. None if it is too short.
    pub fn bytes(&mut self, at: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let is_there = at >= self.at && at + len as u64 <= self.at + self.piece.len() as u64;
        if !is_there {
            let end = self.file.metadata()?.len();
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            if left < len {
                return Ok(None);
            }
            self.piece.resize(left.min(READ_BYTES.max(len)), 0);
            self.at = at;
            self.file.read_exact_at(&mut self.piece, at)?;
        }
        let from = usize::try_from(at - self.at).unwrap_or(usize::MAX);
        Ok(self.piece.get(from..from + len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_up_to_the_first_that_is_none() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("pack");
        let bodies: Vec<Vec<u8>> =
            [0, 1, 70_000, 300_000, 5].map(|len| vec![len as u8; len]).into();
        let mut pack = Vec::new();
        let mut expected = Vec::new();
        for (number, body) in bodies.iter().enumerate() {
            let (row_key, begin) = (format!("b/{number}"), pack.len() as u64);
            let offset = begin + append(&mut pack, &row_key, body);
            assert_eq!(pack.len() as u64 - begin, record_bytes(&row_key, body.len() as u64));
            expected.push(PackedBody { row_key, offset, bytes: body.clone() });
            if number % 2 == 0 {
                let mut entry = Vec::new();
                journal::append(("pack", 0), &mut entry, body, 0);
                pack.extend(entry);
            }
        }
        for rest in [&b""[..], b"RPK", b"RPK1\x01\0\0\0\xff\xff\xff\xffkey", &[0; 40]] {
            std::fs::write(&path, [&pack, rest].concat()).unwrap();
            let mut records = Records::of(File::open(&path).unwrap());
            let mut found = Vec::new();
            while let Some(record) = records.next().unwrap() {
                found.push(record);
            }
            assert_eq!(found, expected);
        }
    }
}
