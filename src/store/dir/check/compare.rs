//! Index against files.
//!
//! Guarantees: on a store in use only what is true is reported: files are listed before the index
//! is copied, and none is removed until the comparison is done.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable};

use super::super::super::Result;
use super::super::disk::disk_error;
use super::super::files::Places;
use super::super::handle::CACHE_BYTES;
use super::super::packs::record_bytes;
use super::super::replay::replay;
use super::super::snapshot::ask;
use super::super::tables::{
    Content, FILES, FileRef, GARBAGE, OBJECTS, ObjectRow, PACKS, PARTS, PartRow, SHARED, UPLOADS,
    UploadRow, from_json, index_error, open_if_there,
};
use super::super::{INDEX, OpenError};
use super::{CheckReport, Finding};

/// Compares the index of the store in this directory with its files, and calls `on_finding` for
/// whatever is not in order. Blocks. **Errors**: `NoStore`; `Damaged` if the index cannot be read.
pub fn check(
    directory: &Path,
    on_finding: &mut dyn FnMut(&Finding),
) -> std::result::Result<CheckReport, OpenError> {
    if !directory.join(INDEX).is_file() {
        return Err(OpenError::NoStore(directory.into()));
    }
    let failed = |source| OpenError::Failed { path: directory.into(), source };
    let places = Places::of(directory);
    let listed = list(&places).map_err(|error| failed(error.into()))?;
    let report = match ask(directory).map_err(|error| failed(error.into()))? {
        Some(offer) => {
            let path = places.incoming.join(&offer.index);
            let copy = Builder::new().set_cache_size(CACHE_BYTES).open_read_only(path);
            let index = copy
                .map_err(redb::Error::from)
                .and_then(|copy| copy.begin_read().map_err(redb::Error::from))
                .map_err(|error| failed(error.into()))?;
            let report = compare(&index, &places, &listed, on_finding);
            offer.release();
            report
        }
        None => compare(&open(directory)?.transaction, &places, &listed, on_finding),
    };
    report.map_err(|error| failed(error.into()))
}

/// An index that this process alone has open.
pub(super) struct OpenIndex {
    // Before the database: it goes first.
    pub transaction: ReadTransaction,
    _database: Database,
}

/// Opens an index that no process uses, and takes over its journal. Every page's checksum is
/// verified. **Errors**: `InUse`, `Damaged`.
pub(super) fn open(directory: &Path) -> std::result::Result<OpenIndex, OpenError> {
    let damaged = |source: Box<dyn std::error::Error + Send + Sync>| {
        OpenError::Damaged(directory.into(), source)
    };
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    // redb panics where a page that it trusts is not what it should be.
    let opened = catch_unwind(AssertUnwindSafe(|| builder.open(directory.join(INDEX))));
    let database = match opened {
        Ok(Ok(database)) => database,
        Ok(Err(redb::DatabaseError::DatabaseAlreadyOpen)) => {
            return Err(OpenError::InUse(directory.into()));
        }
        Ok(Err(error)) => return Err(damaged(error.into())),
        Err(_) => return Err(damaged("its pages make no sense".into())),
    };
    replay(&database, &Places::of(directory)).map_err(|error| damaged(error.into()))?;
    let transaction = database.begin_read().map_err(|error| damaged(error.into()))?;
    Ok(OpenIndex { transaction, _database: database })
}

/// The files below `data/`, with their lengths.
pub(super) fn list(places: &Places) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for shard in places.shards() {
        let entries = match fs::read_dir(&shard) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(metadata) => {
                    files.push((entry.file_name().to_string_lossy().into_owned(), metadata.len()));
                }
                // Removed in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}

/// The comparison under way.
struct Comparison<'a> {
    places: &'a Places,
    report: CheckReport,
    on_finding: &'a mut dyn FnMut(&Finding),
    /// How many rows refer to each file.
    references: HashMap<String, u64>,
    /// How many bytes of each pack rows refer to.
    live_bytes: HashMap<String, u64>,
    /// The lengths of packs.
    lengths: HashMap<String, Option<u64>>,
}

