//! The table of packs, and the changes of small objects to it.
//!
//! Guarantees: of each pack the table counts the bytes of the records that objects refer to, in the
//! same commit as the objects' rows; a pack without any is garbage, unless it is still being
//! filled.

use std::collections::{BTreeMap, HashSet};

use redb::{ReadableTable, TableDefinition};

use super::super::super::{Error, Kind, Result};
use super::super::packs::{Appending, JournalEntry, PackedBody, record_bytes};
use super::journaled::RowChange;
use super::object_row::{Content, ObjectRow};
use super::{Tables, index_error};

/// Id of a pack → bytes of the records that objects refer to, and of all records. An index of an
/// older version has no rows.
pub(in super::super) const PACKS: TableDefinition<&str, (u64, u64)> = TableDefinition::new("packs");

/// Objects up to this size stay in their rows
/// (docs/decisions/0027-small-objects-are-in-packs.md).
pub(in super::super) const MAX_ROW_BYTES: usize = 512;

/// The row [`JOURNAL_PACK`] → id of the pack that has the journal. An index of an older version has
/// none.
pub(in super::super) const JOURNAL: TableDefinition<&str, &str> = TableDefinition::new("journal");
pub(in super::super) const JOURNAL_PACK: &str = "pack";

/// How one transaction changes packs.
#[derive(Debug, Default)]
pub(super) struct PackChanges {
    appending: Appending,
    /// Bytes of records that objects refer to no more, of each pack.
    released: BTreeMap<String, u64>,
}

/// What is to be done after the changes of a transaction.
#[derive(Debug, Default)]
pub(in super::super) struct Changed {
    pub appending: Appending,
    /// The live bytes of the pack that is being filled, where they changed.
    pub live_bytes: Option<u64>,
    /// Whether there is garbage.
    pub releases_files: bool,
    /// Whether a pack is to be compacted.
    pub leaves_sparse_pack: bool,
}

/// Whether a finished pack is to be compacted.
pub(in super::super) fn is_sparse((live_bytes, all_bytes): (u64, u64)) -> bool {
    live_bytes < all_bytes / 2
}

impl PackChanges {
    pub fn new(appending: Appending) -> Self {
        Self { appending, released: BTreeMap::new() }
    }
}

