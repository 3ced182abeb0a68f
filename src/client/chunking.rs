//! How a file is divided into chunks: all have the same length, only the last may be shorter.
//!
//! Guarantees: this is the only place where the offset of a chunk is computed. Pure: it reads no
//! file and sends nothing.

use std::ops::Range;

/// S3 allows this many parts per upload. Up to here each chunk is one part, and the gateway need
/// not stage chunks (docs/api.md#what-chunk-sizes-cost).
const MAX_CHUNKS: u64 = 10_000;

/// A file's length and the length of its chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunking {
    /// Bytes of every chunk but the last. **Shape**: at least 1.
    chunk_size: u64,
    /// Bytes of the whole file.
    size: u64,
}

impl Chunking {
    pub fn new(size: u64, chunk_size: u64) -> Self {
        Self { chunk_size: chunk_size.max(1), size }
    }

    /// Doubles the requested chunk size until the file has at most [`MAX_CHUNKS`] chunks.
    pub fn for_upload(size: u64, requested_chunk_size: u64) -> Self {
        let mut chunking = Self::new(size, requested_chunk_size);
        while chunking.count() > MAX_CHUNKS {
            chunking.chunk_size *= 2;
        }
        chunking
    }

    pub fn chunk_size(self) -> u64 {
        self.chunk_size
    }

    pub fn size(self) -> u64 {
        self.size
    }

    /// The number of chunks; an empty file has none.
    pub fn count(self) -> u64 {
        self.size.div_ceil(self.chunk_size)
    }

    /// Where a chunk begins in the file. **Unit**: bytes.
    pub fn offset_of(self, index: u64) -> u64 {
        index * self.chunk_size
    }

    /// The length of a chunk; 0 past the end of the file. **Unit**: bytes.
    pub fn len_of(self, index: u64) -> u64 {
        self.chunk_size.min(self.size.saturating_sub(self.offset_of(index)))
    }

    /// The indexes of the chunks that contain at least one of these bytes.
    pub fn chunks_of(self, bytes: &Range<u64>) -> Range<u64> {
        bytes.start / self.chunk_size..bytes.end.div_ceil(self.chunk_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn chunk_size_doubles_until_the_file_fits() {
        let chunk_size = |size| Chunking::for_upload(size, 8 * MIB).chunk_size();
        assert_eq!(chunk_size(0), 8 * MIB);
        assert_eq!(chunk_size(8 * MIB * 10_000), 8 * MIB);
        assert_eq!(chunk_size(8 * MIB * 10_000 + 1), 16 * MIB);
    }

    #[test]
    fn chunks_cover_the_file_without_gaps() {
        let table = [(0, 4, vec![]), (4, 4, vec![4]), (11, 4, vec![4, 4, 3]), (2, 0, vec![1, 1])];
        for (size, chunk_size, expected) in table {
            let chunking = Chunking::new(size, chunk_size);
            let lengths: Vec<u64> = (0..chunking.count()).map(|i| chunking.len_of(i)).collect();
            assert_eq!(lengths, expected, "{size} {chunk_size}");
            for index in 1..chunking.count() {
                let end = chunking.offset_of(index - 1) + chunking.len_of(index - 1);
                assert_eq!(chunking.offset_of(index), end, "{size} {chunk_size}");
            }
        }
        assert_eq!(Chunking::new(11, 4).len_of(3), 0);
    }

    #[test]
    fn a_byte_range_lies_in_the_chunks_that_contain_its_bytes() {
        let chunking = Chunking::new(11, 4);
        for (bytes, chunks) in [(0..11, 0..3), (0..1, 0..1), (3..5, 0..2), (4..8, 1..2)] {
            assert_eq!(chunking.chunks_of(&bytes), chunks, "{bytes:?}");
        }
    }
}
