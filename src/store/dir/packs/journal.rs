//! The journal: what the last transactions changed in the index, behind their bodies in the pack
//! (docs/decisions/0029-a-pack-is-the-journal-of-the-index.md).
//!
//! Guarantees: an entry that is read is whole, with all bodies of its transaction, and was written
//! at this place of this pack.
//!
//! **Layout** of an entry: `RPJ1`, the length of the changes (four bytes), where in the pack the
//! transaction begins and how many bytes of the pack are alive after it (eight bytes each), all
//! little-endian; the changes; CRC64NVME of the pack's id and of everything from the first body of
//! the transaction up to here (eight bytes, big-endian).

use std::fs::File;
use std::io;

use super::record::{self, Window};

pub(super) const MAGIC: [u8; 4] = *b"RPJ1";
pub(super) const HEAD_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 8;

/// How many bytes of a pack an entry takes.
pub(super) fn entry_bytes(changes_bytes: usize) -> usize {
    HEAD_BYTES + changes_bytes + CHECKSUM_BYTES
}

fn checksum(pack: &str) -> crc_fast::Digest {
    let mut checksum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
    checksum.update(pack.as_bytes());
    checksum
}

/// Appends the entry of a transaction, whose bodies `bytes` has, and which begins at `begin` in the
/// pack.
pub(super) fn append(
    (pack, begin): (&str, u64),
    bytes: &mut Vec<u8>,
    changes: &[u8],
    live_bytes: u64,
) {
    let changes_bytes = u32::try_from(changes.len()).expect("a transaction is shorter than 4 GiB");
    bytes.reserve(entry_bytes(changes.len()));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&changes_bytes.to_le_bytes());
    bytes.extend_from_slice(&begin.to_le_bytes());
    bytes.extend_from_slice(&live_bytes.to_le_bytes());
    bytes.extend_from_slice(changes);
    let mut checksum = checksum(pack);
    checksum.update(bytes);
    bytes.extend_from_slice(&checksum.finalize().to_be_bytes());
}

/// An entry of the journal.
#[derive(Debug, PartialEq, Eq)]
pub struct JournalEntry {
    pub changes: Vec<u8>,
    /// How many bytes of the pack are alive after the transaction.
    pub live_bytes: u64,
    /// Where in the pack the entry ends.
    pub end: u64,
}

/// Reads the transactions of a pack one after the other.
pub struct JournalEntries {
    pack: String,
    window: Window,
    /// Where the next transaction begins.
    at: u64,
}

impl JournalEntries {
    /// Those from an end of a transaction on.
    pub fn from(pack: &str, file: File, at: u64) -> Self {
        Self { pack: pack.to_owned(), window: Window::of(file), at }
    }

    /// The entry of the next transaction. None where no whole one follows. Blocks.
    pub fn next(&mut self) -> io::Result<Option<JournalEntry>> {
        let (begin, mut at) = (self.at, self.at);
        let mut checksum = checksum(&self.pack);
        loop {
            let Some(head) = self.window.bytes(at, record::HEAD_BYTES)? else { return Ok(None) };
            if head.starts_with(&MAGIC) {
                break;
            }
            let Some(body) = record::body_record_bytes(head) else { return Ok(None) };
            let Some(body) = self.window.bytes(at, body)? else { return Ok(None) };
            checksum.update(body);
            at += body.len() as u64;
        }
        let Some(head) = self.window.bytes(at, HEAD_BYTES)? else { return Ok(None) };
        let number = |range: std::ops::Range<usize>| {
            let bytes = head.get(range).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(0, u64::from_le_bytes)
        };
        let (entry_begin, live_bytes) = (number(8..16), number(16..24));
        let changes_bytes = record::number(head, 4);
        if entry_begin != begin {
            return Ok(None);
        }
        let all_bytes = entry_bytes(changes_bytes);
        let Some(entry) = self.window.bytes(at, all_bytes)? else { return Ok(None) };
        let (entry, expected) = entry.split_at(all_bytes - CHECKSUM_BYTES);
        checksum.update(entry);
        if checksum.finalize().to_be_bytes() != expected {
            return Ok(None);
        }
        let changes = entry.get(HEAD_BYTES..).unwrap_or_default().to_vec();
        self.at = at + all_bytes as u64;
        Ok(Some(JournalEntry { changes, live_bytes, end: self.at }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_transactions_are_read() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("pack");
        let mut pack = Vec::new();
        let mut ends = vec![0];
        for number in 0..3_u8 {
            let (begin, mut bytes) = (pack.len() as u64, Vec::new());
            for body in 0..number {
                record::append(&mut bytes, "b/key", &vec![body + 1; 9000]);
            }
            append(("pack", begin), &mut bytes, &[number; 100], u64::from(number));
            pack.extend(bytes);
            ends.push(pack.len());
        }
        let read = |pack: &str, bytes: &[u8], at: usize| {
            std::fs::write(&path, bytes).unwrap();
            let mut entries = JournalEntries::from(pack, File::open(&path).unwrap(), at as u64);
            let mut found = Vec::new();
            while let Some(entry) = entries.next().unwrap() {
                let number = entry.changes[0];
                let expected = JournalEntry {
                    changes: vec![number; 100],
                    live_bytes: number.into(),
                    end: ends[usize::from(number) + 1] as u64,
                };
                assert_eq!(entry, expected);
                found.push(number);
            }
            found
        };
        assert_eq!(read("pack", &pack, 0), [0, 1, 2]);
        assert_eq!(read("pack", &pack, ends[1]), [1, 2]);
        let none = Vec::<u8>::new();
        assert_eq!(read("pack", &pack, ends[3]), none);
        assert_eq!(read("other", &pack, 0), none, "of another pack");
        assert_eq!(read("pack", &pack[ends[1]..], 0), none, "of another place");
        for cut in ends[2]..ends[3] {
            if cut % 97 == 0 || cut + 200 > ends[3] {
                assert_eq!(read("pack", &pack[..cut], 0), [0, 1], "cut at {cut}");
                let mut flipped = pack.clone();
                flipped[cut] ^= 1;
                assert_eq!(read("pack", &flipped, 0), [0, 1], "another byte at {cut}");
            }
        }
        let mut lost_page = pack.clone();
        lost_page[ends[2] + 4096..ends[2] + 8192].fill(0);
        assert_eq!(read("pack", &lost_page, 0), [0, 1]);
    }
}
