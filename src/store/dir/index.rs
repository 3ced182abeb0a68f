//! The index as its readers and writers see it: opening, lookups, and changes through the writer
//! thread.
//!
//! Guarantees: a reader sees complete commits only. Opening completes what a crash interrupted
//! (`handle`).

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::super::listing::page_of;
use super::super::{
    Bucket, BucketInfo, ChosenPart, Error, Key, Kind, ListOptions, Page, PartNumber, PartPage,
    Result, StoredPart, UploadTarget,
};
use super::OpenError;
use super::files::Files;
use super::handle::Handle;
use super::modes::ModeRepair;
use super::tables::{
    BUCKETS, FILES, FileRef, OBJECTS, ObjectRow, PACKS, PARTS, PartRow, Tables, UPLOADS, UploadRow,
    chosen_part, from_json, index_error, listed, no_upload, object_key,
};
use super::writer::Writer;
use crate::digest::Sha256;

/// Parts per page of a listing.
const PART_PAGE: usize = 1000;

#[derive(Debug)]
pub(super) struct Index {
    handle: Arc<Handle>,
    writer: Writer,
}

impl Index {
    /// Opens or creates the index of a directory, and completes what a crash interrupted; `seed` is
    /// random, for the ids of packs. Blocks.
    pub fn open(
        path: &Path,
        files: Arc<Files>,
        seed: String,
        repair: &mut ModeRepair,
    ) -> std::result::Result<Self, OpenError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Failed {
            path: path.into(),
            source,
        };
        let handle = Handle::open(path.join(super::INDEX)).map_err(|error| {
            if matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
                return OpenError::InUse(path.into());
            }
            failed(error.into())
        })?;
        // While the index is locked: no other process adds files.
        files.prepare(repair).map_err(|error| failed(error.into()))?;
        handle.create_tables().map_err(|error| failed(error.into()))?;
        handle.replay(files.places()).map_err(|error| failed(error.into()))?;
        let incoming = files.incoming().map_err(|error| failed(error.into()))?;
        handle.reconcile_files(&files, &incoming).map_err(|error| failed(error.into()))?;
        handle.shrink();
        let handle = Arc::new(handle);
        let writer = Writer::start(Arc::clone(&handle), files, seed)
            .map_err(|error| failed(error.into()))?;
        Ok(Self { handle, writer })
    }

    pub fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Runs a change on the writer thread and returns once it is committed. A change that fails
    /// must not have written anything. **Cancel**: a queued change still happens.
    pub async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(None, change).await
    }

    /// As `write`, for a change that refers to a new file; the file is removed if the change fails.
    pub async fn write_with_file<T: Send + 'static>(
        &self,
        file: Option<String>,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.run(file, change).await
    }

    pub(super) fn read(&self) -> Result<ReadTransaction> {
        // The writer reopens the index, also if no change is queued.
        self.handle.read().inspect_err(|_| self.writer.wake())
    }

    pub fn file_count(&self) -> Result<u64> {
        self.read()?.open_table(FILES).map_err(index_error)?.len().map_err(index_error)
    }

    pub fn pack_count(&self) -> Result<u64> {
        self.read()?.open_table(PACKS).map_err(index_error)?.len().map_err(index_error)
    }

    pub fn buckets(&self) -> Result<Vec<BucketInfo>> {
        let table = self.read()?.open_table(BUCKETS).map_err(index_error)?;
        let rows = table.iter().map_err(index_error)?;
        rows.map(|row| {
            let (name, created_ms) = row.map_err(index_error)?;
            let created = UNIX_EPOCH + Duration::from_millis(created_ms.value());
            Ok(BucketInfo { bucket: name.value().into(), created })
        })
        .collect()
    }

    pub fn require_bucket(&self, bucket: &Bucket) -> Result<()> {
        let table = self.read()?.open_table(BUCKETS).map_err(index_error)?;
        let row = table.get(bucket.as_str()).map_err(index_error)?;
        row.map(|_| ()).ok_or_else(|| Error::new(Kind::NoSuchBucket, format!("no bucket {bucket}")))
    }

    pub fn object(&self, bucket: &Bucket, key: &Key) -> Result<ObjectRow> {
        let table = self.read()?.open_table(OBJECTS).map_err(index_error)?;
        let row = table.get(object_key(bucket, key.as_str()).as_str()).map_err(index_error)?;
        match row {
            Some(row) => ObjectRow::decode(row.value()),
            None => {
                self.require_bucket(bucket)?;
                Err(Error::new(Kind::NotFound, format!("no object {key}")))
            }
        }
    }

    pub fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        self.require_bucket(bucket)?;
        let table = self.read()?.open_table(OBJECTS).map_err(index_error)?;
        let root = object_key(bucket, "");
        let mut rows = None;
        page_of(options, |from| {
            let rows = match &mut rows {
                // `page_of` excludes only the row that this range returned last.
                Some(rows) if matches!(from, Bound::Excluded(_)) => rows,
                rows => {
                    let from = from.map(|key| object_key(bucket, key));
                    let from = (from.as_ref().map(String::as_str), Bound::Unbounded);
                    rows.insert(table.range::<&str>(from).map_err(index_error)?)
                }
            };
            let Some((key, row)) = rows.next().transpose().map_err(index_error)? else {
                return Ok(None);
            };
            let key = key.value().strip_prefix(&root).map(Key::from);
            key.map(|key| listed(key, row.value())).transpose()
        })
    }

    /// The upload's row. **Errors**: `NoSuchUpload`.
    pub fn upload(&self, target: UploadTarget<'_>) -> Result<UploadRow> {
        let table = self.read()?.open_table(UPLOADS).map_err(index_error)?;
        let row = table.get(target.upload.as_str()).map_err(index_error)?;
        let row: Option<UploadRow> = row.map(|row| from_json(row.value())).transpose()?;
        row.filter(|row| row.is_of(target)).ok_or_else(|| no_upload(target))
    }

    pub fn list_parts(
        &self,
        target: UploadTarget<'_>,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        self.upload(target)?;
        let table = self.read()?.open_table(PARTS).map_err(index_error)?;
        let first = after.map_or(0, |after| after.get() + 1);
        let upload = target.upload.as_str();
        let rows = table.range((upload, first)..=(upload, PartNumber::MAX)).map_err(index_error)?;
        let mut page = PartPage::default();
        for row in rows {
            if page.parts.len() == PART_PAGE {
                page.next = page.parts.last().map(|part| part.number);
                break;
            }
            let (key, row) = row.map_err(index_error)?;
            let row: PartRow = from_json(row.value())?;
            let number = PartNumber::new(u32::from(key.value().1));
            let number = number
                .ok_or_else(|| Error::unavailable("a part in the index has an invalid number"))?;
            let sha256 = Sha256::from_hex(&row.sha256);
            page.parts.push(StoredPart {
                number,
                size_bytes: row.len_bytes(),
                etag: row.etag,
                sha256,
            });
        }
        Ok(page)
    }

    /// The files of an upload's chosen parts. **Errors**: `InvalidPart`, `NoSuchUpload`.
    pub fn chosen_files(
        &self,
        target: UploadTarget<'_>,
        parts: &[ChosenPart],
    ) -> Result<Vec<FileRef>> {
        self.upload(target)?;
        let table = self.read()?.open_table(PARTS).map_err(index_error)?;
        let mut files = Vec::with_capacity(parts.len());
        for part in parts {
            files.extend(chosen_part(&table, target, part)?.files().cloned());
        }
        Ok(files)
    }
}
