//! Takes over what the last transactions before a crash left in the journal alone.
//!
//! Guarantees: afterwards the index has every acknowledged change, durably, and of a change that
//! was not acknowledged all or nothing. It is one commit, so a crash meanwhile changes nothing. If
//! there is nothing to take over, nothing is written.

use std::fs::File;
use std::io;

use redb::{Database, ReadableDatabase};

use super::super::Result;
use super::disk::disk_error;
use super::files::Places;
use super::packs::{Appending, JournalEntries};
use super::tables::{JOURNAL, JOURNAL_PACK, PACKS, Tables, index_error, open_if_there};

/// Takes over the journal of an index that nobody uses. Returns how many transactions it had.
/// Blocks.
pub(super) fn replay(database: &Database, places: &Places) -> Result<u64> {
    let failed = |error| disk_error("reading the journal", error);
    let Some((pack, end)) = journal_of(database)? else { return Ok(0) };
    let file = match places.find(&pack, |path| File::open(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = places.data_path(&pack);
            tracing::error!(
                file = %file.display(),
                "the file with the journal is lost, and with it what was written last before a crash; `ratchet check` finds what else it had"
            );
            return Ok(0);
        }
        opened => opened.map_err(failed)?,
    };
    let reader = file.try_clone().map_err(failed)?;
    let mut entries = JournalEntries::from(&pack, reader, end);
    let Some(first) = entries.next().map_err(failed)? else { return Ok(0) };
    // Before the index names them: after a kill, the last bodies may be in the page cache alone.
    file.sync_data().map_err(failed)?;
    let transaction = database.begin_write().map_err(index_error)?;
    let mut count = 0;
    {
        let mut tables = Tables::open(&transaction, Appending::default())?;
        let mut next = Some(first);
        while let Some(entry) = next {
            tables.repeat(&pack, &entry)?;
            count += 1;
            next = entries.next().map_err(failed)?;
        }
    }
    transaction.commit().map_err(index_error)?;
    tracing::info!(
        transactions = count,
        "the index took over what a crash had left in its journal"
    );
    Ok(count)
}

/// The pack with the journal, and where in it the transactions end that the index has. None: there
/// is no journal.
fn journal_of(database: &Database) -> Result<Option<(String, u64)>> {
    let transaction = database.begin_read().map_err(index_error)?;
    let Some(journal) = open_if_there(&transaction, JOURNAL)? else { return Ok(None) };
    let Some(pack) = journal.get(JOURNAL_PACK).map_err(index_error)? else { return Ok(None) };
    let pack = pack.value().to_owned();
    let packs = transaction.open_table(PACKS).map_err(index_error)?;
    let counts = packs.get(pack.as_str()).map_err(index_error)?;
    Ok(counts.map(|counts| (pack, counts.value().1)))
}
