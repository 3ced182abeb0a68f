//! Reading an object's bytes out of its files.
//!
//! Guarantees: one open file and one buffer per body, whatever its length; the files that a body
//! still needs are pinned. All frames on their way
//! share bounded memory; without free memory a body is read in smaller frames
//! (docs/decisions/0016-shared-memory-for-slow-clients.md). What the page cache holds is read on
//! the connection's thread; only what is on the disk alone is read on a blocking thread
//! (docs/decisions/0015-cached-reads-in-place.md).

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
use super::memory_budget::Reservation;
use super::pins::Pin;
use super::tables::{Content, FileRef};

/// The size of a read if no memory for more is free.
const SMALL_BYTES: usize = 16 << 10;

/// The same while an earlier frame of the body is not sent: a connection takes up to 16 frames
/// ahead.
const MIN_BYTES: usize = 1 << 10;

/// The bytes `[first, end)` of one file.
struct Section {
    file: Pin,
    first: u64,
    end: u64,
    kind: SectionKind,
}

/// How the file of a section is opened.
#[derive(Clone, Copy)]
enum SectionKind {
    /// For this body alone.
    Own,
    /// A pack, which stays open for others.
    Pack,
}

struct Reader {
    files: Arc<Files>,
    /// In reverse order: the next one is popped.
    sections: Vec<Section>,
    open: Option<OpenSection>,
    /// Cloned into each frame: more than one reference means that a frame is not sent yet.
    unsent: Arc<()>,
}

/// A frame's memory, until the frame is sent.
struct FrameMemory {
    buffer: Buffer,
    _reservation: Reservation,
    _unsent: Arc<()>,
}

impl AsRef<[u8]> for FrameMemory {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_ref()
    }
}

/// The file that is being read; its bytes `[at, end)` are still to be read.
struct OpenSection {
    file: Arc<File>,
    pin: Pin,
    at: u64,
    end: u64,
}

/// The bytes `[first, end)` of an object, which was looked up under [`Pins::lookup`].
///
/// [`Pins::lookup`]: super::pins::Pins::lookup
pub(super) fn body(files: &Arc<Files>, content: Content, first: u64, end: u64) -> Body {
    let refs = match content {
        Content::Inline(bytes) => {
            let (first, end) = (first as usize, end as usize);
            return bytes.slice(first..end).into();
        }
        Content::Packed(body) => return packed(files, &body, first, end),
        Content::Files(refs) => refs,
    };
    let mut at = 0;
    let mut sections = Vec::new();
    for file in refs {
        let (from, to) = (first.max(at), end.min(at + file.len_bytes));
        let start = at;
        at += file.len_bytes;
        if from < to {
            let pin = files.pins.pin(&file.id);
            sections.push(Section {
                file: pin,
                first: file.offset + (from - start),
                end: file.offset + (to - start),
                kind: SectionKind::Own,
            });
        }
    }
    sections.reverse();
    Reader { files: Arc::clone(files), sections, open: None, unsent: Arc::default() }
        .into_body(end - first)
}

/// The bytes `[first, end)` of an object in a pack. They are read at once where the pack is open
/// and the page cache holds them.
fn packed(files: &Arc<Files>, body: &FileRef, first: u64, end: u64) -> Body {
    let len_bytes = end - first;
    if len_bytes == 0 {
        return Body::empty();
    }
    let (first, end) = (body.offset + first, body.offset + end);
    let open = files.packs.get(&body.id);
    if let Some(file) = &open {
        let mut bytes = vec![0; usize::try_from(len_bytes).unwrap_or(usize::MAX)];
        if read_without_waiting(file, &mut bytes, first) == Some(bytes.len()) {
            return bytes.into();
        }
    }
    let file = files.pins.pin(&body.id);
    let section = Section { file, first, end, kind: SectionKind::Pack };
    let sections = vec![section];
    Reader { files: Arc::clone(files), sections, open: None, unsent: Arc::default() }
        .into_body(len_bytes)
}

