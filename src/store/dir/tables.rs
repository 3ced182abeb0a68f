//! The tables of the index, and the changes that one transaction makes to them.
//!
//! Guarantees: a change that fails has written nothing, so that it can share a transaction with
//! others; every file that a change lets go is in `garbage` in the same commit, so that a crash
//! never loses track of it.

use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};

use super::super::{
    Bucket, ChosenPart, ETag, Error, Key, Kind, PartNumber, PutMode, Result, UploadId, UploadTarget,
};
use super::rows::{Content, FileRef, ObjectRow, PartRow, UploadRow, from_json, to_json};

/// Name → created, milliseconds since 1970.
pub(super) const BUCKETS: TableDefinition<&str, u64> = TableDefinition::new("buckets");
/// `<bucket>/<key>` → `ObjectRow`. No bucket name holds a `/`, so a bucket's keys stand together,
/// in byte order.
pub(super) const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
pub(super) const UPLOADS: TableDefinition<&str, &[u8]> = TableDefinition::new("uploads");
/// Upload id, part number → `PartRow`.
pub(super) const PARTS: TableDefinition<(&str, u16), &[u8]> = TableDefinition::new("parts");
/// Files that an object or part is made of.
pub(super) const FILES: TableDefinition<&str, ()> = TableDefinition::new("files");
/// Files that nothing is made of any more, until they are removed.
pub(super) const GARBAGE: TableDefinition<&str, ()> = TableDefinition::new("garbage");

/// The tables within one write transaction.
pub(super) struct Tables<'txn> {
    buckets: Table<'txn, &'static str, u64>,
    objects: Table<'txn, &'static str, &'static [u8]>,
    uploads: Table<'txn, &'static str, &'static [u8]>,
    parts: Table<'txn, (&'static str, u16), &'static [u8]>,
    files: Table<'txn, &'static str, ()>,
    garbage: Table<'txn, &'static str, ()>,
    /// Whether this transaction let files go: they are to be removed after the commit.
    pub frees_files: bool,
}

/// What a completed upload becomes.
pub(super) struct Finish {
    pub etag: ETag,
    pub size_bytes: u64,
    pub now_ms: u64,
}

pub(super) fn object_key(bucket: &Bucket, key: &str) -> String {
    format!("{bucket}/{key}")
}

/// An error of the index as the store's error.
pub(super) fn failed(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    if let redb::Error::Io(error) = error {
        return super::disk::disk_error("the index", error);
    }
    Error::new(Kind::Unavailable, "the index failed").because(error)
}

pub(super) fn no_upload(target: UploadTarget<'_>) -> Error {
    Error::new(Kind::NoSuchUpload, format!("no upload {} of {}", target.upload, target.key))
}

