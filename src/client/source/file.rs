//! Reads a local file in chunks, and detects that the file changed meanwhile.
//!
//! Guarantees: a change of the file's size, times or identity since it was opened is detected. A
//! chunk that is sent is read once, into memory: the gateway needs its digest before its bytes, and
//! a retry must send exactly the bytes that were hashed. A chunk that is only compared is never
//! completely in memory.

use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, OFlags, memfd_create};

use super::Chunk;
use crate::client::{Error, Result, chunking::Chunking, error::chunk_too_large};
use crate::digest::{ChunkDigests, ChunkHasher, Kind, RunningSha256};

/// The size of one read of a chunk that is only hashed.
const READ_BYTES: usize = 256 << 10;

/// A regular file that is open for reading.
#[derive(Clone, Debug)]
pub(in crate::client) struct FileSource {
    file: Arc<File>,
    path: PathBuf,
    /// Whether the path names it.
    has_name: bool,
    opened: FileState,
    chunking: Chunking,
}

/// The attributes by which a change of a file is detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileState {
    size: u64,
    device: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileSource {
    /// Opens a file, to be read in chunks of the requested size or more.
    pub fn open(path: &Path, requested_chunk_size: u64) -> Result<Self> {
        // Opening a FIFO would wait for its writer.
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let file = file.map_err(Error::io(path, "cannot be opened"))?;
        let meta = file.metadata().map_err(Error::io(path, "its attributes cannot be read"))?;
        if !meta.is_file() {
            return Err(Error::WrongUse(format!(
                "{0} is not a regular file; to back up what can be read from it, write `ratchet \
                 backup - TARGET < {0}`",
                path.display()
            )));
        }
        Ok(Self {
            file: Arc::new(file),
            path: path.to_owned(),
            has_name: true,
            opened: FileState::of(&meta),
            chunking: Chunking::for_upload(meta.len(), requested_chunk_size),
        })
    }

    /// Bytes that are in no file, such as the target of a link.
    pub fn of_bytes(bytes: &[u8], requested_chunk_size: u64) -> Result<Self> {
        let path = Path::new("memory");
        let failed = || Error::io(path, "no room for a few bytes can be had");
        let memory = memfd_create("ratchet", MemfdFlags::CLOEXEC);
        let file = File::from(memory.map_err(|error| failed()(error.into()))?);
        file.write_all_at(bytes, 0).map_err(failed())?;
        let meta = file.metadata().map_err(failed())?;
        Ok(Self {
            file: Arc::new(file),
            path: path.to_owned(),
            has_name: false,
            opened: FileState::of(&meta),
            chunking: Chunking::for_upload(meta.len(), requested_chunk_size),
        })
    }

    /// The attributes of the open file.
    pub fn metadata(&self) -> Result<Metadata> {
        self.file.metadata().map_err(Error::io(&self.path, "its attributes cannot be read"))
    }

    pub fn chunking(&self) -> Chunking {
        self.chunking
    }

    /// Reads one chunk into memory. **Errors**: `SourceChanged` if the file has become shorter.
    pub async fn read(&self, index: u64) -> Result<Chunk> {
        let offset = self.chunking.offset_of(index);
        let len = usize::try_from(self.chunking.len_of(index)).map_err(|_| chunk_too_large())?;
        let bytes = self
            .read_blocking(move |file| {
                let mut bytes = vec![0; len];
                file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
            })
            .await?;
        Ok(Chunk { index, offset, bytes })
    }

    /// Hashes one chunk, in small reads. **Errors**: as for `read`.
    pub async fn digests(&self, index: u64, kind: Kind) -> Result<ChunkDigests> {
        let (offset, len) = (self.chunking.offset_of(index), self.chunking.len_of(index));
        self.read_blocking(move |file| {
            let mut hasher = ChunkHasher::new(Some(kind), offset);
            let mut buffer = vec![0; READ_BYTES];
            for position in (0..len).step_by(READ_BYTES) {
                let read = &mut buffer[..READ_BYTES.min((len - position) as usize)];
                file.read_exact_at(read, offset + position)?;
                hasher.update(read);
            }
            Ok(hasher.finish())
        })
        .await
    }

    /// Reads on a thread that is allowed to block.
    async fn read_blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&File) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let file = Arc::clone(&self.file);
        let read = tokio::task::spawn_blocking(move || read(&file));
        match read.await.map_err(std::io::Error::other).flatten() {
            Ok(value) => Ok(value),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Error::SourceChanged(self.path.clone()))
            }
            Err(error) => Err(Error::io(&self.path, "cannot be read")(error)),
        }
    }

    /// **Errors**: `SourceChanged` if the open file, or the file that now has its name, is not as
    /// it was when it was opened.
    pub fn require_unchanged(&self) -> Result<()> {
        let open =
            self.file.metadata().map_err(Error::io(&self.path, "its attributes cannot be read"))?;
        let named = match std::fs::metadata(&self.path) {
            _ if !self.has_name => open.clone(),
            Ok(named) => named,
            Err(_) => return Err(Error::SourceChanged(self.path.clone())),
        };
        if FileState::of(&open) == self.opened && FileState::of(&named) == self.opened {
            return Ok(());
        }
        Err(Error::SourceChanged(self.path.clone()))
    }

    /// The default file id: the SHA-256 of the size, the first and the last chunk
    /// (docs/architecture.md#same-file-or-another).
    pub async fn file_id(&self) -> Result<String> {
        let Some(last) = self.chunking.count().checked_sub(1) else {
            return Ok(self.file_id_of(&[], &[]));
        };
        Ok(self.file_id_of(&self.read(0).await?.bytes, &self.read(last).await?.bytes))
    }

    /// The same of a file of one chunk that was read.
    pub fn file_id_of_only_chunk(&self, chunk: &[u8]) -> String {
        self.file_id_of(chunk, chunk)
    }

    fn file_id_of(&self, first: &[u8], last: &[u8]) -> String {
        let mut hash = RunningSha256::default();
        hash.update(&self.chunking.size().to_le_bytes());
        hash.update(first);
        hash.update(last);
        hash.finish().hex()
    }
}

impl FileState {
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

    #[tokio::test]
    async fn a_change_of_the_file_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"hello world").unwrap();
        let source = FileSource::open(&path, 4).unwrap();
        assert_eq!(source.chunking().count(), 3);
        assert_eq!(source.read(2).await.unwrap().bytes.as_ref(), b"rld");
        source.require_unchanged().unwrap();
        let id = source.file_id().await.unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"!").unwrap();
        assert!(matches!(source.require_unchanged(), Err(Error::SourceChanged(_))));
        assert_ne!(FileSource::open(&path, 4).unwrap().file_id().await.unwrap(), id);
        std::fs::write(&path, b"x").unwrap();
        assert!(matches!(source.read(2).await, Err(Error::SourceChanged(_))));
    }
}
