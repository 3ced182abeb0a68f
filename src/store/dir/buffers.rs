//! Buffers to read files into, used again and again.
//!
//! Guarantees: at most [`SPARE`] wait for use. A buffer that the allocator hands out anew each time costs a page fault
//! for each of its pages: a fifth of a read's CPU. A frame gives its buffer back once it is sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Bytes of one buffer, and so of one read.
pub const BUFFER_BYTES: usize = 256 << 10;

const SPARE: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

/// One buffer.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// So many bytes of any content, [`BUFFER_BYTES`] at most. What is much less is not worth keeping.
    pub fn take(self: &Arc<Self>, len_bytes: usize) -> Buffer {
        let bytes = if len_bytes < BUFFER_BYTES / 2 {
            vec![0; len_bytes]
        } else {
            let spare = self.lock().pop();
            spare.unwrap_or_else(|| vec![0; BUFFER_BYTES])
        };
        Buffer { bytes, home: Arc::clone(self) }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    pub fn first(&mut self, len_bytes: usize) -> &mut [u8] {
        &mut self.bytes[..len_bytes]
    }

    /// Its first bytes, which own it until the last of them is dropped.
    pub fn into_frame(self, len_bytes: usize) -> Bytes {
        Bytes::from_owner(self).slice(..len_bytes)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes.len() == BUFFER_BYTES {
            let mut spare = self.home.lock();
            if spare.len() < SPARE {
                spare.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_once_its_frame_is_gone() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(BUFFER_BYTES);
        buffer.first(3).copy_from_slice(b"abc");
        let frame = buffer.into_frame(3);
        assert_eq!((&frame[..], buffers.lock().len()), (&b"abc"[..], 0));
        drop(frame);
        assert_eq!(buffers.lock().len(), 1);
    }

    #[test]
    fn only_so_many_are_kept_and_none_that_is_small() {
        let buffers = Arc::new(Buffers::default());
        drop(buffers.take(10));
        assert_eq!(buffers.lock().len(), 0);
        let many: Vec<Buffer> = (0..2 * SPARE).map(|_| buffers.take(BUFFER_BYTES)).collect();
        drop(many);
        assert_eq!(buffers.lock().len(), SPARE);
    }
}
