//! Reading an object's bytes out of its files.
//!
//! Guarantees: one file open and one buffer per body, whatever its length. What all frames on their
//! way hold together is bounded: where that is used up a body is read in small frames, and in very
//! small ones while some of it is not sent yet, of which a connection takes a number ahead. A
//! thousand clients that take nothing cost no more than a hundred. What the page cache holds is
//! read where the body is sent; only what is on the disk alone is waited for, on a thread that may.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;

use super::super::{Body, BodyError};
use super::allowance::Share;
use super::buffers::Buffer;
use super::disk::blocking;
use super::files::{BUFFER_BYTES, Files};
use super::rows::{Content, FileRef};

/// Read at a time where the memory for more is taken.
const SMALL_BYTES: usize = 16 << 10;

/// The same, while the body's last frame is not sent: HTTP connections take up to 16 frames ahead.
const LEAST_BYTES: usize = 1 << 10;

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
    /// Each frame that is not sent yet has it as well.
    unsent: Arc<()>,
}

/// A frame's memory, until it is sent.
struct Unsent {
    buffer: Buffer,
    _share: Share,
    _unsent: Arc<()>,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref()
    }
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
    let reader = Reader { files, stretches, open: None, unsent: Arc::default() };
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

    /// What the page cache has of the next bytes. None where that is nothing, or a file is to be
    /// opened first.
    fn read_cached(&mut self) -> Option<Bytes> {
        let (open, mut memory, len_bytes) = self.turn()?;
        let read =
            cached(&open.file, memory.buffer.first(len_bytes), open.at).filter(|read| *read > 0)?;
        Some(self.frame(memory, read))
    }

    /// The next bytes. Blocks.
    fn read(mut self) -> io::Result<(Bytes, Self)> {
        if self.open.is_none()
            && let Some(stretch) = self.stretches.pop()
        {
            let file = self.files.read(&stretch.file.id)?;
            self.open = Some(Open { file, at: stretch.first, end: stretch.end });
        }
        let Some((open, mut memory, len_bytes)) = self.turn() else {
            return Ok((Bytes::new(), self));
        };
        open.file.read_exact_at(memory.buffer.first(len_bytes), open.at)?;
        Ok((self.frame(memory, len_bytes), self))
    }

    /// The open file, and memory for so many next bytes.
    fn turn(&self) -> Option<(&Open, Unsent, usize)> {
        let open = self.open.as_ref()?;
        let left = usize::try_from(open.end - open.at).unwrap_or(usize::MAX);
        let (len_bytes, share) = self.allowed(left.min(BUFFER_BYTES));
        let buffer = self.files.buffers.take(len_bytes);
        Some((open, Unsent { buffer, _share: share, _unsent: Arc::clone(&self.unsent) }, len_bytes))
    }

    /// How many of so many bytes may be read at a time.
    fn allowed(&self, wanted: usize) -> (usize, Share) {
        let mut share = self.files.reading.share();
        if share.grow(self.files.buffers.costs(wanted)) {
            return (wanted, share);
        }
        let most = if Arc::strong_count(&self.unsent) > 1 { LEAST_BYTES } else { SMALL_BYTES };
        (wanted.min(most), share)
    }

    fn frame(&mut self, memory: Unsent, len_bytes: usize) -> Bytes {
        if let Some(open) = &mut self.open {
            open.at += len_bytes as u64;
        }
        self.open.take_if(|open| open.at == open.end);
        Bytes::from_owner(memory).slice(..len_bytes)
    }
}

/// Reads without waiting for a disk. None: nothing of it is in memory, or the file system cannot
/// say.
#[cfg(target_os = "linux")]
fn cached(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    preadv2(file, &mut [io::IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
fn cached(_file: &File, _buffer: &mut [u8], _at: u64) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::super::modes::Mender;
    use super::*;

    const LEN_BYTES: usize = 1 << 20;
    const ID: &str = "00file";

    /// The frames that a connection takes ahead of a client that reads nothing: hyper's 16, or 192
    /// KiB.
    async fn taken_ahead(body: &mut Body) -> Vec<Bytes> {
        let mut frames: Vec<Bytes> = Vec::new();
        while frames.len() < 16 && frames.iter().map(Bytes::len).sum::<usize>() < 192 << 10 {
            frames.push(body.next().await.unwrap().unwrap());
        }
        frames
    }

    #[tokio::test]
    async fn clients_that_read_nothing_hold_what_all_may_and_little_each() {
        const CLIENTS: usize = 400;
        let home = tempfile::tempdir().unwrap();
        let files = Files::open(home.path(), &mut Mender::default()).unwrap();
        files.prepare(&mut Mender::default()).unwrap();
        let bytes: Vec<u8> = (0..LEN_BYTES).map(|at| (at * 7 % 251) as u8).collect();
        std::fs::write(home.path().join("data/00").join(ID), &bytes).unwrap();
        let files = Arc::new(files);
        let begin = || {
            let file = FileRef { id: ID.to_owned(), len_bytes: LEN_BYTES as u64 };
            body(Arc::clone(&files), Content::Files(vec![file]), 0, LEN_BYTES as u64)
        };
        let mut slow = Vec::new();
        for _ in 0..CLIENTS {
            let mut body = begin();
            slow.push((taken_ahead(&mut body).await, body));
        }
        let held: usize = slow.iter().flat_map(|(frames, _)| frames).map(Bytes::len).sum();
        assert!(held <= 64 * BUFFER_BYTES + CLIENTS * (SMALL_BYTES + 15 * LEAST_BYTES), "{held}");
        // Also read in small frames a body is whole.
        let (mut frames, rest) = slow.pop().unwrap();
        assert!(frames[0].len() == SMALL_BYTES && frames[1].len() == LEAST_BYTES);
        frames.extend(rest.map(|frame| frame.unwrap()).collect::<Vec<Bytes>>().await);
        assert!(frames.concat() == bytes);
        drop(slow);
        let first = begin().next().await.unwrap().unwrap();
        assert_eq!(first.len(), BUFFER_BYTES, "what was held is there again");
    }
}
