//! Buffers of one size, used again and again.
//!
//! Guarantees: at most so many wait for use, and those stay; each of them begins where a disk can
//! take it from ([`ALIGNMENT`]). A buffer that the allocator hands out anew each time costs a page
//! fault for each of its pages: a fifth of a read's CPU. A frame gives its buffer back once it is
//! sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A multiple of what any usual disk wants of the memory, the offset and the length of a direct
/// write (open(2), `O_DIRECT`).
pub const ALIGNMENT: usize = 4 << 10;

#[derive(Debug)]
pub(super) struct Buffers {
    each_bytes: usize,
    most_spare: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

/// One buffer.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// The first aligned one.
    start: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    pub fn new(each_bytes: usize, most_spare: usize) -> Arc<Self> {
        Arc::new(Self { each_bytes, most_spare, spare: Mutex::default() })
    }

    /// So many bytes of any content, no more than each has. What is much less is not worth keeping,
    /// and begins anywhere.
    pub fn take(self: &Arc<Self>, len_bytes: usize) -> Buffer {
        let home = Arc::clone(self);
        if self.costs(len_bytes) == len_bytes && len_bytes < self.each_bytes {
            return Buffer { bytes: vec![0; len_bytes], start: 0, home };
        }
        let spare = self.lock().pop();
        let bytes = spare.unwrap_or_else(|| vec![0; self.each_bytes + ALIGNMENT]);
        Buffer { start: bytes.as_ptr().align_offset(ALIGNMENT), bytes, home }
    }

    /// What a buffer for so many bytes takes of the memory.
    pub fn costs(&self, len_bytes: usize) -> usize {
        if len_bytes < self.each_bytes / 2 { len_bytes } else { self.each_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    pub fn first(&mut self, len_bytes: usize) -> &mut [u8] {
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
        if self.bytes.len() == self.home.each_bytes + ALIGNMENT {
            let mut spare = self.home.lock();
            if spare.len() < self.home.most_spare {
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
    fn a_buffer_comes_back_once_its_bytes_are_gone() {
        let buffers = Buffers::new(BUFFER_BYTES, SPARE);
        let mut buffer = buffers.take(BUFFER_BYTES);
        buffer.first(3).copy_from_slice(b"abc");
        let frame = Bytes::from_owner(buffer);
        assert_eq!((&frame[..3], buffers.lock().len()), (&b"abc"[..], 0));
        drop(frame);
        assert_eq!(buffers.lock().len(), 1);
    }

    #[test]
    fn each_begins_where_a_disk_can_take_it_from() {
        let buffers = Buffers::new(BUFFER_BYTES, SPARE);
        for len_bytes in [BUFFER_BYTES / 2, BUFFER_BYTES] {
            assert!(
                buffers.take(len_bytes).first(len_bytes).as_ptr().addr().is_multiple_of(ALIGNMENT)
            );
        }
        assert_eq!(buffers.take(10).bytes.len(), 10, "what is small costs what it is");
    }

    #[test]
    fn only_so_many_are_kept_and_none_that_is_small() {
        let buffers = Buffers::new(BUFFER_BYTES, SPARE);
        drop(buffers.take(10));
        assert_eq!(buffers.lock().len(), 0);
        let many: Vec<Buffer> = (0..2 * SPARE).map(|_| buffers.take(BUFFER_BYTES)).collect();
        drop(many);
        assert_eq!(buffers.lock().len(), SPARE);
    }
}