impl Reader {
    fn into_body(self, len_bytes: u64) -> Body {
        Body::new(len_bytes, stream::try_unfold(self, Self::next))
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>, BodyError> {
        if self.open.is_none() && self.sections.is_empty() {
            return Ok(None);
        }
        if let Some(frame) = self.read_cached() {
            return Ok(Some((frame, self)));
        }
        Ok(Some(blocking("reading a file", move || self.read()).await?))
    }

    /// Those of the next bytes that the page cache holds. None if it holds none of them, or a file
    /// must be opened first.
    fn read_cached(&mut self) -> Option<Bytes> {
        let (open, mut memory, len_bytes) = self.next_read()?;
        let buffer = memory.buffer.prefix_mut(len_bytes);
        let read_bytes =
            read_without_waiting(&open.file, buffer, open.at).filter(|len| *len > 0)?;
        Some(self.frame(memory, read_bytes))
    }

    /// The next bytes. Blocks.
    fn read(mut self) -> io::Result<(Bytes, Self)> {
        if self.open.is_none()
            && let Some(section) = self.sections.pop()
        {
            let Section { file: pin, first: at, end, kind } = section;
            let opened = match kind {
                SectionKind::Own => self.files.read(pin.id()).map(Arc::new),
                SectionKind::Pack => self.files.read_pack(pin.id()),
            };
            let file = opened.map_err(|error| self.files.named(pin.id(), &error))?;
            self.open = Some(OpenSection { file, pin, at, end });
        }
        let Some((open, mut memory, len_bytes)) = self.next_read() else {
            return Ok((Bytes::new(), self));
        };
        let read = open.file.read_exact_at(memory.buffer.prefix_mut(len_bytes), open.at);
        read.map_err(|error| self.files.named(open.pin.id(), &error))?;
        Ok((self.frame(memory, len_bytes), self))
    }

    /// The open file, memory for the next read, and the size of that read.
    fn next_read(&self) -> Option<(&OpenSection, FrameMemory, usize)> {
        let open = self.open.as_ref()?;
        let remaining = usize::try_from(open.end - open.at).unwrap_or(usize::MAX);
        let (len_bytes, reservation) = self.reserve(remaining.min(BUFFER_BYTES));
        let memory = FrameMemory {
            buffer: self.files.buffers.take(len_bytes),
            _reservation: reservation,
            _unsent: Arc::clone(&self.unsent),
        };
        Some((open, memory, len_bytes))
    }

    /// Reserves memory for so many bytes, or for fewer. Returns how many may be read.
    fn reserve(&self, max_bytes: usize) -> (usize, Reservation) {
        let mut reservation = self.files.read_budget.reservation();
        if reservation.try_grow(self.files.buffers.allocated_bytes(max_bytes)) {
            return (max_bytes, reservation);
        }
        let small = if Arc::strong_count(&self.unsent) > 1 { MIN_BYTES } else { SMALL_BYTES };
        (max_bytes.min(small), reservation)
    }

    fn frame(&mut self, memory: FrameMemory, len_bytes: usize) -> Bytes {
        if let Some(open) = &mut self.open {
            open.at += len_bytes as u64;
        }
        self.open.take_if(|open| open.at == open.end);
        Bytes::from_owner(memory).slice(..len_bytes)
    }
}

/// Reads from the page cache. None if it holds nothing of the range, or the file system cannot
/// tell.
#[cfg(target_os = "linux")]
fn read_without_waiting(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};
    preadv2(file, &mut [io::IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
fn read_without_waiting(_file: &File, _buffer: &mut [u8], _at: u64) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::super::modes::ModeRepair;
    use super::super::tables::FileRef;
    use super::*;

    const LEN_BYTES: usize = 1 << 20;
    const ID: &str = "00file";

    /// The frames that hyper takes ahead for a client that reads nothing: 16, or 192 KiB.
    async fn taken_ahead(body: &mut Body) -> Vec<Bytes> {
        let mut frames: Vec<Bytes> = Vec::new();
        while frames.len() < 16 && frames.iter().map(Bytes::len).sum::<usize>() < 192 << 10 {
            frames.push(body.next().await.unwrap().unwrap());
        }
        frames
    }

    #[tokio::test]
    async fn clients_that_read_nothing_share_bounded_memory() {
        const CLIENTS: usize = 400;
        let home = tempfile::tempdir().unwrap();
        let files = Files::open(home.path(), &mut ModeRepair::default()).unwrap();
        files.prepare(&mut ModeRepair::default()).unwrap();
        let bytes: Vec<u8> = (0..LEN_BYTES).map(|at| (at * 7 % 251) as u8).collect();
        std::fs::write(home.path().join("data/00").join(ID), &bytes).unwrap();
        let files = Arc::new(files);
        let begin = || {
            let file = FileRef::whole(ID.to_owned(), LEN_BYTES as u64);
            body(&files, Content::Files(vec![file]), 0, LEN_BYTES as u64)
        };
        let mut slow = Vec::new();
        for _ in 0..CLIENTS {
            let mut body = begin();
            slow.push((taken_ahead(&mut body).await, body));
        }
        let held: usize = slow.iter().flat_map(|(frames, _)| frames).map(Bytes::len).sum();
        assert!(held <= 64 * BUFFER_BYTES + CLIENTS * (SMALL_BYTES + 15 * MIN_BYTES), "{held}");
        // A body that is read in small frames is complete.
        let (mut frames, rest) = slow.pop().unwrap();
        assert!(frames[0].len() == SMALL_BYTES && frames[1].len() == MIN_BYTES);
        frames.extend(rest.map(|frame| frame.unwrap()).collect::<Vec<Bytes>>().await);
        assert!(frames.concat() == bytes);
        drop(slow);
        let first = begin().next().await.unwrap().unwrap();
        assert_eq!(first.len(), BUFFER_BYTES, "the memory is free again");
    }
}
