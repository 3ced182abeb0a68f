//! The files of bodies.
//!
//! Guarantees: a file is whole and synced before its id is given out; a body that fails leaves no
//! file. It does not know which files the index names.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;

use super::super::received::{Summing, check_len, check_sha256, hex};
use super::super::{Body, ETag, Error, Kind, Result};
use super::allowance::Allowance;
use super::buffers::Buffers;
use super::cached::Cached;
use super::direct::{Blocks, Direct};
use super::disk::blocking;
use super::modes::{Mender, create_directory};
use super::pending_file::PendingFile;
use crate::digest::Sha256;

/// The most that is read at a time.
pub const BUFFER_BYTES: usize = 256 << 10;
const SPARE_BUFFERS: usize = 16;

/// What frames on their way to clients may hold together: 64 full ones. Who finds none left reads
/// less at a time (`read`).
const READING_BYTES: usize = 64 * BUFFER_BYTES;

/// What may be gathered of all bodies together before it is written (`cached`).
const GATHERED_BYTES: usize = 16 << 20;

/// The directories of a store.
#[derive(Debug)]
pub(super) struct Files {
    data: PathBuf,
    incoming: PathBuf,
    /// To read into.
    pub buffers: Arc<Buffers>,
    pub reading: Arc<Allowance>,
    gathering: Arc<Allowance>,
    blocks: Blocks,
}

/// How a body gets into its file.
enum WritePath {
    Direct(Direct),
    Cached(Cached),
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

impl Files {
    /// Makes the store's directory where it is missing, and keeps everybody else out of it. Blocks.
    pub fn open(path: &Path, mender: &mut Mender) -> io::Result<Self> {
        let files = Self {
            data: path.join("data"),
            incoming: path.join("incoming"),
            buffers: Buffers::new(BUFFER_BYTES, SPARE_BUFFERS),
            reading: Allowance::new(READING_BYTES),
            gathering: Allowance::new(GATHERED_BYTES),
            blocks: Blocks::default(),
        };
        create_directory(path)?;
        // At once: what is in there is mended by and by.
        mender.shut(path)?;
        for directory in [&files.incoming, &files.data] {
            create_directory(directory)?;
        }
        sync_directory(path)?;
        Ok(files)
    }

    /// Makes the directories for files where they are missing, and gives them and the files in them
    /// their modes; of a store that has those, only the directories are looked at. Blocks.
    pub fn prepare(&self, mender: &mut Mender) -> io::Result<()> {
        mender.shut(&self.data)?;
        mender.mend(&self.incoming)?;
        self.shards().try_for_each(|shard| mender.mend(&shard))?;
        sync_directory(&self.data)
    }

    fn shards(&self) -> impl Iterator<Item = PathBuf> {
        (0..=255_u8).map(|shard| self.data.join(format!("{shard:02x}")))
    }

    /// Writes a body to a file of its own under `incoming/`. **Durability**: the file is synced;
    /// its name is not before [`Self::sync_names`].
    /// **Cancel**: a dropped future leaves no file. **Errors**: `Body`, `Checksum`, `Full`.
    pub async fn write(
        &self,
        id: String,
        body: Body,
        declared: Option<Sha256>,
        tag: Tag,
    ) -> Result<WrittenFile> {
        let (path, len_bytes) = (self.incoming.join(&id), body.len_bytes());
        let file = Arc::new(
            blocking("creating a file", move || PendingFile::create(path, len_bytes)).await?,
        );
        let direct = self.blocks.begin(&file, len_bytes);
        let way = direct.map_or_else(
            || WritePath::Cached(Cached::begin(&file, &self.gathering)),
            WritePath::Direct,
        );
        let (sha256, md5) = fill(way, body, matches!(tag, Tag::Md5)).await?;
        check_sha256(sha256, declared)?;
        let sync = move || {
            file.file.sync_all()?;
            Ok(file)
        };
        // Comes back only to who still waits; else it is gone.
        let file = blocking("syncing a file", sync).await?;
        let etag = match tag {
            Tag::Md5 => hex(&md5.expect("it was wanted")),
            Tag::Given(tag) => tag,
        };
        file.keep();
        Ok(WrittenFile { id, etag: ETag(etag), sha256 })
    }

    /// Moves a committed file to its place; success where it is there already. Blocks. A crash
    /// before it is caught up when the store is opened.
    pub fn publish(&self, id: &str) -> io::Result<()> {
        match fs::rename(self.incoming.join(id), self.place(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.place(id).exists() => {
                Ok(())
            }
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

    /// Makes it durable that these files are gone: a power cut must not bring back what the index
    /// has forgotten. Blocks.
    pub fn sync_removal(&self, ids: &[String]) -> io::Result<()> {
        let shards: BTreeSet<&str> = ids.iter().map(|id| shard(id)).collect();
        shards.into_iter().try_for_each(|shard| sync_directory(&self.data.join(shard)))
    }

    /// Ids of the files that were being written or had just been committed. Blocks.
    pub fn incoming(&self) -> io::Result<Vec<String>> {
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir(&self.incoming)?.map(name).collect()
    }

    /// Opens a file for reading: in its place, or where it waits to be moved there. Blocks.
    pub fn read(&self, id: &str) -> io::Result<fs::File> {
        let is_missing = |opened: &io::Result<fs::File>| {
            opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        // In its place once more: it may have been moved between the two looks.
        let places = [self.place(id), self.incoming.join(id), self.place(id)];
        let mut looks = places.into_iter().map(fs::File::open);
        looks
            .find(|opened| !is_missing(opened))
            .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
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

/// Writes a body into a file, and tells its digests.
async fn fill(mut way: WritePath, mut body: Body, md5: bool) -> Result<(Sha256, Option<[u8; 16]>)> {
    let wanted = body.len_bytes();
    let (mut summing, mut seen) = (Summing::new(&body, md5), 0);
    while let Some(frame) = body.next().await {
        let frame =
            frame.map_err(|cause| Error::new(Kind::Body, "the body broke off").because(cause))?;
        if frame.is_empty() {
            continue;
        }
        seen += frame.len() as u64;
        if seen > wanted {
            break;
        }
        summing.give(&frame).await;
        match &mut way {
            WritePath::Direct(direct) => direct.give(&frame).await?,
            WritePath::Cached(cached) => cached.give(frame).await?,
        }
    }
    check_len(seen, wanted)?;
    match way {
        WritePath::Direct(direct) => direct.finish().await?,
        WritePath::Cached(cached) => cached.finish().await?,
    }
    summing.finish().await
}
