//! The range of bytes that is restored, and what of a chunk lies in it.

use std::ops::Range;
use std::str::FromStr;

use bytes::Bytes;

use crate::client::{Error, Result};

/// Bytes of a file, as the ranges of HTTP have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// `[first, last]`, both included.
    Between {
        first: u64,
        last: u64,
    },
    From(u64),
    /// As many at the end; all of a file that has fewer.
    Last(u64),
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let invalid = || {
            format!(
                "{text:?} is not a range; write FIRST-LAST, both included, such as 0-1023, or \
                 FIRST- for all from there on, or -NUMBER for the last ones"
            )
        };
        let number = |text: &str| text.parse().map_err(|_| invalid());
        match text.split_once('-').ok_or_else(invalid)? {
            ("", last) => Some(number(last)?).filter(|last| *last > 0).map(Self::Last),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between { first, last })
            }
        }
        .ok_or_else(invalid)
    }
}

/// The bytes `[start, end)` to restore of a file of this size. **Errors**: `WrongUse` if the range
/// begins past the end of the file.
pub(super) fn bytes_to_restore(range: Option<ByteRange>, size: u64) -> Result<Range<u64>> {
    let (first, end) = match range {
        None => return Ok(0..size),
        Some(ByteRange::Last(count)) => return Ok(size.saturating_sub(count)..size),
        Some(ByteRange::From(first)) => (first, size),
        Some(ByteRange::Between { first, last }) => (first, last.saturating_add(1).min(size)),
    };
    if first >= size {
        return Err(Error::WrongUse(format!(
            "the range begins at byte {first}, but the file has {size} bytes"
        )));
    }
    Ok(first..end)
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
    fn ranges_include_both_ends_and_may_be_open() {
        assert_eq!("0-9".parse(), Ok(ByteRange::Between { first: 0, last: 9 }));
        assert_eq!("100-".parse(), Ok(ByteRange::From(100)));
        assert_eq!("-500".parse(), Ok(ByteRange::Last(500)));
        for invalid in ["", "-", "5", "9-1", "a-b", "-0", "--5", "1-2-3"] {
            assert!(invalid.parse::<ByteRange>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn ranges_end_with_the_file() {
        let range = |range| bytes_to_restore(Some(range), 10).ok();
        let between = |first, last| range(ByteRange::Between { first, last });
        assert_eq!(bytes_to_restore(None, 10).unwrap(), 0..10);
        assert_eq!(between(0, 0), Some(0..1));
        assert_eq!(between(9, u64::MAX), Some(9..10));
        assert_eq!(between(10, 10), None);
        assert_eq!(range(ByteRange::From(3)), Some(3..10));
        assert_eq!(range(ByteRange::From(10)), None);
        assert_eq!(range(ByteRange::Last(3)), Some(7..10));
        assert_eq!(range(ByteRange::Last(11)), Some(0..10));
    }

    #[test]
    fn chunks_are_clipped_to_the_range() {
        let chunk = Bytes::from_static(b"efgh");
        for (range, expected) in [(0..12, "efgh"), (5..7, "fg"), (7..12, "h"), (0..4, "")] {
            assert_eq!(clip(&chunk, 4, &range), expected, "{range:?}");
        }
    }
}