/// The row of a part as Complete names it. **Errors**: `InvalidPart`.
pub(super) fn chosen_part(
    table: &impl ReadableTable<(&'static str, u16), &'static [u8]>,
    target: UploadTarget<'_>,
    wanted: &ChosenPart,
) -> Result<PartRow> {
    let row = table.get((target.upload.as_str(), wanted.number.get())).map_err(failed)?;
    let row: Option<PartRow> = row.map(|row| from_json(row.value())).transpose()?;
    let what = || format!("no part {} with the tag {}", wanted.number, wanted.etag);
    row.filter(|row| row.etag == wanted.etag).ok_or_else(|| Error::new(Kind::InvalidPart, what()))
}

impl<'txn> Tables<'txn> {
    /// How many tables an index has.
    pub const COUNT: usize = 6;

    /// Makes the tables of a new index.
    pub fn make(transaction: WriteTransaction) -> Result<()> {
        Tables::open(&transaction)?;
        transaction.commit().map_err(failed)
    }

    pub fn open(transaction: &'txn WriteTransaction) -> Result<Self> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS).map_err(failed)?,
            objects: transaction.open_table(OBJECTS).map_err(failed)?,
            uploads: transaction.open_table(UPLOADS).map_err(failed)?,
            parts: transaction.open_table(PARTS).map_err(failed)?,
            files: transaction.open_table(FILES).map_err(failed)?,
            garbage: transaction.open_table(GARBAGE).map_err(failed)?,
            frees_files: false,
        })
    }

    /// Forgets garbage that has been removed.
    pub fn forget(&mut self, ids: &[String]) -> Result<()> {
        for id in ids {
            self.garbage.remove(id.as_str()).map_err(failed)?;
        }
        Ok(())
    }

    pub fn create_bucket(&mut self, bucket: &Bucket, now_ms: u64) -> Result<()> {
        if self.buckets.get(bucket.as_str()).map_err(failed)?.is_some() {
            return Err(Error::new(Kind::BucketExists, format!("bucket {bucket} exists")));
        }
        self.buckets.insert(bucket.as_str(), now_ms).map_err(failed)?;
        Ok(())
    }

    pub fn delete_bucket(&mut self, bucket: &Bucket) -> Result<()> {
        self.require_bucket(bucket)?;
        let root = object_key(bucket, "");
        let first = self
            .objects
            .range(root.as_str()..)
            .map_err(failed)?
            .next()
            .transpose()
            .map_err(failed)?;
        if first.is_some_and(|(key, _)| key.value().starts_with(&root)) {
            return Err(Error::new(Kind::BucketNotEmpty, format!("bucket {bucket} is not empty")));
        }
        for upload in self.uploads_of(bucket)? {
            self.drop_upload(&upload, &[])?;
        }
        self.buckets.remove(bucket.as_str()).map_err(failed)?;
        Ok(())
    }

    fn uploads_of(&self, bucket: &Bucket) -> Result<Vec<UploadId>> {
        let mut found = Vec::with_capacity(
            usize::try_from(self.uploads.len().map_err(failed)?).unwrap_or(0).min(1024),
        );
        for row in self.uploads.iter().map_err(failed)? {
            let (id, row) = row.map_err(failed)?;
            let row: UploadRow = from_json(row.value())?;
            if row.bucket == bucket.0 {
                found.push(UploadId(id.value().to_owned()));
            }
        }
        Ok(found)
    }

    fn require_bucket(&self, bucket: &Bucket) -> Result<()> {
        let found = self.buckets.get(bucket.as_str()).map_err(failed)?.is_some();
        if found {
            Ok(())
        } else {
            Err(Error::new(Kind::NoSuchBucket, format!("no bucket {bucket}")))
        }
    }

    fn object(&self, key: &str) -> Result<Option<ObjectRow>> {
        let row = self.objects.get(key).map_err(failed)?;
        row.map(|row| ObjectRow::decode(row.value())).transpose()
    }

    /// Stores an object where its condition holds.
    pub fn put(
        &mut self,
        bucket: &Bucket,
        key: &Key,
        mode: &PutMode,
        row: &ObjectRow,
    ) -> Result<()> {
        self.require_bucket(bucket)?;
        let place = object_key(bucket, key.as_str());
        let old = self.object(&place)?;
        match (mode, &old) {
            (PutMode::CreateOnly, Some(_)) => {
                return Err(Error::new(Kind::Precondition, format!("{key} exists")));
            }
            (PutMode::IfMatch(_), None) => {
                return Err(Error::new(Kind::NotFound, format!("no object {key}")));
            }
            (PutMode::IfMatch(tag), Some(old)) if old.etag != *tag => {
                return Err(Error::new(Kind::Precondition, format!("{key} has another tag")));
            }
            (PutMode::Overwrite | PutMode::CreateOnly | PutMode::IfMatch(_), _) => {}
        }
        self.replace(&place, old.as_ref(), row)
    }

    fn replace(&mut self, place: &str, old: Option<&ObjectRow>, row: &ObjectRow) -> Result<()> {
        self.objects.insert(place, row.encode().as_slice()).map_err(failed)?;
        for file in row.files() {
            self.files.insert(file.id.as_str(), ()).map_err(failed)?;
        }
        old.map_or(Ok(()), |old| self.let_go(old.files()))
    }

    fn let_go(&mut self, files: &[FileRef]) -> Result<()> {
        for file in files {
            self.files.remove(file.id.as_str()).map_err(failed)?;
            self.garbage.insert(file.id.as_str(), ()).map_err(failed)?;
            self.frees_files = true;
        }
        Ok(())
    }

    pub fn delete(&mut self, bucket: &Bucket, key: &Key) -> Result<()> {
        self.require_bucket(bucket)?;
        let place = object_key(bucket, key.as_str());
        let Some(old) = self.object(&place)? else { return Ok(()) };
        self.objects.remove(place.as_str()).map_err(failed)?;
        self.let_go(old.files())
    }

    pub fn create_upload(
        &mut self,
        bucket: &Bucket,
        upload: &UploadId,
        row: &UploadRow,
    ) -> Result<()> {
        self.require_bucket(bucket)?;
        self.uploads.insert(upload.as_str(), to_json(row).as_slice()).map_err(failed)?;
        Ok(())
    }

    fn upload(&self, target: UploadTarget<'_>) -> Result<UploadRow> {
        let row = self.uploads.get(target.upload.as_str()).map_err(failed)?;
        let row: Option<UploadRow> = row.map(|row| from_json(row.value())).transpose()?;
        let ours = row.filter(|row| row.bucket == target.bucket.0 && row.key == target.key.0);
        ours.ok_or_else(|| no_upload(target))
    }

    /// Records a part over one of the same number.
    pub fn put_part(
        &mut self,
        target: UploadTarget<'_>,
        number: PartNumber,
        row: &PartRow,
    ) -> Result<()> {
        self.upload(target)?;
        let place = (target.upload.as_str(), number.get());
        let old = self.parts.insert(place, to_json(row).as_slice()).map_err(failed)?;
        let old: Option<PartRow> = old.map(|old| from_json(old.value())).transpose()?;
        self.files.insert(row.file.id.as_str(), ()).map_err(failed)?;
        old.map_or(Ok(()), |old| self.let_go(&[old.file]))
    }

    /// The files that the object will be made of. **Errors**: `InvalidPart`, `TooSmall`,
    /// `NoSuchUpload`.
    pub fn chosen(
        &self,
        target: UploadTarget<'_>,
        parts: &[ChosenPart],
        min_part_bytes: u64,
    ) -> Result<Vec<FileRef>> {
        self.upload(target)?;
        let mut chosen = Vec::with_capacity(parts.len());
        for (at, wanted) in parts.iter().enumerate() {
            let row = chosen_part(&self.parts, target, wanted)?;
            if at + 1 < parts.len() && row.file.len_bytes < min_part_bytes {
                let what = format!(
                    "part {} has {} bytes, fewer than {min_part_bytes}",
                    wanted.number, row.file.len_bytes
                );
                return Err(Error::new(Kind::TooSmall, what));
            }
            chosen.push(row.file);
        }
        Ok(chosen)
    }

    /// Makes the object out of the chosen files; the upload's other parts go.
    pub fn complete(
        &mut self,
        target: UploadTarget<'_>,
        chosen: Vec<FileRef>,
        finish: Finish,
    ) -> Result<()> {
        let upload = self.upload(target)?;
        let total: u64 = chosen.iter().map(|file| file.len_bytes).sum();
        if total != finish.size_bytes {
            let what = format!("the parts have {total} bytes, not {}", finish.size_bytes);
            return Err(Error::new(Kind::InvalidPart, what));
        }
        let place = object_key(target.bucket, target.key.as_str());
        let old = self.object(&place)?;
        let row = ObjectRow {
            etag: finish.etag,
            size_bytes: finish.size_bytes,
            modified_ms: finish.now_ms,
            attributes: upload.attributes,
            content: Content::Files(chosen),
        };
        self.drop_upload(target.upload, row.files())?;
        self.replace(&place, old.as_ref(), &row)
    }

    /// Throws an upload away; success where there is none.
    pub fn abort(&mut self, target: UploadTarget<'_>) -> Result<()> {
        match self.upload(target) {
            Ok(_) => self.drop_upload(target.upload, &[]),
            Err(error) if error.kind() == Kind::NoSuchUpload => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the upload and its parts; files in `kept` stay.
    fn drop_upload(&mut self, upload: &UploadId, kept: &[FileRef]) -> Result<()> {
        let kept: std::collections::HashSet<&str> =
            kept.iter().map(|file| file.id.as_str()).collect();
        let span = (upload.as_str(), 0)..=(upload.as_str(), u16::MAX);
        let mut gone = Vec::new();
        for row in self.parts.extract_from_if(span, |_, _| true).map_err(failed)? {
            let row: PartRow = from_json(row.map_err(failed)?.1.value())?;
            if !kept.contains(row.file.id.as_str()) {
                gone.push(row.file);
            }
        }
        self.uploads.remove(upload.as_str()).map_err(failed)?;
        self.let_go(&gone)
    }
}
