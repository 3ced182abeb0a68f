//! The form of a pack.
//!
//! Guarantees: a pack can be read from its beginning without the index; each body says whose it is,
//! so that the index needs no row for that.
//!
//! **Layout**: records, without gaps: `RPK1`, the length of the row's key and that of the body as
//! four bytes each, little-endian; the key, `<bucket>/<key>`; the body.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: [u8; 4] = *b"RPK1";
const HEAD_BYTES: usize = 12;

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

/// Reads the records of a pack one after the other.
pub(super) struct Records {
    file: File,
    /// Where the next record begins.
    at: u64,
    /// What of the pack is in memory, and where it begins.
    window: Vec<u8>,
    window_at: u64,
}

impl Records {
    pub fn of(file: File) -> Self {
        Self { file, at: 0, window: Vec::new(), window_at: 0 }
    }

    /// The next record. None at the end, or where no record begins. Blocks.
    pub fn next(&mut self) -> io::Result<Option<PackedBody>> {
        let Some(head) = self.bytes(self.at, HEAD_BYTES)? else { return Ok(None) };
        let number = |at: usize| {
            let four = head.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map_or(0, |four| u32::from_le_bytes(four) as usize)
        };
        let (is_head, key_bytes, body_bytes) = (head.starts_with(&MAGIC), number(4), number(8));
        if !is_head {
            return Ok(None);
        }
        let Some(rest) = self.bytes(self.at + HEAD_BYTES as u64, key_bytes + body_bytes)? else {
            return Ok(None);
        };
        let (key, body) = rest.split_at(key_bytes);
        let Ok(row_key) = std::str::from_utf8(key).map(str::to_owned) else { return Ok(None) };
        let bytes = body.to_vec();
        let offset = self.at + (HEAD_BYTES + key_bytes) as u64;
        self.at = offset + body_bytes as u64;
        Ok(Some(PackedBody { row_key, offset, bytes }))
    }

    /// These bytes of the pack. None if it is too short.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<Option<&[u8]>> {
        let is_there = |window_at: u64, window: &[u8]| {
            at >= window_at && at + len as u64 <= window_at + window.len() as u64
        };
        if !is_there(self.window_at, &self.window) {
            let end = self.file.metadata()?.len();
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            if left < len {
                return Ok(None);
            }
            self.window.resize(left.min(READ_BYTES.max(len)), 0);
            self.window_at = at;
            self.file.read_exact_at(&mut self.window, at)?;
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(from..from + len))
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
