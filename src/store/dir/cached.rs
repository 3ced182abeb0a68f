//! Bodies on their way into their files through the page cache: small ones, and those that cannot
//! go past it (`direct`).
//!
//! Guarantees: frames are written as they came, without a copy of ours. What all bodies have
//! gathered together is bounded: past that a body is written with what it has, so that a thousand
//! slow clients hold no more memory than a hundred.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::super::Result;
use super::allowance::{Allowance, Share};
use super::disk::{blocking, require_room, start_writeback};
use super::pending_file::PendingFile;

/// How much of a body is gathered before it goes to the disk; as much again may come meanwhile.
///
/// Tried in its place, eight at a time on two cores: 256 and 512 KiB, writes that end at multiples
/// of the size, and a write under way while the next is gathered. Chunks took up to a sixth less
/// CPU in one hour and up to 1.7 times as much in another; S3 uploads took up to 1.7 times as much,
/// probably as bodies out of step share fewer lanes for their MD5. The bound of fewer hand-overs, a
/// write on the connection's own thread: 5 to 10 % less CPU, and no less time.
const WRITE_BYTES: usize = 128 << 10;

/// How much the disk gets to write while the rest of a body still comes; else the disk rests until
/// the sync, and the processor during it. Seconds per GiB of chunks of 8 MiB, eight at a time on
/// two cores: all at the sync 1.83, every 512 KiB 1.11, every MiB 1.08, every 2 MiB 1.13; on a disk
/// four times as fast, 128 KiB to 1 MiB alike, 4 MiB 1.1 times as much as that and all at the sync
/// 1.25 times.
///
/// As bodies that come together also sync together, which leaves the processor idle on a slow disk,
/// four of eight at a time were tried: up to 15 % less there, and up to 1.3 times as long where the
/// disk is fast.
const DISK_BYTES: u64 = 1 << 20;

/// A file that is being written.
pub(super) struct Cached {
    file: Arc<PendingFile>,
    gathered: Gathered,
    written_bytes: u64,
    gathering: Arc<Allowance>,
}

/// Frames that wait to be written.
struct Gathered {
    frames: Vec<Bytes>,
    len_bytes: usize,
    /// Of the memory.
    share: Share,
}

impl Cached {
    pub fn begin(file: &Arc<PendingFile>, gathering: &Arc<Allowance>) -> Self {
        let gathering = Arc::clone(gathering);
        Self {
            file: Arc::clone(file),
            gathered: Gathered::nothing(&gathering),
            written_bytes: 0,
            gathering,
        }
    }

    /// Takes the next bytes in.
    pub async fn give(&mut self, frame: Bytes) -> Result<()> {
        if self.gathered.take(frame) { Ok(()) } else { self.write().await }
    }

    /// Everything is written; nothing is synced.
    pub async fn finish(mut self) -> Result<()> {
        if self.gathered.len_bytes > 0 { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<()> {
        let gathered = std::mem::replace(&mut self.gathered, Gathered::nothing(&self.gathering));
        let (file, from) = (Arc::clone(&self.file), self.written_bytes);
        self.written_bytes += gathered.len_bytes as u64;
        let to = self.written_bytes;
        blocking("writing a file", move || {
            file.preallocate(to)?;
            write_all(&file.file, gathered.frames)?;
            start_writeback(&file.file, full(from)..full(to));
            // Only now: until then the frames were there, whoever waited for them.
            drop(gathered.share);
            Ok(())
        })
        .await
    }
}

impl Gathered {
    fn nothing(gathering: &Arc<Allowance>) -> Self {
        Self { frames: Vec::new(), len_bytes: 0, share: gathering.share() }
    }

    /// Whether more can be gathered.
    fn take(&mut self, frame: Bytes) -> bool {
        // A frame of one byte costs more than that.
        let fits = self.share.grow(frame.len() + size_of::<Bytes>());
        self.len_bytes += frame.len();
        self.frames.push(frame);
        fits && self.len_bytes + self.frames.len() * size_of::<Bytes>() < WRITE_BYTES
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
        let slices: Vec<IoSlice<'_>> =
            frames[at..].iter().map(|frame| IoSlice::new(frame)).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(home: &std::path::Path, number: usize, gathering: &Arc<Allowance>) -> Cached {
        let file = PendingFile::create(home.join(number.to_string()), 1 << 20).unwrap();
        Cached::begin(&Arc::new(file), gathering)
    }

    #[tokio::test]
    async fn all_together_gather_no_more_than_they_may() {
        const MOST: usize = 1 << 20;
        let (home, gathering) = (tempfile::tempdir().unwrap(), Allowance::new(MOST));
        let mut bodies: Vec<Cached> =
            (0..100).map(|number| begin(home.path(), number, &gathering)).collect();
        for _ in 0..4 {
            for body in &mut bodies {
                body.give(Bytes::from(vec![7; 16 << 10])).await.unwrap();
                let gathered: usize = body.gathered.len_bytes;
                assert!(gathered + body.written_bytes as usize >= 16 << 10);
            }
            assert!(bodies.iter().map(|body| body.gathered.len_bytes).sum::<usize>() <= MOST);
        }
        assert!(bodies.iter().filter(|body| body.written_bytes > 0).count() >= 36);
        for body in bodies {
            body.finish().await.unwrap();
        }
        for number in 0..100 {
            assert!(
                std::fs::metadata(home.path().join(number.to_string())).is_err(),
                "dropped, so gone"
            );
        }
        assert!(gathering.share().grow(MOST), "what was gathered is written");
    }

    #[tokio::test]
    async fn frames_of_one_byte_count_for_what_they_cost() {
        let (home, gathering) = (tempfile::tempdir().unwrap(), Allowance::new(16 << 20));
        let mut body = begin(home.path(), 0, &gathering);
        for _ in 0..10_000 {
            body.give(Bytes::from_static(b"x")).await.unwrap();
            assert!(body.gathered.frames.len() < WRITE_BYTES / size_of::<Bytes>());
        }
        let file = Arc::clone(&body.file);
        body.finish().await.unwrap();
        assert_eq!(file.file.metadata().unwrap().len(), 10_000);
    }
}
