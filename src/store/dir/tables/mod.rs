//! The tables of the index, and the changes that one transaction makes to them.
//!
//! Guarantees: a change that fails has written nothing, so it can share a transaction with other
//! changes; every file that a change releases is in the garbage table in the same commit, so a
//! crash never loses track of it.

mod buckets;
mod copies;
mod files;
mod journaled;
mod object_head;
mod object_row;
mod objects;
mod packs;
mod restored;
mod rows;
mod uploads;

use redb::{
    Key, ReadOnlyTable, ReadTransaction, Table, TableDefinition, TableError, Value,
    WriteTransaction,
};

use super::super::{Error, Result};
use super::packs::Appending;

pub(super) use buckets::BUCKETS;
pub(super) use copies::{CopyFrom, SharedPart};
pub(super) use files::{FILES, GARBAGE, SHARED};
pub(super) use journaled::{
    BUCKETS_NUMBER, OBJECTS_NUMBER, PARTS_NUMBER, RowChange, UPLOADS_NUMBER,
};
pub(super) use object_row::{Content, ObjectRow, listed};
pub(super) use objects::{OBJECTS, object_key};
pub(super) use packs::{Changed, JOURNAL, JOURNAL_PACK, PACKS, is_sparse};
pub(super) use rows::{AttributesRow, FileRef, PartRow, UploadRow, from_json};
pub(super) use uploads::{NewObject, PARTS, UPLOADS, chosen_part, no_upload};

use journaled::{FILES_NUMBER, GARBAGE_NUMBER, Journaled, PACKS_NUMBER, RowChanges, SHARED_NUMBER};
use packs::PackChanges;

/// The tables within one write transaction.
pub(super) struct Tables<'txn> {
    buckets: Journaled<'txn, &'static str, u64>,
    objects: Journaled<'txn, &'static str, &'static [u8]>,
    uploads: Journaled<'txn, &'static str, &'static [u8]>,
    parts: Journaled<'txn, (&'static str, u16), &'static [u8]>,
    files: Journaled<'txn, &'static str, ()>,
    shared: Journaled<'txn, &'static str, u64>,
    garbage: Journaled<'txn, &'static str, ()>,
    pack_rows: Journaled<'txn, &'static str, (u64, u64)>,
    journal: Table<'txn, &'static str, &'static str>,
    /// For the journal.
    changes: RowChanges,
    packs: PackChanges,
    /// Whether this transaction releases files, which are to be removed after the commit.
    releases_files: bool,
}

impl<'txn> Tables<'txn> {
    /// The number of tables in an index.
    pub const COUNT: usize = 9;

    /// Creates the tables that an index does not have yet, and commits.
    pub fn create(transaction: WriteTransaction) -> Result<()> {
        Tables::open(&transaction, Appending::default())?;
        transaction.commit().map_err(index_error)
    }

    /// Opens the tables for changes that may append to a pack. [`Self::finish`] ends them.
    pub fn open(transaction: &'txn WriteTransaction, appending: Appending) -> Result<Self> {
        let changes = RowChanges::new(appending.has_room());
        Ok(Self {
            buckets: Journaled::open(transaction, BUCKETS, BUCKETS_NUMBER, &changes)?,
            objects: Journaled::open(transaction, OBJECTS, OBJECTS_NUMBER, &changes)?,
            uploads: Journaled::open(transaction, UPLOADS, UPLOADS_NUMBER, &changes)?,
            parts: Journaled::open(transaction, PARTS, PARTS_NUMBER, &changes)?,
            files: Journaled::open(transaction, FILES, FILES_NUMBER, &changes)?,
            shared: Journaled::open(transaction, SHARED, SHARED_NUMBER, &changes)?,
            garbage: Journaled::open(transaction, GARBAGE, GARBAGE_NUMBER, &changes)?,
            pack_rows: Journaled::open(transaction, PACKS, PACKS_NUMBER, &changes)?,
            journal: transaction.open_table(JOURNAL).map_err(index_error)?,
            changes,
            packs: PackChanges::new(appending),
            releases_files: false,
        })
    }

    /// Makes a change again that a journal has.
    fn repeat_change(&mut self, change: &RowChange<'_>) -> Result<()> {
        match change.table {
            BUCKETS_NUMBER => self.buckets.repeat(change),
            OBJECTS_NUMBER => self.objects.repeat(change),
            UPLOADS_NUMBER => self.uploads.repeat(change),
            PARTS_NUMBER => self.parts.repeat(change),
            FILES_NUMBER => self.files.repeat(change),
            SHARED_NUMBER => self.shared.repeat(change),
            GARBAGE_NUMBER => self.garbage.repeat(change),
            PACKS_NUMBER => self.pack_rows.repeat(change),
            table => Err(Error::unavailable(format!("the journal names a table {table}"))),
        }
    }
}

/// A table, which an index of an older version may lack.
pub(super) fn open_if_there<K: Key + 'static, V: Value + 'static>(
    index: &ReadTransaction,
    table: TableDefinition<K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>> {
    match index.open_table(table) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        opened => opened.map(Some).map_err(index_error),
    }
}

/// An error of redb as the store's error.
pub(super) fn index_error(error: impl Into<redb::Error>) -> Error {
    let error = error.into();
    if let redb::Error::Io(error) = error {
        return super::disk::disk_error("the index", error);
    }
    Error::unavailable("the index failed").because(error)
}
