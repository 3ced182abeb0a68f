//! The embedded store: a directory with an ACID index and plain files.
//!
//! Guarantees: a write that returned survives `kill -9` and power loss; a crash at any point leaves
//! the complete old or the complete new object or part, and files that nothing refers to are
//! removed after the store is opened again; a completed object is a list of part files, and a copy
//! shares the files of its source (`copies`). All queued writes are committed together, with one
//! fsync: of the pack that has the small ones among them and the journal (`packs`), now and then of
//! the index too. Other users of the machine cannot read the store (`modes`). A download goes on to
//! its end with the bytes that it began with, although the object is replaced or removed meanwhile
//! (`pins`). It keeps no versions.
//!
//! `snapshot` copies a store in use, `check` compares its index with its files.
//!
//! **Layout**: `index.redb`; `data/<2 hex>/<32 hex>` (bodies of parts and of objects over 64 KiB,
//! and packs of smaller ones);
//! `incoming/<32 hex>` (bodies that are being written, or were committed before a crash and not yet
//! moved); `snapshot.sock` (while it is open). Objects of at most 512 bytes are in the index.
//! **Errors**: `Full` for a full disk; writes succeed again without a restart once there is space.
//! Opening a directory that another process has open is refused.

mod background;
mod buffers;
mod cached;
mod check;
mod copies;
mod direct;
mod disk;
mod extents;
mod files;
mod handle;
mod index;
mod memory_budget;
mod modes;
mod packs;
mod pending_file;
mod pins;
mod read;
mod reaper;
mod replay;
mod shrink;
mod snapshot;
mod tables;
#[cfg(test)]
mod test_store;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::conditions::require_null_version;
use super::received::{free_tag, receive, require_ascending};
use super::{
    Attributes, Body, Bucket, BucketInfo, ByteSpan, ChosenPart, Completion, CopiedPart,
    CopyOptions, CopySource, DeleteOptions, Deleted, Disk, ETag, Error, ExtentPage, GetOptions,
    GetRange, Head, Key, Kind, Limits, ListOptions, Page, PartNumber, PartOptions, PartPage,
    PartTarget, PutOptions, Result, Store, Tags, UploadId, UploadTarget, Written, WrittenPart,
};
use crate::clock::Clock;
use crate::digest::Checksum;

pub use check::{CheckReport, Finding, check, rebuild};
pub use snapshot::{Snapshot, snapshot};

use files::Files;
use index::Index;
use modes::ModeRepair;
use snapshot::Listener;
use tables::{AttributesRow, Content, FileRef, NewObject, ObjectRow, PartRow, Tables, UploadRow};

/// The index's file.
const INDEX: &str = "index.redb";

/// Objects up to this size have no file of their own: JSON documents cost one commit and no file.
const INLINE_BYTES: u64 = 64 << 10;

