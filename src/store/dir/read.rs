//! Reading an object's bytes out of its files.
//!
//! Guarantees: one file open and one buffer per body, whatever its length. What the page cache holds is read where the
//! body is sent; only what is on the disk alone is waited for, on a thread that may.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;

use super::super::{Body, BodyError};
use super::buffers::Buffer;
use super::disk::blocking;
use super::files::{BUFFER_BYTES, Files};
use super::rows::{Content, FileRef};

/// A stretch of one file.
struct Stretch {
    file: FileRef,
    first: u64,
    end: u64,
}

struct Reader {
    files: Arc<Files>,
    /// In reverse order, so that the next one is popped.
    stretches: Vec<Stretch>,
    open: Option<Open>,
}

/// The file that is being read: the bytes `[at, end)` of it are still to come.
struct Open {
    file: File,
    at: u64,
    end: u64,
}

/// The bytes `[first, end)` of an object.
pub(super) fn body(files: Arc<Files>, content: Content, first: u64, end: u64) -> Body {
    let refs = match content {
        Content::Inline(bytes) => {
            let (first, end) = (first as usize, end as usize);
            return Bytes::from(bytes).slice(first..end).into();
        }
        Content::Files(refs) => refs,
    };
    let mut at = 0;
    let mut stretches = Vec::new();
    for file in refs {
        let (from, to) = (first.max(at), end.min(at + file.len_bytes));
        let start = at;
        at += file.len_bytes;
        if from < to {
            stretches.push(Stretch { file, first: from - start, end: to - start });
        }
    }
    stretches.reverse();
    let reader = Reader { files, stretches, open: None };
    Body::new(end - first, stream::try_unfold(reader, Reader::next))
}

impl Reader {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BodyError> {
        if self.open.is_none() && self.stretches.is_empty() {
            return Ok(None);
        }
        if let Some(frame) = self.read_cached() {
            return Ok(Some((frame, self)));
        }
        Ok(Some(blocking("reading a file", move || self.read()).await?))
    }

    /// What the page cache has of the next bytes. None where that is nothing, or a file is to be opened first.
    fn read_cached(&mut self) -> Option<Bytes> {
        let (open, mut buffer, len_bytes) = self.turn()?;
        let read = cached(&open.file, buffer.first(len_bytes), open.at).filter(|read| *read > 0)?;
        Some(self.frame(buffer, read))
    }

    /// The next bytes. Blocks.
    fn read(mut self) -> io::Result<(Bytes, Self)> {
        if self.open.is_none()
            && let Some(stretch) = self.stretches.pop()
        {
            let file = self.files.read(&stretch.file.id)?;
            self.open = Some(Open { file, at: stretch.first, end: stretch.end });
        }
        let Some((open, mut buffer, len_bytes)) = self.turn() else { return Ok((Bytes::new(), self)) };
        open.file.read_exact_at(buffer.first(len_bytes), open.at)?;
        Ok((self.frame(buffer, len_bytes), self))
    }

    /// The open file, and a buffer for so many next bytes.
    fn turn(&self) -> Option<(&Open, Buffer, usize)> {
        let open = self.open.as_ref()?;
        let len_bytes = usize::try_from(open.end - open.at).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES));
        Some((open, self.files.buffers.take(len_bytes), len_bytes))
    }

    fn frame(&mut self, buffer: Buffer, len_bytes: usize) -> Bytes {
        if let Some(open) = &mut self.open {
            open.at += len_bytes as u64;
        }
        self.open.take_if(|open| open.at == open.end);
        buffer.into_frame(len_bytes)
    }
}

/// Reads without waiting for a disk. None: nothing of it is in memory, or the file system cannot say.
#[cfg(target_os = "linux")]
fn cached(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    preadv2(file, &mut [io::IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
fn cached(_file: &File, _buffer: &mut [u8], _at: u64) -> Option<usize> {
    None
}
