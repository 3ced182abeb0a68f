//! Makes the index of a store anew: from its rows if it can be read, else from those of its pages
//! that still make sense (`salvage`).
//!
//! Guarantees: the old index stays, under the name in the report; the new one is complete and
//! durable before it takes its place; files are neither removed nor changed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, ReadTransaction, ReadableTable};

use super::super::super::Result;
use super::super::files::{Places, sync_directory};
use super::super::handle::CACHE_BYTES;
use super::super::modes::create_file;
use super::super::packs::Appending;
use super::super::tables::{
    BUCKETS, GARBAGE, OBJECTS, ObjectRow, PACKS, PARTS, PartRow, Tables, UPLOADS, UploadRow,
    from_json, index_error, open_if_there,
};
use super::super::{INDEX, OpenError};
use super::compare::{OpenIndex, compare, length, list, open};
use super::salvage::salvage;
use super::{CheckReport, Finding};

/// Makes the index of the store in this directory anew, compares it with the files as `check` does,
/// and returns what that comparison saw. Blocks. **Errors**: `NoStore`, `InUse`.
pub fn rebuild(
    directory: &Path,
    on_finding: &mut dyn FnMut(&Finding),
) -> std::result::Result<CheckReport, OpenError> {
    let index = directory.join(INDEX);
    if !index.is_file() {
        return Err(OpenError::NoStore(directory.into()));
    }
    let failed = |source| OpenError::Failed { path: directory.into(), source };
    let io_failed = |error: io::Error| failed(error.into());
    let places = Places::of(directory);
    // Locked until the new index has its place.
    let old = lock(directory)?;
    let new = directory.join("index.redb.new");
    remove_if_there(&new).map_err(io_failed)?;
    create_file(&new).map_err(io_failed)?;
    let mut unreadable = 0;
    let mut on_row = |finding: &Finding| {
        unreadable += 1;
        on_finding(finding);
    };
    write(&old, &places, &new, &mut on_row).map_err(|error| failed(error.into()))?;
    let aside = unused_name(directory);
    fs::rename(&index, &aside).map_err(io_failed)?;
    fs::rename(&new, &index).map_err(io_failed)?;
    sync_directory(directory).map_err(io_failed)?;
    let salvaged = matches!(old, Old::Damaged(_));
    drop(old);
    let listed = list(&places).map_err(io_failed)?;
    let report = compare(&open(directory)?.transaction, &places, &listed, on_finding);
    let mut report = report.map_err(|error| failed(error.into()))?;
    report.unreadable_rows += unreadable;
    report.old_index = aside.file_name().map(|name| name.to_string_lossy().into_owned());
    report.salvaged = salvaged;
    Ok(report)
}

/// The index to make a new one of; no other process can open it.
enum Old {
    Readable(OpenIndex),
    Damaged(File),
}

fn lock(directory: &Path) -> std::result::Result<Old, OpenError> {
    match open(directory) {
        Ok(index) => Ok(Old::Readable(index)),
        Err(OpenError::Damaged(..)) => {
            let failed = |error: io::Error| OpenError::Failed {
                path: directory.into(),
                source: error.into(),
            };
            let opened = OpenOptions::new().read(true).write(true).open(directory.join(INDEX));
            let file = opened.map_err(failed)?;
            match file.try_lock() {
                Ok(()) => Ok(Old::Damaged(file)),
                Err(TryLockError::WouldBlock) => Err(OpenError::InUse(directory.into())),
                Err(TryLockError::Error(error)) => Err(failed(error)),
            }
        }
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `index.redb.old-1`, or the first of the following numbers that is free.
fn unused_name(directory: &Path) -> PathBuf {
    let mut names = (1_u32..).map(|number| directory.join(format!("{INDEX}.old-{number}")));
    names.find(|path| !path.exists()).unwrap_or_else(|| directory.join("index.redb.old"))
}

/// Writes all rows into the new index, in one commit.
fn write(old: &Old, places: &Places, new: &Path, on_row: &mut dyn FnMut(&Finding)) -> Result<()> {
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(new);
    let database = database.map_err(index_error)?;
    let transaction = database.begin_write().map_err(index_error)?;
    {
        let mut tables = Tables::open(&transaction, Appending::default())?;
        match old {
            Old::Readable(index) => copy_rows(&index.transaction, &mut tables, on_row)?,
            Old::Damaged(file) => copy_salvaged(file, places, &mut tables)?,
        }
        tables.restore_pack_lengths(|id| length(places, id))?;
    }
    transaction.commit().map_err(index_error)?;
    database.close().map_err(index_error)
}

fn copy_rows(
    from: &ReadTransaction,
    to: &mut Tables<'_>,
    on_row: &mut dyn FnMut(&Finding),
) -> Result<()> {
    for row in from.open_table(BUCKETS).map_err(index_error)?.iter().map_err(index_error)? {
        let (name, created_ms) = row.map_err(index_error)?;
        to.restore_bucket(name.value(), created_ms.value())?;
    }
    for row in from.open_table(OBJECTS).map_err(index_error)?.iter().map_err(index_error)? {
        let (key, row) = row.map_err(index_error)?;
        match ObjectRow::decode(row.value()) {
            Ok(row) => to.restore_object(key.value(), &row)?,
            Err(_) => on_row(&Finding::Row { table: "objects", key: key.value().to_owned() }),
        }
    }
    for row in from.open_table(UPLOADS).map_err(index_error)?.iter().map_err(index_error)? {
        let (id, row) = row.map_err(index_error)?;
        match from_json::<UploadRow>(row.value()) {
            Ok(_) => to.restore_upload(id.value(), row.value())?,
            Err(_) => on_row(&Finding::Row { table: "uploads", key: id.value().to_owned() }),
        }
    }
    for row in from.open_table(PARTS).map_err(index_error)?.iter().map_err(index_error)? {
        let (key, row) = row.map_err(index_error)?;
        let (upload, number) = key.value();
        match from_json::<PartRow>(row.value()) {
            Ok(row) => to.restore_part((upload, number), &row)?,
            Err(_) => {
                on_row(&Finding::Row { table: "parts", key: format!("{upload} {number}") });
            }
        }
    }
    // Last: only now is it known what is in use.
    for row in from.open_table(GARBAGE).map_err(index_error)?.iter().map_err(index_error)? {
        to.restore_garbage(row.map_err(index_error)?.0.value())?;
    }
    // Packs of which nothing is alive.
    if let Some(packs) = open_if_there(from, PACKS)? {
        for row in packs.iter().map_err(index_error)? {
            to.restore_garbage(row.map_err(index_error)?.0.value())?;
        }
    }
    Ok(())
}

fn copy_salvaged(from: &File, places: &Places, to: &mut Tables<'_>) -> Result<()> {
    let mut found = salvage(from)?;
    found.take_journal(places)?;
    for (name, created_ms) in &found.buckets {
        to.restore_bucket(name, *created_ms)?;
    }
    found.objects(from, places, |key, row| to.restore_object(key, row))?;
    found.uploads(from, |id, row| {
        // The time of creation is lost with the bucket's row.
        to.restore_bucket(&from_json::<UploadRow>(row)?.bucket, 0)?;
        to.restore_upload(id, row)
    })?;
    found.parts(from, places, |key, row| to.restore_part(key, row))
}
