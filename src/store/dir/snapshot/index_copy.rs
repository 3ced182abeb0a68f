//! Copies one commit of an index into a new file.
//!
//! Guarantees: the copy has the rows of that commit and no free space of its past, is durable, and
//! needs no repair when it is opened.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, Key, ReadTransaction, ReadableTable, TableDefinition, Value};
use redb::{TableHandle, WriteTransaction};

use super::super::super::{Error, Result};
use super::super::disk::{disk_error, require_room};
use super::super::handle::CACHE_BYTES;
use super::super::modes::create_file;
use super::super::tables::{
    BUCKETS, FILES, GARBAGE, OBJECTS, PACKS, PARTS, SHARED, UPLOADS, index_error,
};

/// Writes the copy to `path`, which must not exist; `original` is the file that the transaction
/// reads. Blocks. **Errors**: `Full` before the store's own reserve is touched; `Unavailable` once
/// `stop` is true.
pub(super) fn copy_index(
    from: &ReadTransaction,
    path: &Path,
    original: &Path,
    stop: &AtomicBool,
) -> Result<()> {
    let failed = |error| disk_error("copying the index", error);
    let len_bytes = fs::metadata(original).map_err(failed)?.len();
    let file = create_file(path).map_err(failed)?;
    require_room(&file, len_bytes).map_err(failed)?;
    let mut builder = Database::builder();
    let copy = builder.set_cache_size(CACHE_BYTES).create(path).map_err(index_error)?;
    let to = copy.begin_write().map_err(index_error)?;
    copy_table(from, &to, BUCKETS, stop)?;
    copy_table(from, &to, OBJECTS, stop)?;
    copy_table(from, &to, UPLOADS, stop)?;
    copy_table(from, &to, PARTS, stop)?;
    copy_table(from, &to, FILES, stop)?;
    copy_table(from, &to, SHARED, stop)?;
    copy_table(from, &to, PACKS, stop)?;
    // A snapshot has none of these files, and whoever opens it forgets them; a check needs to know.
    copy_table(from, &to, GARBAGE, stop)?;
    to.commit().map_err(index_error)?;
    copy.close().map_err(index_error)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<K, V>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut copy = to.open_table(table).map_err(index_error)?;
    // An index of an older version may lack a table.
    if !from.list_tables().map_err(index_error)?.any(|known| known.name() == table.name()) {
        return Ok(());
    }
    for row in from.open_table(table).map_err(index_error)?.iter().map_err(index_error)? {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::unavailable("the store is being closed"));
        }
        let (key, value) = row.map_err(index_error)?;
        copy.insert(key.value(), value.value()).map_err(index_error)?;
    }
    Ok(())
}