/// Where a file belongs.
struct Owner<'a> {
    bucket: &'a str,
    key: &'a str,
    upload: Option<&'a str>,
    parts: Option<u64>,
}

/// Compares one commit of the index with the files of a store, of which `listed` were there before
/// the commit was read.
pub(super) fn compare(
    index: &ReadTransaction,
    places: &Places,
    listed: &[(String, u64)],
    on_finding: &mut dyn FnMut(&Finding),
) -> Result<CheckReport> {
    let report = CheckReport::default();
    let (references, live_bytes, lengths) = (HashMap::new(), HashMap::new(), HashMap::new());
    let mut comparison = Comparison { places, report, on_finding, references, live_bytes, lengths };
    comparison.objects(index)?;
    comparison.parts(index)?;
    comparison.packs(index)?;
    comparison.counts(index)?;
    comparison.left_over(index, listed)?;
    comparison.report.files = (comparison.references.len() + comparison.live_bytes.len()) as u64;
    Ok(comparison.report)
}

impl Comparison<'_> {
    fn found(&mut self, finding: &Finding) {
        self.report.count(finding);
        (self.on_finding)(finding);
    }

    fn objects(&mut self, index: &ReadTransaction) -> Result<()> {
        let table = index.open_table(OBJECTS).map_err(index_error)?;
        for row in table.iter().map_err(index_error)? {
            let (row_key, row) = row.map_err(index_error)?;
            self.report.objects += 1;
            let decoded = ObjectRow::decode(row.value()).ok();
            let (Some(row), Some((bucket, key))) = (decoded, row_key.value().split_once('/'))
            else {
                self.found(&Finding::Row { table: "objects", key: row_key.value().to_owned() });
                continue;
            };
            let parts = Some(row.places().len() as u64);
            let owner = Owner { bucket, key, upload: None, parts };
            match &row.content {
                Content::Inline(_) => {}
                Content::Packed(body) => self.packed(&owner, row_key.value(), body)?,
                Content::Files(files) => {
                    for (at, file) in files.iter().enumerate() {
                        self.file(&owner, at as u64 + 1, file)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn parts(&mut self, index: &ReadTransaction) -> Result<()> {
        let uploads = index.open_table(UPLOADS).map_err(index_error)?;
        let table = index.open_table(PARTS).map_err(index_error)?;
        for row in table.iter().map_err(index_error)? {
            let (row_key, row) = row.map_err(index_error)?;
            let (upload, number) = row_key.value();
            self.report.parts += 1;
            let owner = uploads.get(upload).map_err(index_error)?;
            let owner = owner.and_then(|row| from_json::<UploadRow>(row.value()).ok());
            let (Some(owner), Ok(row)) = (owner, from_json::<PartRow>(row.value())) else {
                let key = format!("{upload} {number}");
                self.found(&Finding::Row { table: "parts", key });
                continue;
            };
            let UploadRow { bucket, key, .. } = &owner;
            let owner = Owner { bucket, key, upload: Some(upload), parts: None };
            for file in row.files() {
                self.file(&owner, u64::from(number), file)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, owner: &Owner<'_>, part: u64, file: &FileRef) -> Result<()> {
        *self.references.entry(file.id.clone()).or_default() += 1;
        let found_bytes = length(self.places, &file.id)?;
        self.is_whole(owner, part, file, found_bytes);
        Ok(())
    }

    fn packed(&mut self, owner: &Owner<'_>, row_key: &str, body: &FileRef) -> Result<()> {
        let bytes = record_bytes(row_key, body.len_bytes);
        *self.live_bytes.entry(body.id.clone()).or_default() += bytes;
        let found_bytes = match self.lengths.get(&body.id) {
            Some(known) => *known,
            None => {
                let found = length(self.places, &body.id)?;
                *self.lengths.entry(body.id.clone()).or_insert(found)
            }
        };
        self.is_whole(owner, 1, body, found_bytes);
        Ok(())
    }

    /// Reports a file that does not have the bytes that are needed of it.
    fn is_whole(&mut self, owner: &Owner<'_>, part: u64, file: &FileRef, found_bytes: Option<u64>) {
        let needed_bytes = file.offset + file.len_bytes;
        if found_bytes.is_none_or(|found| found < needed_bytes) {
            self.found(&Finding::Lost {
                bucket: owner.bucket.to_owned(),
                key: owner.key.to_owned(),
                part,
                upload: owner.upload.map(str::to_owned),
                parts: owner.parts,
                file: name(&file.id),
                needed_bytes,
                found_bytes,
            });
        }
    }

    /// Compares the index's counts of packs with the rows.
    fn packs(&mut self, index: &ReadTransaction) -> Result<()> {
        let mut wrong = Vec::new();
        let mut left = self.live_bytes.clone();
        if let Some(packs) = open_if_there(index, PACKS)? {
            for row in packs.iter().map_err(index_error)? {
                let (id, counts) = row.map_err(index_error)?;
                let (id, (counted_bytes, _)) = (id.value(), counts.value());
                let rows_bytes = left.remove(id).unwrap_or(0);
                if counted_bytes != rows_bytes {
                    wrong.push(Finding::Pack { file: name(id), counted_bytes, rows_bytes });
                }
                // A pack without anything alive is no left-over file as long as it is known.
                self.live_bytes.entry(id.to_owned()).or_default();
            }
        }
        let unknown = left.into_iter().map(|(id, rows_bytes)| Finding::Pack {
            file: name(&id),
            counted_bytes: 0,
            rows_bytes,
        });
        wrong.extend(unknown);
        wrong.iter().for_each(|finding| self.found(finding));
        Ok(())
    }

    /// Compares the index's own books with the rows.
    fn counts(&mut self, index: &ReadTransaction) -> Result<()> {
        let files = index.open_table(FILES).map_err(index_error)?;
        // An index of an older version has no copies.
        let shared = open_if_there(index, SHARED)?;
        let mut wrong = Vec::new();
        for (id, rows) in &self.references {
            let more = shared.as_ref().map(|shared| shared.get(id.as_str())).transpose();
            let more = more.map_err(index_error)?.flatten().map_or(0, |row| row.value());
            let is_known = files.get(id.as_str()).map_err(index_error)?.is_some();
            let counted = if is_known { 1 + more } else { 0 };
            if counted != *rows {
                wrong.push(Finding::Count { file: name(id), counted, rows: *rows });
            }
        }
        for row in files.iter().map_err(index_error)? {
            let row = row.map_err(index_error)?;
            let id = row.0.value();
            if !self.references.contains_key(id) && !self.live_bytes.contains_key(id) {
                wrong.push(Finding::Count { file: name(id), counted: 1, rows: 0 });
            }
        }
        wrong.iter().for_each(|finding| self.found(finding));
        Ok(())
    }

    fn left_over(&mut self, index: &ReadTransaction, listed: &[(String, u64)]) -> Result<()> {
        let garbage = index.open_table(GARBAGE).map_err(index_error)?;
        for (id, bytes) in listed {
            let is_needed = self.references.contains_key(id)
                || self.live_bytes.contains_key(id)
                || garbage.get(id.as_str()).map_err(index_error)?.is_some();
            // What is gone by now was garbage that has been removed.
            if !is_needed && self.places.data_path(id).exists() {
                self.found(&Finding::LeftOver { file: name(id), bytes: *bytes });
            }
        }
        Ok(())
    }
}

/// The length of a file, wherever it is. None if it is nowhere.
pub(super) fn length(places: &Places, id: &str) -> Result<Option<u64>> {
    match places.find(id, |path| fs::metadata(path)) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk_error("looking for a file", error)),
    }
}

/// A file's path within the store's directory.
fn name(id: &str) -> String {
    Places::of(Path::new("")).data_path(id).display().to_string()
}
