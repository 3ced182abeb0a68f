//! The tables of multipart uploads and their parts.
//!
//! Guarantees: a part exists only with its upload; a completed upload's files become the object's,
//! and those of its other parts are released.

use std::collections::HashSet;

use redb::{ReadableTable, TableDefinition};

use super::super::super::{
    Bucket, ChosenPart, Completion, ETag, Error, Kind, PartNumber, Result, UploadId, UploadTarget,
};
use super::object_row::{Content, ObjectRow};
use super::rows::{FileRef, PartRow, UploadRow, from_json, to_json};
use super::{Tables, index_error, object_key};

/// Upload id → `UploadRow`.
pub(in super::super) const UPLOADS: TableDefinition<&str, &[u8]> = TableDefinition::new("uploads");
/// Upload id, part number → `PartRow`.
pub(in super::super) const PARTS: TableDefinition<(&str, u16), &[u8]> =
    TableDefinition::new("parts");

/// What the object of a completed upload gets beside its bytes and attributes.
pub(in super::super) struct NewObject {
    pub etag: ETag,
    pub completion: Completion,
    pub now_ms: u64,
}

pub(in super::super) fn no_upload(target: UploadTarget<'_>) -> Error {
    Error::new(Kind::NoSuchUpload, format!("no upload {} of {}", target.upload, target.key))
}

/// The row of a part as Complete names it. **Errors**: `InvalidPart`.
pub(in super::super) fn chosen_part(
    table: &impl ReadableTable<(&'static str, u16), &'static [u8]>,
    target: UploadTarget<'_>,
    chosen: &ChosenPart,
) -> Result<PartRow> {
    let row = table.get((target.upload.as_str(), chosen.number.get())).map_err(index_error)?;
    let row: Option<PartRow> = row.map(|row| from_json(row.value())).transpose()?;
    let what = || format!("no part {} with the ETag {}", chosen.number, chosen.etag);
    row.filter(|row| row.etag == chosen.etag).ok_or_else(|| Error::new(Kind::InvalidPart, what()))
}

impl Tables<'_> {
    /// **Errors**: `NoSuchBucket`.
    pub fn create_upload(
        &mut self,
        bucket: &Bucket,
        upload: &UploadId,
        row: &UploadRow,
    ) -> Result<()> {
        self.require_bucket(bucket)?;
        self.uploads.insert(upload.as_str(), to_json(row).as_slice())?;
        Ok(())
    }

    pub(super) fn upload(&self, target: UploadTarget<'_>) -> Result<UploadRow> {
        let row = self.uploads.get(target.upload.as_str()).map_err(index_error)?;
        let row: Option<UploadRow> = row.map(|row| from_json(row.value())).transpose()?;
        row.filter(|row| row.is_of(target)).ok_or_else(|| no_upload(target))
    }

    /// Records a part, replacing one of the same number. **Errors**: `NoSuchUpload`.
    pub fn put_part(
        &mut self,
        target: UploadTarget<'_>,
        number: PartNumber,
        row: &PartRow,
    ) -> Result<()> {
        self.upload(target)?;
        let row_key = (target.upload.as_str(), number.get());
        let old = self.parts.insert_over(row_key, to_json(row).as_slice(), |old| from_json(old))?;
        let old: Option<PartRow> = old.transpose()?;
        self.add_files(row.files())?;
        old.map_or(Ok(()), |old| self.release_files(old.files()))
    }

    /// The files that the object will consist of. **Errors**: `InvalidPart`, `TooSmall`,
    /// `NoSuchUpload`.
    pub fn chosen_files(
        &self,
        target: UploadTarget<'_>,
        parts: &[ChosenPart],
        min_part_bytes: u64,
    ) -> Result<Vec<FileRef>> {
        self.upload(target)?;
        let mut files = Vec::with_capacity(parts.len());
        for (at, part) in parts.iter().enumerate() {
            let row = chosen_part(&*self.parts, target, part)?;
            if at + 1 < parts.len() && row.len_bytes() < min_part_bytes {
                let what = format!(
                    "part {} has {} bytes, fewer than {min_part_bytes}",
                    part.number,
                    row.len_bytes()
                );
                return Err(Error::new(Kind::TooSmall, what));
            }
            files.extend(row.files().cloned());
        }
        Ok(files)
    }

    /// Makes the object out of the files of the chosen parts, and releases those of the upload's
    /// other parts.
    /// **Errors**: `InvalidPart` if the files do not have the expected size together,
    /// `NoSuchUpload`, and those of the condition.
    pub fn complete(
        &mut self,
        target: UploadTarget<'_>,
        (parts, files): (&[ChosenPart], Vec<FileRef>),
        new: NewObject,
    ) -> Result<()> {
        let upload = self.upload(target)?;
        let total: u64 = files.iter().map(|file| file.len_bytes).sum();
        let size_bytes = new.completion.size_bytes;
        if total != size_bytes {
            let what = format!("the parts have {total} bytes, not {size_bytes}");
            return Err(Error::new(Kind::InvalidPart, what));
        }
        let row_key = object_key(target.bucket, target.key.as_str());
        let old = self.object(&row_key)?;
        new.completion.mode.check(old.as_ref().map(|old| &old.etag), target.key)?;
        let row = ObjectRow {
            etag: new.etag,
            size_bytes,
            modified_ms: new.now_ms,
            attributes: upload.attributes,
            content: Content::Files(files),
        };
        let chosen: HashSet<u16> = parts.iter().map(|part| part.number.get()).collect();
        self.remove_upload(target.upload, |number| chosen.contains(&number))?;
        self.replace(&row_key, old.as_ref(), &row)
    }

    /// Removes an upload and its parts; success if there is none.
    pub fn abort(&mut self, target: UploadTarget<'_>) -> Result<()> {
        match self.upload(target) {
            Ok(_) => self.remove_upload(target.upload, |_| false),
            Err(error) if error.kind() == Kind::NoSuchUpload => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes the upload and its parts, and releases the files of the parts that do not become the
    /// object's.
    pub(super) fn remove_upload(
        &mut self,
        upload: &UploadId,
        becomes_object: impl Fn(u16) -> bool,
    ) -> Result<()> {
        let span = (upload.as_str(), 0)..=(upload.as_str(), u16::MAX);
        let mut released = Vec::new();
        self.parts.remove_range(span, |(_, number), row| {
            if !becomes_object(number) {
                let row: PartRow = from_json(row)?;
                released.extend(row.files().cloned());
            }
            Ok(())
        })?;
        self.uploads.remove(upload.as_str())?;
        self.release_files(&released)
    }
}
