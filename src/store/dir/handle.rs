//! The open index, and its reopening after an I/O error.
//!
//! Guarantees: an index whose disk failed (full, or worse) works again in the same process once it
//! can be reopened: committed changes are there, others are gone, before anybody reads it.
//! Reopening writes nothing into an index whose journal has nothing more than it (`replay`). The
//! files of the last commits are reconciled: files that the index refers to are moved to their
//! place, others are removed; the cost depends on the number of those files, not on the size of the
//! store. From its first byte on, only its owner can read the index. It does not decide when to
//! reopen: `writer` does. Source: redb fails every operation after its first I/O error.

use std::collections::HashSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    WriteTransaction,
};

use super::super::{Error, Kind, Result};
use super::disk::disk_error;
use super::files::{Files, Places};
use super::modes::create_or_restrict_file;
use super::replay::replay;
use super::shrink::shrink;
use super::tables::{
    Content, FILES, GARBAGE, OBJECTS, ObjectRow, PACKS, Tables, index_error, is_sparse,
};

/// The size of redb's cache.
pub(super) const CACHE_BYTES: usize = 16 << 20;

/// The index of one directory.
#[derive(Debug)]
pub(super) struct Handle {
    path: PathBuf,
    /// The open database, or why the last attempt to open it failed.
    database: RwLock<std::result::Result<Database, Kind>>,
}

fn open(path: &Path) -> std::result::Result<Database, DatabaseError> {
    // Created here, as redb would use a wider mode; redb takes an empty file for a new index.
    create_or_restrict_file(path).map_err(StorageError::from)?;
    Database::builder().set_cache_size(CACHE_BYTES).create(path)
}

impl Handle {
    /// Opens the index, or creates it. Blocks.
    pub fn open(path: PathBuf) -> std::result::Result<Self, DatabaseError> {
        let database = RwLock::new(Ok(open(&path)?));
        Ok(Self { path, database })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes over what a crash left in the journal. To be called before anybody uses the index.
    /// Blocks.
    pub fn replay(&self, places: &Places) -> Result<()> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        replay(database.as_ref().map_err(|kind| not_open(*kind))?, places).map(drop)
    }

    /// Creates the tables of a new index, and those that an older version did not have.
    pub fn create_tables(&self) -> Result<()> {
        let count = self.read()?.list_tables().map_err(index_error)?.count();
        if count >= Tables::COUNT { Ok(()) } else { Tables::create(self.write()?) }
    }

    /// **Errors**: `Full` or `Unavailable` until the index is reopened.
    pub fn read(&self) -> Result<ReadTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_err(|kind| not_open(*kind))?.begin_read().map_err(index_error)
    }

    /// As `read`.
    pub fn write(&self) -> Result<WriteTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_err(|kind| not_open(*kind))?.begin_write().map_err(index_error)
    }

    /// Closes the index and opens it again, with what its journal has. Readers wait; lookups in
    /// progress fail. Blocks.
    pub fn reopen(&self, places: &Places) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // First the old database is dropped: it has the file locked.
        *database = Err(Kind::Unavailable);
        let opened = open(&self.path)
            .map_err(index_error)
            .and_then(|opened| replay(&opened, places).map(|_| opened));
        let (opened, outcome) = match opened {
            Ok(opened) => (Ok(opened), Ok(())),
            Err(error) => (Err(error.kind()), Err(error)),
        };
        *database = opened;
        outcome
    }

    /// Makes the index smaller if much of it is free. To be called before anybody uses it. Blocks.
    pub fn shrink(&self) {
        let length = || std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let Ok(database) = &mut *database else { return };
        let before_bytes = length();
        match shrink(database, before_bytes) {
            Ok(true) => tracing::info!(
                before_bytes,
                index_bytes = length(),
                "the index was mostly free and is smaller now"
            ),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "the index is mostly free and cannot be made smaller")
            }
        }
    }

    /// Ids of garbage files, in order, after this id.
    pub fn garbage(&self, after: &str, limit: usize) -> Result<Vec<String>> {
        let table = self.read()?.open_table(GARBAGE).map_err(index_error)?;
        let rows =
            table.range::<&str>((Bound::Excluded(after), Bound::Unbounded)).map_err(index_error)?;
        rows.take(limit).map(|row| Ok(row.map_err(index_error)?.0.value().to_owned())).collect()
    }

    /// Whether a pack beside these is to be compacted, if it is finished.
    pub fn has_sparse_pack(&self, left_out: &HashSet<String>) -> Result<bool> {
        let table = self.read()?.open_table(PACKS).map_err(index_error)?;
        for row in table.iter().map_err(index_error)? {
            let (id, counts) = row.map_err(index_error)?;
            if is_sparse(counts.value()) && !left_out.contains(id.value()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether something in a pack is alive.
    pub fn has_pack(&self, id: &str) -> Result<bool> {
        let table = self.read()?.open_table(PACKS).map_err(index_error)?;
        Ok(table.get(id).map_err(index_error)?.is_some())
    }

    /// Whether the bytes of an object are at this place of a pack.
    pub fn is_packed(&self, row_key: &str, pack: &str, offset: u64) -> Result<bool> {
        let table = self.read()?.open_table(OBJECTS).map_err(index_error)?;
        let row = table.get(row_key).map_err(index_error)?;
        let row = row.map(|row| ObjectRow::decode(row.value())).transpose()?;
        Ok(matches!(row, Some(ObjectRow { content: Content::Packed(body), .. })
            if body.id == pack && body.offset == offset))
    }

    /// Publishes those of the files that the index refers to, and removes the others. Idempotent.
    pub fn reconcile_files(&self, files: &Files, ids: &[String]) -> Result<()> {
        let failed = |error| disk_error("reconciling files with the index", error);
        let transaction = self.read()?;
        let referenced = transaction.open_table(FILES).map_err(index_error)?;
        for id in ids {
            let keep = referenced.get(id.as_str()).map_err(index_error)?.is_some();
            if keep { files.publish(id) } else { files.remove(id) }.map_err(failed)?;
        }
        Ok(())
    }
}

fn not_open(kind: Kind) -> Error {
    Error::new(kind, "the index could not be reopened after its disk failed")
}
