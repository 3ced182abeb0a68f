//! The range of bytes that is restored, and what of a chunk lies in it.

use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;

use crate::client::{Error, Result};

/// The bytes `[first, last]` of a file, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    pub last: u64,
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let invalid =
            || format!("{text:?} is not a range; write FIRST-LAST, both included, such as 0-1023");
        let (first, last) = text.split_once('-').ok_or_else(invalid)?;
        let (first, last) =
            (first.parse().map_err(|_| invalid())?, last.parse().map_err(|_| invalid())?);
        if first <= last { Ok(Self { first, last }) } else { Err(invalid()) }
    }
}

/// The bytes `[start, end)` to restore of a file of this size. **Errors**: `WrongUse` if the range
/// begins past the end of the file.
pub(super) fn bytes_to_restore(range: Option<ByteRange>, size: u64) -> Result<Range<u64>> {
    let Some(range) = range else { return Ok(0..size) };
    if range.first >= size {
        return Err(Error::WrongUse(format!(
            "the range begins at byte {}, but the file has {size} bytes",
            range.first
        )));
    }
    Ok(range.first..range.last.saturating_add(1).min(size))
}

/// The part of a chunk that lies within the range; empty if there is none.
pub(super) fn clip(chunk: &Bytes, chunk_offset: u64, range: &Range<u64>) -> Bytes {
    let position = |offset: u64| offset.saturating_sub(chunk_offset).min(chunk.len() as u64);
    chunk.slice(position(range.start) as usize..position(range.end) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_both_ends() {
        assert_eq!("0-9".parse(), Ok(ByteRange { first: 0, last: 9 }));
        for invalid in ["", "5", "9-1", "a-b", "-5"] {
            assert!(invalid.parse::<ByteRange>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn ranges_end_with_the_file() {
        let range = |first, last| bytes_to_restore(Some(ByteRange { first, last }), 10).ok();
        assert_eq!(bytes_to_restore(None, 10).unwrap(), 0..10);
        assert_eq!(range(0, 0), Some(0..1));
        assert_eq!(range(9, u64::MAX), Some(9..10));
        assert_eq!(range(10, 10), None);
    }

    #[test]
    fn chunks_are_clipped_to_the_range() {
        let chunk = Bytes::from_static(b"efgh");
        for (range, expected) in [(0..12, "efgh"), (5..7, "fg"), (7..12, "h"), (0..4, "")] {
            assert_eq!(clip(&chunk, 4, &range), expected, "{range:?}");
        }
    }
}
