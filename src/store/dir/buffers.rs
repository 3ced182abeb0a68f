//! A pool of buffers of one size.
//!
//! Guarantees: a bounded number of buffers wait for reuse, and each begins at a multiple of
//! [`ALIGNMENT`], as direct I/O needs it. Fresh buffers would cost a page fault per page
//! (docs/decisions/0015-cached-reads-in-place.md). A frame returns its buffer once it is sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A multiple of the alignment that usual disks require of the memory, the offset and the length of
/// a direct write (open(2), `O_DIRECT`).
pub const ALIGNMENT: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Buffers {
    buffer_bytes: usize,
    /// How many unused buffers are kept.
    max_spare: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A buffer, which returns to its pool when it is dropped.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// The offset of the first aligned byte.
    start: usize,
    pool: Arc<Buffers>,
}

impl Buffers {
    pub fn new(buffer_bytes: usize, max_spare: usize) -> Arc<Self> {
        Arc::new(Self { buffer_bytes, max_spare, spare: Mutex::default() })
    }

    /// A buffer for `len_bytes` bytes, at most the pool's buffer size, with any content. One for
    /// less than half of that size has exactly that length, is not aligned, and is not reused.
    pub fn take(self: &Arc<Self>, len_bytes: usize) -> Buffer {
        let pool = Arc::clone(self);
        if self.allocated_bytes(len_bytes) == len_bytes && len_bytes < self.buffer_bytes {
            return Buffer { bytes: vec![0; len_bytes], start: 0, pool };
        }
        let spare = self.lock().pop();
        let bytes = spare.unwrap_or_else(|| vec![0; self.buffer_bytes + ALIGNMENT]);
        Buffer { start: bytes.as_ptr().align_offset(ALIGNMENT), bytes, pool }
    }

    /// How much memory a buffer for `len_bytes` bytes takes.
    pub fn allocated_bytes(&self, len_bytes: usize) -> usize {
        if len_bytes < self.buffer_bytes / 2 { len_bytes } else { self.buffer_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// Its first `len_bytes` bytes.
    pub fn prefix_mut(&mut self, len_bytes: usize) -> &mut [u8] {
        &mut self.bytes[self.start..][..len_bytes]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == self.pool.buffer_bytes + ALIGNMENT {
            let mut spare = self.pool.lock();
            if spare.len() < self.pool.max_spare {
                spare.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const BUFFER_BYTES: usize = 256 << 10;
    const SPARE: usize = 4;

    #[test]
    fn a_buffer_returns_to_its_pool_when_its_last_frame_is_dropped() {
        let buffers = Buffers::new(BUFFER_BYTES, SPARE);
        let mut buffer = buffers.take(BUFFER_BYTES);
        buffer.prefix_mut(3).copy_from_slice(b"abc");
        let frame = Bytes::from_owner(buffer);
        assert_eq!((&frame[..3], buffers.lock().len()), (&b"abc"[..], 0));
        drop(frame);
        assert_eq!(buffers.lock().len(), 1);
    }

    #[test]
    fn large_buffers_are_aligned() {
        let buffers = Buffers::new(BUFFER_BYTES, SPARE);
        for len_bytes in [BUFFER_BYTES / 2, BUFFER_BYTES] {
            assert!(
                buffers
                    .take(len_bytes)
                    .prefix_mut(len_bytes)
                    .as_ptr()
                    .addr()
                    .is_multiple_of(ALIGNMENT)
            );
        }
        assert_eq!(buffers.take(10).bytes.len(), 10, "a small buffer has its own length");
    }

    #[test]
    fn a_bounded_number_of_large_buffers_is_kept_and_no_small_one() {
        let buffers = Buffers::new(BUFFER_BYTES, SPARE);
        drop(buffers.take(10));
        assert_eq!(buffers.lock().len(), 0);
        let many: Vec<Buffer> = (0..2 * SPARE).map(|_| buffers.take(BUFFER_BYTES)).collect();
        drop(many);
        assert_eq!(buffers.lock().len(), SPARE);
    }
}
