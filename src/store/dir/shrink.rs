//! Gives the disk back what the index does not use any more.
//!
//! Guarantees: it happens while a store is opened, before anybody reads or writes, and only where
//! at least half of the index and [`MIN_FREE_BYTES`] of it are free. Where little speaks for that,
//! the pages are not counted, as that takes time. A crash meanwhile leaves the index as it was, or
//! smaller; if the index cannot be made smaller, it is used as it is. While a store is open, redb
//! gives back some of the free pages at the end of its file, and uses the others again.

use redb::{Database, ReadableDatabase, ReadableTableMetadata};

use super::super::Result;
use super::tables::{FILES, OBJECTS, PARTS, index_error};

/// Less is not worth the time.
const MIN_FREE_BYTES: u64 = 32 << 20;

/// What a row of an object or part takes, with its share of pages that are not full.
const ROW_BYTES: u64 = 512;

/// What the row of a file takes.
const FILE_ROW_BYTES: u64 = 100;

/// Makes the index smaller that is in a file of so many bytes, if much of it is free. Returns
/// whether it was. Blocks.
pub(super) fn shrink(database: &mut Database, file_bytes: u64) -> Result<bool> {
    let is_sparse = |used_bytes: u64| {
        let free_bytes = file_bytes.saturating_sub(used_bytes);
        free_bytes >= MIN_FREE_BYTES && free_bytes >= file_bytes / 2
    };
    if !is_sparse(estimated_bytes(database)?) || !is_sparse(used_bytes(database)?) {
        return Ok(false);
    }
    // Its outcome says whether it moved pages, and free ones at the end go in any case.
    database.compact().map_err(index_error)?;
    Ok(true)
}

/// About how large the index is that has so many rows.
fn estimated_bytes(database: &Database) -> Result<u64> {
    let transaction = database.begin_read().map_err(index_error)?;
    let rows = |len: std::result::Result<u64, redb::StorageError>| len.map_err(index_error);
    let objects = rows(transaction.open_table(OBJECTS).map_err(index_error)?.len())?;
    let parts = rows(transaction.open_table(PARTS).map_err(index_error)?.len())?;
    let files = rows(transaction.open_table(FILES).map_err(index_error)?.len())?;
    Ok((objects + parts) * ROW_BYTES + files * FILE_ROW_BYTES)
}

/// How large the pages of the index are together that are in use.
fn used_bytes(database: &Database) -> Result<u64> {
    let transaction = database.begin_write().map_err(index_error)?;
    let stats = transaction.stats().map_err(index_error)?;
    transaction.abort().map_err(index_error)?;
    Ok(stats.allocated_pages() * stats.page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_that_is_mostly_free_becomes_small() {
        const ROWS: u32 = 700;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("index");
        let mut database = Database::create(&path).unwrap();
        let length = || std::fs::metadata(&path).unwrap().len();
        let write = |database: &Database, first: u32, bytes: Option<usize>| {
            let transaction = database.begin_write().unwrap();
            transaction.open_table(PARTS).unwrap();
            transaction.open_table(FILES).unwrap();
            {
                let mut table = transaction.open_table(OBJECTS).unwrap();
                for number in first..ROWS {
                    let key = format!("{number}");
                    match bytes {
                        Some(bytes) => drop(table.insert(&*key, &*vec![7; bytes]).unwrap()),
                        None => drop(table.remove(&*key).unwrap()),
                    }
                }
            }
            transaction.commit().unwrap();
        };
        write(&database, 0, Some(64 << 10));
        let full = length();
        assert!(full > 2 * MIN_FREE_BYTES);
        assert!(!shrink(&mut database, full).unwrap(), "all of it is used");
        write(&database, 1, None);
        // Only later commits know the pages of one before as free.
        write(&database, ROWS, None);
        write(&database, ROWS, None);
        let before = length();
        // redb may have given some back already.
        if before >= 2 * MIN_FREE_BYTES {
            assert!(shrink(&mut database, before).unwrap());
            assert!(length() < 1 << 20, "{}", length());
        }
        let transaction = database.begin_read().unwrap();
        let table = transaction.open_table(OBJECTS).unwrap();
        assert_eq!(table.get("0").unwrap().unwrap().value().len(), 64 << 10);
    }
}
