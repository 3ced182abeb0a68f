//! The files of bodies.
//!
//! Guarantees: a file is whole and synced before its id is given out; a body that fails leaves no file.
//! It does not know which files the index names.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, IoSlice, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;

use super::super::received::{Summing, check_len, check_sha256, hex};
use super::super::{Body, ETag, Error, Kind, Result};
use super::buffers::Buffers;
use super::disk::{begin_writing, blocking, require_room, set_aside};
use crate::digest::Sha256;

/// How much of a body is gathered before it goes to the disk; as much again may come meanwhile.
///
/// Tried in its place, eight at a time on two cores: 256 and 512 KiB, writes that end at multiples of the size, and a
/// write under way while the next is gathered. Chunks took up to a sixth less CPU in one hour and up to 1.7 times as much
/// in another; S3 uploads took up to 1.7 times as much, probably as bodies out of step share fewer lanes for their MD5.
/// The bound of fewer hand-overs, a write on the connection's own thread: 5 to 10 % less CPU, and no less time.
/// Past the page cache (`O_DIRECT`), 256 or 512 KiB at a time: 1.4 times as long.
const WRITE_BYTES: usize = 128 << 10;

/// How much the disk gets to write while the rest of a body still comes; else the disk rests until the sync, and the
/// processor during it. Seconds per GiB of chunks of 8 MiB, eight at a time on two cores: all at the sync 1.83, every
/// 512 KiB 1.11, every MiB 1.08, every 2 MiB 1.13; on a disk four times as fast, 128 KiB to 1 MiB alike, 4 MiB 1.1 times as
/// much as that and all at the sync 1.25 times.
///
/// As bodies that come together also sync together, which leaves the processor idle on a slow disk, four of eight at a
/// time were tried: up to 15 % less there, and up to 1.3 times as long where the disk is fast.
const DISK_BYTES: u64 = 1 << 20;

/// What a body has of the disk before it comes: enough for usual parts, and all that a client who never sends can hold.
const ASIDE_BYTES: u64 = 64 << 20;

/// The directories of a store.
#[derive(Debug)]
pub(super) struct Files {
    data: PathBuf,
    incoming: PathBuf,
    pub buffers: Arc<Buffers>,
}

/// How a file gets its tag.
pub(super) enum Tag {
    /// As S3 tools expect of a whole object.
    Md5,
    /// Costs nothing.
    Given(String),
}

/// A body on disk.
pub(super) struct WrittenFile {
    pub id: String,
    pub etag: ETag,
    pub sha256: Sha256,
}

/// Removes a file that was not finished.
struct Unfinished(Option<PathBuf>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // Should it stay, opening the store removes it.
            fs::remove_file(path).ok();
        }
    }
}

impl Files {
    /// Makes the directories where they are missing. Blocks.
    pub fn open(path: &Path) -> io::Result<Self> {
        let files = Self { data: path.join("data"), incoming: path.join("incoming"), buffers: Arc::default() };
        fs::create_dir_all(&files.incoming)?;
        for shard in 0..=255_u8 {
            fs::create_dir_all(files.data.join(format!("{shard:02x}")))?;
        }
        for dir in [path, &files.data] {
            sync_directory(dir)?;
        }
        Ok(files)
    }

    /// Writes a body to a file of its own under `incoming/`. **Durability**: the file is synced; its name is not before
    /// [`Self::sync_names`].
    /// **Cancel**: a dropped future leaves no file. **Errors**: `Body`, `Checksum`, `Full`.
    pub async fn write(&self, id: String, body: Body, declared: Option<Sha256>, tag: Tag) -> Result<WrittenFile> {
        let (path, len_bytes) = (self.incoming.join(&id), body.len_bytes());
        let mut unfinished = Unfinished(Some(path.clone()));
        let create = move || {
            let file = fs::File::create(path)?;
            // Before the first byte: what does not fit is not begun.
            require_room(&file, len_bytes)?;
            set_aside(&file, len_bytes.min(ASIDE_BYTES))?;
            Ok(file)
        };
        let file = blocking("creating a file", create).await?;
        let (file, sha256, md5) = fill(file, body, matches!(tag, Tag::Md5)).await?;
        check_sha256(sha256, declared)?;
        blocking("syncing a file", move || file.sync_all()).await?;
        let etag = match tag {
            Tag::Md5 => hex(&md5.expect("it was wanted")),
            Tag::Given(tag) => tag,
        };
        unfinished.0 = None;
        Ok(WrittenFile { id, etag: ETag(etag), sha256 })
    }

