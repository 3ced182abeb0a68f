//! The open index, and how it is opened anew after its disk failed.
//!
//! Guarantees: an index whose disk failed (full, or worse) serves again in the same process once it
//! could be opened: what was committed is there, what was not is gone. Opening writes nothing into
//! an index that has its tables, so a full disk does not hinder it. What the last commits left
//! undone with files is done: files that they name are moved to their place, those that were never
//! named are removed; the cost is that of the files in question, not of the store. Its file is its
//! owner's alone from the first byte on. It does not know when to open anew: `writer` does. Source:
//! redb refuses everything after its first I/O error.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageError, WriteTransaction,
};

use super::super::{Error, Kind, Result};
use super::disk::disk_error;
use super::files::Files;
use super::modes::own_file;
use super::tables::{FILES, GARBAGE, Tables, failed};

/// What redb may keep of the index in memory.
const CACHE_BYTES: usize = 16 << 20;

/// The index of one directory.
#[derive(Debug)]
pub(super) struct Handle {
    path: PathBuf,
    /// Or why the last try to open it failed.
    database: RwLock<std::result::Result<Database, Kind>>,
}

fn open(path: &Path) -> std::result::Result<Database, DatabaseError> {
    // Before redb, which takes an empty file for a new index.
    own_file(path).map_err(StorageError::from)?;
    Database::builder().set_cache_size(CACHE_BYTES).create(path)
}

impl Handle {
    /// Opens or makes the index. Blocks.
    pub fn open(path: PathBuf) -> std::result::Result<Self, DatabaseError> {
        let database = RwLock::new(Ok(open(&path)?));
        Ok(Self { path, database })
    }

    /// Makes the tables of a new index.
    pub fn make_tables(&self) -> Result<()> {
        let known = self.read()?.list_tables().map_err(failed)?.count();
        if known >= Tables::COUNT { Ok(()) } else { Tables::make(self.write()?) }
    }

    /// **Errors**: `Full` or `Unavailable` while the index waits to be opened anew.
    pub fn read(&self) -> Result<ReadTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_err(|kind| shut(*kind))?.begin_read().map_err(failed)
    }

    /// As `read`.
    pub fn write(&self) -> Result<WriteTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map_err(|kind| shut(*kind))?.begin_write().map_err(failed)
    }

    /// Opens the index anew; readers wait, and those in the middle of a look-up fail. Blocks.
    pub fn reopen(&self) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // First the old one goes: it has the file locked.
        *database = Err(Kind::Unavailable);
        let (opened, outcome) = match open(&self.path).map_err(failed) {
            Ok(opened) => (Ok(opened), Ok(())),
            Err(error) => (Err(error.kind()), Err(error)),
        };
        *database = opened;
        outcome
    }

    /// Files that nothing is made of any more, those after this one.
    pub fn garbage(&self, after: &str, limit: usize) -> Result<Vec<String>> {
        let table = self.read()?.open_table(GARBAGE).map_err(failed)?;
        let rows =
            table.range::<&str>((Bound::Excluded(after), Bound::Unbounded)).map_err(failed)?;
        rows.take(limit).map(|row| Ok(row.map_err(failed)?.0.value().to_owned())).collect()
    }

    /// Settles what the last commits did with these files. Can be done again.
    pub fn catch_up(&self, files: &Files, in_doubt: &[String]) -> Result<()> {
        let undone = |error| disk_error("catching up with the index", error);
        let read = self.read()?;
        let known = read.open_table(FILES).map_err(failed)?;
        for id in in_doubt {
            let named = known.get(id.as_str()).map_err(failed)?.is_some();
            if named { files.publish(id) } else { files.remove(id) }.map_err(undone)?;
        }
        Ok(())
    }
}

fn shut(kind: Kind) -> Error {
    Error::new(kind, "the index could not be opened again after its disk failed")
}