impl Tables<'_> {
    /// Moves the bytes of a row into the pack, if they are many enough and there is room.
    pub(super) fn pack(&mut self, row_key: &str, row: &mut ObjectRow) {
        let Content::Inline(bytes) = &row.content else { return };
        if bytes.len() <= MAX_ROW_BYTES {
            return;
        }
        if let Some(body) = self.packs.appending.push(row_key, bytes) {
            row.content = Content::Packed(body);
        }
    }

    /// Records that a row's content is needed no more: its files have one reference less, and its
    /// bytes in a pack are dead.
    pub(super) fn release(&mut self, row_key: &str, row: &ObjectRow) -> Result<()> {
        match &row.content {
            Content::Inline(_) => Ok(()),
            Content::Packed(body) => {
                let bytes = record_bytes(row_key, body.len_bytes);
                match self.packs.released.get_mut(&body.id) {
                    Some(released) => *released += bytes,
                    None => drop(self.packs.released.insert(body.id.clone(), bytes)),
                }
                Ok(())
            }
            Content::Files(files) => self.release_files(files),
        }
    }

    /// Writes the counts of packs, and the entry of the journal. To be called after the last change
    /// of a transaction.
    pub fn finish(mut self) -> Result<Changed> {
        let PackChanges { mut appending, mut released } = std::mem::take(&mut self.packs);
        let mut changed = Changed::default();
        let released_here = released.remove(&appending.id);
        for (id, bytes) in released {
            let (live_bytes, all_bytes) = self.pack_counts(&id)?;
            let counts = (live_bytes.saturating_sub(bytes), all_bytes);
            if counts.0 == 0 {
                self.release_pack(&id)?;
            } else {
                self.pack_rows.insert(id.as_str(), counts)?;
                changed.leaves_sparse_pack |= is_sparse(counts);
            }
        }
        if appending.is_new && !appending.is_empty() {
            self.files.insert(appending.id.as_str(), ())?;
            let journal = self.journal.insert(JOURNAL_PACK, appending.id.as_str());
            journal.map_err(index_error)?;
        }
        let rows = self.changes.take().unwrap_or_default();
        let has_pack = !appending.is_new || !appending.is_empty();
        let is_to_note = has_pack && !rows.is_empty();
        if !appending.is_empty() || released_here.is_some() || is_to_note {
            let (live_bytes, _) = self.pack_counts(&appending.id)?;
            let live_bytes = live_bytes + (appending.end() - appending.base);
            let live_bytes = live_bytes.saturating_sub(released_here.unwrap_or(0));
            if is_to_note {
                appending.journal(&rows, live_bytes);
            }
            self.write_pack_counts(&appending.id, (live_bytes, appending.end()))?;
            changed.live_bytes = Some(live_bytes);
        }
        Ok(Changed { appending, releases_files: self.releases_files, ..changed })
    }

    /// Writes the counts of the pack that is being filled, which an entry of the journal has.
    fn write_pack_counts(&mut self, id: &str, counts: (u64, u64)) -> Result<()> {
        self.pack_rows.insert_unnoted(id, counts)
    }

    /// Makes the changes of an entry in the journal of this pack again.
    pub fn repeat(&mut self, pack: &str, entry: &JournalEntry) -> Result<()> {
        RowChange::each(&entry.changes, |change| self.repeat_change(change))?;
        self.write_pack_counts(pack, (entry.live_bytes, entry.end))
    }

    fn pack_counts(&self, id: &str) -> Result<(u64, u64)> {
        Ok(self.pack_rows.get(id).map_err(index_error)?.map_or((0, 0), |row| row.value()))
    }

    fn release_pack(&mut self, id: &str) -> Result<()> {
        self.pack_rows.remove(id)?;
        self.files.remove(id)?;
        self.garbage.insert(id, ())?;
        self.releases_files = true;
        Ok(())
    }

    /// The finished pack of which the least is alive, if that is less than half. Packs without
    /// anything alive become garbage.
    pub fn sparse_pack(&mut self, left_out: &HashSet<String>) -> Result<Option<String>> {
        let (mut dead, mut sparsest) = (Vec::new(), None);
        for row in self.pack_rows.iter().map_err(index_error)? {
            let (id, counts) = row.map_err(index_error)?;
            let (id, counts @ (live_bytes, _)) = (id.value(), counts.value());
            // Also what this transaction has changed so far is to be counted first.
            if id == self.packs.appending.id || self.packs.released.contains_key(id) {
                continue;
            }
            if live_bytes == 0 {
                dead.push(id.to_owned());
            } else if is_sparse(counts)
                && !left_out.contains(id)
                && sparsest.as_ref().is_none_or(|(least, _)| live_bytes < *least)
            {
                sparsest = Some((live_bytes, id.to_owned()));
            }
        }
        dead.iter().try_for_each(|id| self.release_pack(id))?;
        Ok(sparsest.map(|(_, id)| id))
    }

    /// Moves those of these bodies of a pack that their objects still refer to into the current
    /// pack. **Errors**: `Full`.
    pub fn move_bodies(&mut self, pack: &str, bodies: &[PackedBody]) -> Result<()> {
        for body in bodies {
            let Some(mut row) = self.object(&body.row_key)? else { continue };
            let is_there = matches!(&row.content, Content::Packed(found)
                if found.id == pack && found.offset == body.offset);
            if !is_there || row.size_bytes != body.bytes.len() as u64 {
                continue;
            }
            let no_room = || Error::new(Kind::Full, "there is no room to compact a pack");
            let moved =
                self.packs.appending.push(&body.row_key, &body.bytes).ok_or_else(no_room)?;
            self.release(&body.row_key, &row)?;
            row.content = Content::Packed(moved);
            let row_key = body.row_key.as_str();
            self.objects.insert(row_key, row.encode().as_slice())?;
        }
        Ok(())
    }

    /// Counts a body in a pack, for an index that is made anew.
    pub(super) fn restore_packed(&mut self, row_key: &str, row: &ObjectRow) -> Result<()> {
        let Content::Packed(body) = &row.content else { return Ok(()) };
        let (live_bytes, all_bytes) = self.pack_counts(&body.id)?;
        let live_bytes = live_bytes + record_bytes(row_key, body.len_bytes);
        let counts = (live_bytes, all_bytes.max(body.offset + body.len_bytes));
        self.pack_rows.insert(body.id.as_str(), counts)?;
        self.files.insert(body.id.as_str(), ())?;
        Ok(())
    }

    /// Records how long each pack is, for an index that is made anew.
    pub fn restore_pack_lengths(
        &mut self,
        length: impl Fn(&str) -> Result<Option<u64>>,
    ) -> Result<()> {
        let mut packs = Vec::new();
        for row in self.pack_rows.iter().map_err(index_error)? {
            let (id, counts) = row.map_err(index_error)?;
            packs.push((id.value().to_owned(), counts.value()));
        }
        for (id, (live_bytes, all_bytes)) in packs {
            let counts = (live_bytes, length(&id)?.unwrap_or(0).max(all_bytes));
            self.pack_rows.insert(id.as_str(), counts)?;
        }
        Ok(())
    }
}
