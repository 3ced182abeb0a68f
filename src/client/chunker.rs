//! A local file in chunks.
//!
//! Guarantees: a chunk is read whole or not at all; a file whose size, times or identity change
//! while it is read is noticed. A chunk that is sent is read once, into memory: it is hashed before
//! (the gateway wants its digest first), and a retry must send the very bytes that were hashed. One
//! that is only compared is never in memory whole.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{Error, Result};
use crate::digest::{ChunkDigests, ChunkHasher, Kind, RunningSha256};

/// S3 allows so many parts; with one chunk each nothing has to be staged.
const MAX_CHUNKS: u64 = 10_000;
/// What is read at once of a chunk that is only hashed.
const PIECE_BYTES: usize = 256 << 10;

/// A file as it was when it was opened.
#[derive(Clone, Debug)]
pub(super) struct Chunker {
    file: Arc<File>,
    path: PathBuf,
    state: State,
    pub chunk_size: u64,
}

/// What tells that a file is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    size: u64,
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The chunk size for a file: as asked for, doubled until it fits the store's parts.
pub(super) fn chunk_size_for(size: u64, asked: u64) -> u64 {
    let mut chunk_size = asked.max(1);
    while size.div_ceil(chunk_size) > MAX_CHUNKS {
        chunk_size *= 2;
    }
    chunk_size
}

impl Chunker {
    pub fn open(path: &Path, chunk_size: u64) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path, "cannot be opened"))?;
        let meta = file.metadata().map_err(Error::io(path, "cannot be looked at"))?;
        if !meta.is_file() {
            return Err(Error::WrongUse(format!("{} is not a regular file", path.display())));
        }
        let chunk_size = chunk_size_for(meta.len(), chunk_size);
        Ok(Self {
            file: Arc::new(file),
            path: path.to_owned(),
            state: State::of(&meta),
            chunk_size,
        })
    }

    pub fn size(&self) -> u64 {
        self.state.size
    }

    pub fn chunks(&self) -> u64 {
        self.state.size.div_ceil(self.chunk_size)
    }

    /// The bytes of one chunk. **Errors**: `Changed` where the file has become shorter.
    pub async fn read(&self, index: u64) -> Result<Bytes> {
        let (start, len) = self.place(index);
        let len = usize::try_from(len)
            .map_err(|_| Error::WrongUse("chunks of that size do not fit in memory".into()))?;
        self.aside(move |file| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, start).map(|()| Bytes::from(bytes))
        })
        .await
    }

    /// The digests of one chunk, read in small pieces. **Errors**: as `read`.
    pub async fn digests(&self, index: u64, kind: Kind) -> Result<ChunkDigests> {
        let (start, len) = self.place(index);
        self.aside(move |file| {
            let mut hasher = ChunkHasher::new(Some(kind), start);
            let mut piece = vec![0; PIECE_BYTES];
            for at in (0..len).step_by(PIECE_BYTES) {
                let piece = &mut piece[..PIECE_BYTES.min((len - at) as usize)];
                file.read_exact_at(piece, start + at)?;
                hasher.update(piece);
            }
            Ok(hasher.finish())
        })
        .await
    }

    /// Where one chunk begins, and how long it is.
    fn place(&self, index: u64) -> (u64, u64) {
        let start = index * self.chunk_size;
        (start, self.chunk_size.min(self.state.size.saturating_sub(start)))
    }

    /// Reads on a thread that may wait.
    async fn aside<T: Send + 'static>(
        &self,
        read: impl FnOnce(&File) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || read(&file));
        match read.await.map_err(std::io::Error::other).flatten() {
            Ok(read) => Ok(read),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Error::Changed(self.path.clone()))
            }
            Err(error) => Err(Error::io(&self.path, "cannot be read")(error)),
        }
    }

    /// Fails if the file, or what is under its name now, is not what was opened.
    pub fn require_unchanged(&self) -> Result<()> {
        let open = self.file.metadata().map_err(Error::io(&self.path, "cannot be looked at"))?;
        let named = std::fs::metadata(&self.path).map_err(|_| Error::Changed(self.path.clone()))?;
        if State::of(&open) == self.state && State::of(&named) == self.state {
            return Ok(());
        }
        Err(Error::Changed(self.path.clone()))
    }

    /// The default file id: SHA-256 of size, first and last chunk (DESIGN §12.11).
    pub async fn file_id(&self) -> Result<String> {
        let mut hash = RunningSha256::default();
        hash.update(&self.state.size.to_le_bytes());
        if let Some(last) = self.chunks().checked_sub(1) {
            hash.update(&self.read(0).await?);
            hash.update(&self.read(last).await?);
        }
        Ok(hash.finish().hex())
    }
}

impl State {
    fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            size: meta.len(),
            device: meta.dev(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn chunks_double_until_the_file_fits() {
        let mib8 = 8 << 20;
        assert_eq!(chunk_size_for(0, mib8), mib8);
        assert_eq!(chunk_size_for(mib8 * 10_000, mib8), mib8);
        assert_eq!(chunk_size_for(mib8 * 10_000 + 1, mib8), 2 * mib8);
    }

    #[tokio::test]
    async fn a_change_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello world").unwrap();
        let chunker = Chunker::open(&path, 4).unwrap();
        assert_eq!(
            (chunker.chunks(), chunker.read(2).await.unwrap().as_ref()),
            (3, b"rld".as_ref())
        );
        chunker.require_unchanged().unwrap();
        let id = chunker.file_id().await.unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
        assert!(matches!(chunker.require_unchanged(), Err(Error::Changed(_))));
        assert_ne!(Chunker::open(&path, 4).unwrap().file_id().await.unwrap(), id);
        std::fs::write(&path, b"x").unwrap();
        assert!(matches!(chunker.read(2).await, Err(Error::Changed(_))));
    }
}
