//! Bodies on their way into their files through the page cache: small ones, and those that cannot go past it (`direct`).
//!
//! Guarantees: frames are written as they came, without a copy of ours.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::super::Result;
use super::disk::{begin_writing, blocking, require_room};
use super::unfinished::Unfinished;

/// How much of a body is gathered before it goes to the disk; as much again may come meanwhile.
///
/// Tried in its place, eight at a time on two cores: 256 and 512 KiB, writes that end at multiples of the size, and a
/// write under way while the next is gathered. Chunks took up to a sixth less CPU in one hour and up to 1.7 times as much
/// in another; S3 uploads took up to 1.7 times as much, probably as bodies out of step share fewer lanes for their MD5.
/// The bound of fewer hand-overs, a write on the connection's own thread: 5 to 10 % less CPU, and no less time.
const WRITE_BYTES: usize = 128 << 10;

/// How much the disk gets to write while the rest of a body still comes; else the disk rests until the sync, and the
/// processor during it. Seconds per GiB of chunks of 8 MiB, eight at a time on two cores: all at the sync 1.83, every
/// 512 KiB 1.11, every MiB 1.08, every 2 MiB 1.13; on a disk four times as fast, 128 KiB to 1 MiB alike, 4 MiB 1.1 times as
/// much as that and all at the sync 1.25 times.
///
/// As bodies that come together also sync together, which leaves the processor idle on a slow disk, four of eight at a
/// time were tried: up to 15 % less there, and up to 1.3 times as long where the disk is fast.
const DISK_BYTES: u64 = 1 << 20;

/// A file that is being written.
pub(super) struct Cached {
    file: Arc<Unfinished>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    written_bytes: u64,
}

impl Cached {
    pub fn begin(file: &Arc<Unfinished>) -> Self {
        Self { file: Arc::clone(file), gathered: Vec::new(), gathered_bytes: 0, written_bytes: 0 }
    }

    /// Takes the next bytes in.
    pub async fn give(&mut self, frame: Bytes) -> Result<()> {
        self.gathered_bytes += frame.len();
        self.gathered.push(frame);
        if self.gathered_bytes >= WRITE_BYTES { self.write().await } else { Ok(()) }
    }

    /// Everything is written; nothing is synced.
    pub async fn finish(mut self) -> Result<()> {
        if self.gathered_bytes > 0 { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<()> {
        let (file, frames) = (Arc::clone(&self.file), std::mem::take(&mut self.gathered));
        let from = self.written_bytes;
        self.written_bytes += std::mem::take(&mut self.gathered_bytes) as u64;
        let to = self.written_bytes;
        blocking("writing a file", move || {
            file.set_aside(to)?;
            write_all(&file.file, frames)?;
            begin_writing(&file.file, full(from)..full(to));
            Ok(())
        })
        .await
    }
}

/// The bytes among so many that the disk begins with before the sync.
fn full(len_bytes: u64) -> u64 {
    len_bytes - len_bytes % DISK_BYTES
}

fn write_all(mut file: &File, mut frames: Vec<Bytes>) -> io::Result<()> {
    require_room(file, 0)?;
    let mut at = 0;
    while at < frames.len() {
        let slices: Vec<IoSlice<'_>> = frames[at..].iter().map(|frame| IoSlice::new(frame)).collect();
        let mut written = match file.write_vectored(&slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        while at < frames.len() && written >= frames[at].len() {
            written -= frames[at].len();
            at += 1;
        }
        if let Some(frame) = frames.get_mut(at) {
            frame.advance(written);
        }
    }
    Ok(())
}