    /// Moves a committed file to its place; success where it is there already. Blocks. A crash before it is caught up
    /// when the store is opened.
    pub fn settle(&self, id: &str) -> io::Result<()> {
        match fs::rename(self.incoming.join(id), self.place(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.place(id).exists() => Ok(()),
            moved => moved,
        }
    }

    /// Removes a file wherever it is; success where it is gone. Blocks.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        // In this order: the writer may move it to its place between the two.
        for path in [self.incoming.join(id), self.place(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Makes it durable that these files are gone: a power cut must not bring back what the index has forgotten. Blocks.
    pub fn sync_removal(&self, ids: &[String]) -> io::Result<()> {
        let shards: BTreeSet<&str> = ids.iter().map(|id| shard(id)).collect();
        shards.into_iter().try_for_each(|shard| sync_directory(&self.data.join(shard)))
    }

    /// Ids of the files that were being written or had just been committed. Blocks.
    pub fn incoming(&self) -> io::Result<Vec<String>> {
        let name =
            |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
        fs::read_dir(&self.incoming)?.map(name).collect()
    }

    /// Opens a file for reading: in its place, or where it waits to be moved there. Blocks.
    pub fn read(&self, id: &str) -> io::Result<fs::File> {
        let is_missing =
            |opened: &io::Result<_>| matches!(opened, Err(error) if error.kind() == io::ErrorKind::NotFound);
        // In its place once more: it may have been moved between the two looks.
        let places = [self.place(id), self.incoming.join(id), self.place(id)];
        let mut looks = places.into_iter().map(fs::File::open);
        looks.find(|opened| !is_missing(opened)).unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
    }

    /// Makes the names of the files that were written durable. Blocks.
    pub fn sync_names(&self) -> io::Result<()> {
        sync_directory(&self.incoming)
    }

    fn place(&self, id: &str) -> PathBuf {
        self.data.join(shard(id)).join(id)
    }
}

/// Makes durable which names are in a directory.
fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn shard(id: &str) -> &str {
    id.get(..2).unwrap_or("00")
}

/// Writes a body to the end of a file, frame by frame as they came, without a copy.
async fn fill(mut file: fs::File, mut body: Body, md5: bool) -> Result<(fs::File, Sha256, Option<[u8; 16]>)> {
    let wanted = body.len_bytes();
    let (mut summing, mut seen) = (Summing::new(&body, md5), 0);
    let (mut gathered, mut gathered_bytes) = (Vec::new(), 0);
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|cause| Error::new(Kind::Body, "the body broke off").because(cause))?;
        if frame.is_empty() {
            continue;
        }
        seen += frame.len() as u64;
        if seen > wanted {
            break;
        }
        summing.give(&frame).await;
        gathered_bytes += frame.len();
        gathered.push(frame);
        if gathered_bytes >= WRITE_BYTES || seen == wanted {
            let frames = std::mem::take(&mut gathered);
            let written = seen - gathered_bytes as u64..seen;
            file = blocking("writing a file", move || {
                let file = write_all(file, frames)?;
                begin_writing(&file, full(written.start)..full(written.end));
                Ok(file)
            })
            .await?;
            gathered_bytes = 0;
        }
    }
    check_len(seen, wanted)?;
    let (sha256, md5) = summing.finish().await?;
    Ok((file, sha256, md5))
}

/// The bytes among so many that the disk begins with before the sync.
fn full(len_bytes: u64) -> u64 {
    len_bytes - len_bytes % DISK_BYTES
}

fn write_all(mut file: fs::File, mut frames: Vec<Bytes>) -> io::Result<fs::File> {
    require_room(&file, 0)?;
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
    Ok(file)
}