/// The store. Dropping it waits for queued writes.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    clock: Clock,
    limits: Limits,
    /// Before `index`: it goes first when the store is dropped.
    _snapshots: Option<Listener>,
    files: Arc<Files>,
    index: Index,
}

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is open in another process; stop that process, or choose another directory")]
    InUse(PathBuf),
    #[error(
        "the index of {0} is damaged; `ratchet check --rebuild` makes one of what is left of it"
    )]
    Damaged(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no snapshot of {0} was made")]
    NoSnapshot(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} cannot be written as a snapshot")]
    Target(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("there is no store in {0}, and nothing was created there")]
    NoStore(PathBuf),
    #[error("{path} cannot be opened as a store")]
    Failed {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Dir {
    /// Opens the store, or creates it, and removes what a crash left behind. Blocks.
    pub fn open(path: &Path, clock: Clock) -> std::result::Result<Self, OpenError> {
        Self::with_limits(path, Limits::S3, clock)
    }

    /// As [`Dir::open`], for a store that must exist: creates nothing. **Errors**: `NoStore`.
    pub fn open_existing(path: &Path, clock: Clock) -> std::result::Result<Self, OpenError> {
        if !path.join(INDEX).is_file() {
            return Err(OpenError::NoStore(path.into()));
        }
        Self::open(path, clock)
    }

    /// As [`Dir::open`], with other limits than S3's: tests then need no parts of 5 MiB.
    pub fn with_limits(
        path: &Path,
        limits: Limits,
        clock: Clock,
    ) -> std::result::Result<Self, OpenError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Failed {
            path: path.into(),
            source,
        };
        let mut repair = ModeRepair::default();
        let files = Arc::new(Files::open(path, &mut repair).map_err(|error| failed(error.into()))?);
        let index = Index::open(path, Arc::clone(&files), clock.random_id(), &mut repair)?;
        let (handle, of) = (Arc::clone(index.handle()), Arc::clone(&files));
        let snapshots = Listener::start(path, handle, of, clock.clone());
        Ok(Self { path: path.to_owned(), clock, limits, _snapshots: snapshots, files, index })
    }

    /// The number of files that objects and parts consist of, for checks. `data/` also has those
    /// that are still to be removed.
    pub fn count_files(&self) -> Result<u64> {
        self.index.file_count()
    }

    /// How many of these files are packs, for checks.
    pub fn count_packs(&self) -> Result<u64> {
        self.index.pack_count()
    }

    fn now_ms(&self) -> u64 {
        let since = self.clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[async_trait]
impl Store for Dir {
    fn limits(&self) -> Limits {
        self.limits
    }

    fn disk(&self) -> Option<Disk> {
        disk::disk(&self.path, &self.path.join(INDEX)).ok()
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        let (bucket, now_ms) = (bucket.clone(), self.now_ms());
        // Without a write, so that it also works on a full disk.
        if self.index.require_bucket(&bucket).is_ok() {
            return Err(Error::new(Kind::BucketExists, format!("bucket {bucket} exists")));
        }
        self.index.write(move |tables| tables.create_bucket(&bucket, now_ms)).await
    }

    async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        let bucket = bucket.clone();
        self.index.write(move |tables| tables.delete_bucket(&bucket)).await
    }

    async fn list_buckets(&self) -> Result<Vec<BucketInfo>> {
        self.index.buckets()
    }

    async fn put(
        &self,
        bucket: &Bucket,
        key: &Key,
        body: Body,
        options: PutOptions,
    ) -> Result<Written> {
        self.index.require_bucket(bucket)?;
        let (size_bytes, content, etag, checksum) = if body.len_bytes() <= INLINE_BYTES {
            let received = receive(body, options.sha256, INLINE_BYTES as usize).await?;
            let (etag, bytes) = (ETag(received.md5_hex()), received.bytes);
            let checksum = options.checksum.map(|algorithm| Checksum::of(algorithm, &bytes));
            (bytes.len() as u64, Content::Inline(bytes), etag, checksum)
        } else {
            let (body, checksum) = body.with_checksum(options.checksum);
            let written = self
                .files
                .write(self.clock.random_id(), body, options.sha256, files::Tag::Md5)
                .await?;
            let len_bytes = written.len_bytes;
            let file = FileRef::whole(written.id.clone(), len_bytes);
            (len_bytes, Content::Files(vec![file]), written.etag, checksum.get())
        };
        let row = ObjectRow {
            etag: etag.clone(),
            size_bytes,
            modified_ms: self.now_ms(),
            attributes: AttributesRow::new(options.attributes, checksum.clone()),
            content,
        };
        let (bucket, key, mode) = (bucket.clone(), key.clone(), options.mode);
        let file = row.files().first().map(|file| file.id.clone());
        self.index
            .write_with_file(file, move |tables| tables.put(&bucket, &key, &mode, row))
            .await?;
        Ok(Written { etag, version: None, checksum })
    }

    async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        if options.version.is_some() {
            self.index.require_bucket(bucket)?;
            require_null_version(options.version.as_deref(), key)?;
        }
        let lookup = self.files.pins.lookup();
        let row = self.index.object(bucket, key)?;
        if options.if_match.is_some_and(|tag| tag != row.etag) {
            return Err(Error::new(Kind::Precondition, format!("{key} has another ETag")));
        }
        if options.if_none_match.is_some_and(|tag| tag == row.etag) {
            return Err(Error::new(Kind::NotModified, format!("{key} has the same ETag")));
        }
        let unsatisfiable = || {
            Error::new(
                Kind::Range,
                format!("{key} has {} bytes, and none of the range", row.size_bytes),
            )
        };
        let (first, end) = read.span(row.size_bytes).ok_or_else(unsatisfiable)?;
        let (head, content) = row.into_head(self.clock.wall(), options.checksum);
        let body = read::body(&self.files, content, first, end);
        drop(lookup);
        Ok((head, body))
    }

    async fn delete(&self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<Deleted> {
        let deleted = Deleted { version: options.version.clone(), delete_marker: false };
        let (bucket, key, options) = (bucket.clone(), key.clone(), options.clone());
        self.index.write(move |tables| tables.delete(&bucket, &key, &options)).await?;
        Ok(deleted)
    }

    async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        self.index.list(bucket, options)
    }

    async fn extents(&self, bucket: &Bucket, options: &ListOptions) -> Result<ExtentPage> {
        self.index.extents(bucket, options)
    }

    async fn create_upload(
        &self,
        bucket: &Bucket,
        key: &Key,
        attributes: &Attributes,
    ) -> Result<UploadId> {
        let id = UploadId(self.clock.random_id());
        let row = UploadRow {
            bucket: bucket.to_string(),
            key: key.to_string(),
            attributes: attributes.clone().into(),
            more_files: 0,
        };
        let (bucket, upload) = (bucket.clone(), id.clone());
        self.index.write(move |tables| tables.create_upload(&bucket, &upload, &row)).await?;
        Ok(id)
    }

    async fn put_part(
        &self,
        part: PartTarget<'_>,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        self.index.upload(part.upload)?;
        let tag = free_tag(options).map_or(files::Tag::Md5, files::Tag::Given);
        let written = self.files.write(self.clock.random_id(), body, options.sha256, tag).await?;
        let file = FileRef::whole(written.id.clone(), written.len_bytes);
        let row = PartRow::new(written.etag.clone(), file, written.sha256);
        let (owner, number) = (OwnedTarget::from(part.upload), part.number);
        let write = move |tables: &mut Tables<'_>| tables.put_part(owner.borrow(), number, &row);
        self.index.write_with_file(Some(written.id), write).await?;
        Ok(WrittenPart { etag: written.etag, sha256: written.sha256 })
    }

    async fn list_parts(
        &self,
        upload: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        self.index.list_parts(upload, after)
    }

    async fn complete(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written> {
        require_ascending(parts)?;
        let etag = ETag::of_parts(parts.iter().map(|part| &part.etag));
        let (owner, parts, min, now_ms) =
            (OwnedTarget::from(upload), parts.to_vec(), self.limits.min_part_bytes, self.now_ms());
        let new = NewObject { etag: etag.clone(), completion: completion.clone(), now_ms };
        self.index
            .write(move |tables| {
                let files = tables.chosen_files(owner.borrow(), &parts, min)?;
                tables.complete(owner.borrow(), (&parts, files), new)
            })
            .await?;
        Ok(Written { etag, version: None, checksum: None })
    }

    async fn abort(&self, upload: UploadTarget<'_>) -> Result<()> {
        let owner = OwnedTarget::from(upload);
        self.index.write(move |tables| tables.abort(owner.borrow())).await
    }

    async fn copy(
        &self,
        source: CopySource<'_>,
        bucket: &Bucket,
        key: &Key,
        options: CopyOptions,
    ) -> Result<Option<Written>> {
        copies::copy(self, source, (bucket, key), options).await.map(Some)
    }

    async fn copy_part(
        &self,
        source: CopySource<'_>,
        span: Option<ByteSpan>,
        part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        copies::copy_part(self, source, span, part).await
    }

    async fn read_parts(
        &self,
        upload: UploadTarget<'_>,
        parts: &[ChosenPart],
    ) -> Result<Option<Body>> {
        require_ascending(parts)?;
        let _lookup = self.files.pins.lookup();
        let files = self.index.chosen_files(upload, parts)?;
        let len = files.iter().map(|file| file.len_bytes).sum();
        Ok(Some(read::body(&self.files, Content::Files(files), 0, len)))
    }

    async fn tags(&self, bucket: &Bucket, key: &Key, _version: Option<&str>) -> Result<Tags> {
        self.index.object(bucket, key).map(|row| row.attributes.tags)
    }

    async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
        let (bucket, key, tags) = (bucket.clone(), key.clone(), tags.clone());
        self.index.write(move |tables| tables.set_tags(&bucket, &key, tags)).await
    }
}

/// An owned upload target, for the writer thread.
struct OwnedTarget {
    bucket: Bucket,
    key: Key,
    upload: UploadId,
}

impl From<UploadTarget<'_>> for OwnedTarget {
    fn from(target: UploadTarget<'_>) -> Self {
        Self {
            bucket: target.bucket.clone(),
            key: target.key.clone(),
            upload: target.upload.clone(),
        }
    }
}

impl OwnedTarget {
    fn borrow(&self) -> UploadTarget<'_> {
        UploadTarget { bucket: &self.bucket, key: &self.key, upload: &self.upload }
    }
}
