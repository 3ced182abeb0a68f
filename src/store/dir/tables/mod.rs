//! The tables of the index, and the changes that one transaction makes to them.
//!
//! Guarantees: a change that fails has written nothing, so it can share a transaction with other
//! changes; every file that a change releases is in the garbage table in the same commit, so a
//! crash never loses track of it.

mod buckets;
mod copies;
mod files;
mod object_head;
mod object_row;
mod objects;
mod packs;
mod restored;
mod rows;
mod uploads;

use redb::{Table, WriteTransaction};

use super::super::{Error, Result};
use super::packs::Appending;

pub(super) use buckets::BUCKETS;
pub(super) use copies::{CopyFrom, SharedPart};
pub(super) use files::{FILES, GARBAGE, SHARED};
pub(super) use object_row::{Content, ObjectRow, listed};
pub(super) use objects::{OBJECTS, object_key};
pub(super) use packs::{Changed, PACKS, is_sparse};
pub(super) use rows::{AttributesRow, FileRef, PartRow, UploadRow, from_json};
pub(super) use uploads::{NewObject, PARTS, UPLOADS, chosen_part, no_upload};

use packs::PackChanges;

/// The tables within one write transaction.
pub(super) struct Tables<'txn> {
    buckets: Table<'txn, &'static str, u64>,
    objects: Table<'txn, &'static str, &'static [u8]>,
    uploads: Table<'txn, &'static str, &'static [u8]>,
    parts: Table<'txn, (&'static str, u16), &'static [u8]>,
    files: Table<'txn, &'static str, ()>,
    shared: Table<'txn, &'static str, u64>,
    garbage: Table<'txn, &'static str, ()>,
    pack_rows: Table<'txn, &'static str, (u64, u64)>,
    packs: PackChanges,
    /// Whether this transaction releases files, which are to be removed after the commit.
    releases_files: bool,
}

impl<'txn> Tables<'txn> {
    /// The number of tables in an index.
    pub const COUNT: usize = 8;

    /// Creates the tables that an index does not have yet, and commits.
    pub fn create(transaction: WriteTransaction) -> Result<()> {
        Tables::open(&transaction, Appending::default())?;
        transaction.commit().map_err(index_error)
    }

    /// Opens the tables for changes that may append to a pack. [`Self::finish`] ends them.
    pub fn open(transaction: &'txn WriteTransaction, appending: Appending) -> Result<Self> {
        Ok(Self {
            buckets: transaction.open_table(BUCKETS).map_err(index_error)?,
            objects: transaction.open_table(OBJECTS).map_err(index_error)?,
            uploads: transaction.open_table(UPLOADS).map_err(index_error)?,
            parts: transaction.open_table(PARTS).map_err(index_error)?,
            files: transaction.open_table(FILES).map_err(index_error)?,
            shared: transaction.open_table(SHARED).map_err(index_error)?,
            garbage: transaction.open_table(GARBAGE).map_err(index_error)?,
            pack_rows: transaction.open_table(PACKS).map_err(index_error)?,
            packs: PackChanges::new(appending),
            releases_files: false,
        })
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
