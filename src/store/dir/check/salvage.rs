//! Finds rows in an index that cannot be opened any more, and in its journal.
//!
//! Guarantees: a row is taken only if it decodes completely. Every page of the file is looked at,
//! also those that the index no longer used: of several rows with one key the newest counts whose
//! files are all whole; a row of which a file is missing is taken for one of a removed object. So
//! what was removed or replaced shortly before the damage may be there again. What a crash left in
//! the journal alone is taken too. It knows the form of redb's leaf pages (in its design document),
//! and nothing of trees and commits.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;

use super::super::super::Result;
use super::super::disk::disk_error;
use super::super::files::Places;
use super::super::packs::JournalEntries;
use super::super::tables::{
    BUCKETS_NUMBER, FileRef, JOURNAL_PACK, OBJECTS_NUMBER, ObjectRow, PARTS_NUMBER, PartRow,
    RowChange, UPLOADS_NUMBER, UploadRow, from_json,
};
use super::compare::length;

const PAGE_BYTES: u64 = 4096;
/// The first byte of a leaf page.
const LEAF: u8 = 1;
/// No leaf is larger: the row of an object of 10,000 parts takes a MiB.
const MAX_LEAF_BYTES: u64 = 64 << 20;

/// Where a row's value is.
#[derive(Debug)]
enum Place {
    Index { offset: u64, len_bytes: usize },
    Journal(Vec<u8>),
}

/// The rows that were found.
#[derive(Debug, Default)]
pub(super) struct Salvage {
    /// Name → time of creation.
    pub buckets: BTreeMap<String, u64>,
    objects: BTreeMap<String, Vec<(u64, Place)>>,
    uploads: BTreeMap<String, Place>,
    parts: BTreeMap<(String, u16), Vec<Place>>,
    /// Packs that had the journal at some time.
    journals: BTreeSet<String>,
}

/// Reads all pages of an index.
pub(super) fn salvage(index: &File) -> Result<Salvage> {
    let failed = |error| disk_error("reading the damaged index", error);
    let end = index.metadata().map_err(failed)?.len();
    let (mut found, mut at) = (Salvage::default(), 0);
    while at + PAGE_BYTES <= end {
        let mut page = vec![0; PAGE_BYTES as usize];
        index.read_exact_at(&mut page, at).map_err(failed)?;
        let mut pages = 1;
        if page[0] == LEAF && entries(&page) > 0 {
            let len_bytes = leaf_bytes(&page, end - at);
            if len_bytes > PAGE_BYTES {
                page.resize(usize::try_from(len_bytes).unwrap_or(0), 0);
                index.read_exact_at(&mut page, at).map_err(failed)?;
            }
            if found.take_leaf(&page, at) {
                // What is within a value is no page.
                pages = len_bytes.div_ceil(PAGE_BYTES);
            }
        }
        at += pages * PAGE_BYTES;
    }
    Ok(found)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)))
}

fn entries(page: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([page[2], page[3]]))
}

/// How long the leaf is that begins so: a page, or more if the end of its last value says so.
fn leaf_bytes(page: &[u8], rest_bytes: u64) -> u64 {
    // The ends of a leaf with many entries lie in its first page.
    let end = number(page, 8 * entries(page)).filter(|end| *end <= rest_bytes.min(MAX_LEAF_BYTES));
    end.unwrap_or(0).max(PAGE_BYTES)
}

/// A key, its value, and where in the page the value begins.
type Row<'a> = (&'a [u8], &'a [u8], usize);

/// The keys and values of a leaf, whose values all have this length if one is given. None if the
/// page is not such a leaf.
fn rows(page: &[u8], value_bytes: Option<usize>) -> Option<Vec<Row<'_>>> {
    let count = entries(page);
    let first = 4 + 4 * count * if value_bytes.is_some() { 1 } else { 2 };
    let end_of = |at: usize| usize::try_from(number(page, 4 + 4 * at)?).ok();
    let mut keys = Vec::with_capacity(count);
    let mut at = first;
    for entry in 0..count {
        let end = end_of(entry)?;
        keys.push(page.get(at..end)?);
        at = end;
    }
    let mut rows = Vec::with_capacity(count);
    for (entry, key) in keys.into_iter().enumerate() {
        let end = value_bytes.map_or_else(|| end_of(count + entry), |len| Some(at + len))?;
        rows.push((key, page.get(at..end)?, at));
        at = end;
    }
    Some(rows)
}

/// The id and number of a part's key: a length, the id, the number.
fn part_key(key: &[u8]) -> Option<(String, u16)> {
    let (len, rest) = key.split_first()?;
    let (id, number) = rest.split_at_checked(usize::from(*len))?;
    let id = std::str::from_utf8(id).ok()?.to_owned();
    Some((id, u16::from_le_bytes(number.try_into().ok()?)))
}

/// An object's row that decodes, and whose bytes are as many as it says.
fn object(row: &[u8]) -> Option<ObjectRow> {
    let object = ObjectRow::decode(row).ok()?;
    (object.content_bytes() == object.size_bytes).then_some(object)
}

impl Salvage {
    /// Takes the rows of a leaf that begins at this offset of the file. Returns whether it had any.
    fn take_leaf(&mut self, page: &[u8], at: u64) -> bool {
        let mut taken = false;
        for (key, value, start) in rows(page, None).unwrap_or_default() {
            let place = Place::Index { offset: at + start as u64, len_bytes: value.len() };
            taken |= self.take_row(key, value, place).is_some();
        }
        if !taken {
            for (key, value, _) in rows(page, Some(8)).unwrap_or_default() {
                taken |= self.take_bucket(key, value).is_some();
            }
        }
        taken
    }

    fn take_row(&mut self, key: &[u8], value: &[u8], place: Place) -> Option<()> {
        if let Some(row) = object(value) {
            let key = std::str::from_utf8(key).ok().filter(|key| key.contains('/'))?;
            self.objects.entry(key.to_owned()).or_default().push((row.modified_ms, place));
        } else if key == JOURNAL_PACK.as_bytes() {
            self.journals.insert(std::str::from_utf8(value).ok()?.to_owned());
        } else if from_json::<PartRow>(value).is_ok() {
            self.parts.entry(part_key(key)?).or_default().push(place);
        } else {
            from_json::<UploadRow>(value).ok()?;
            self.uploads.insert(std::str::from_utf8(key).ok()?.to_owned(), place);
        }
        Some(())
    }

    /// The time of creation tells a bucket's row from those of other tables.
    fn take_bucket(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        const SINCE_MS: u64 = 1_000_000_000_000;
        let created_ms = u64::from_le_bytes(value.try_into().ok()?);
        let name = std::str::from_utf8(key).ok().filter(|name| !name.is_empty())?;
        (SINCE_MS..100 * SINCE_MS).contains(&created_ms).then(|| {
            self.buckets.insert(name.to_owned(), created_ms);
        })
    }

    /// Takes the rows of the journal, the newest ones. Some transactions are in the index alone: so
    /// an object that is newer than what the journal says of it stays.
    pub fn take_journal(&mut self, places: &Places) -> Result<()> {
        let failed = |error| disk_error("reading the journal", error);
        let written = |pack: &String| {
            let file = places.find(pack, |path| File::open(path)).ok()?;
            let time = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
            Some((time, pack.clone(), file))
        };
        let newest = self.journals.iter().filter_map(written).max_by_key(|(time, ..)| *time);
        let Some((_, pack, file)) = newest else { return Ok(()) };
        let mut entries = JournalEntries::from(&pack, file, 0);
        let mut now_ms = 0;
        while let Some(entry) = entries.next().map_err(failed)? {
            RowChange::each(&entry.changes, |change| {
                self.take_change(change, &mut now_ms);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// `now_ms`: when the change was made at the earliest.
    fn take_change(&mut self, change: &RowChange<'_>, now_ms: &mut u64) -> Option<()> {
        let text = || std::str::from_utf8(change.key).ok().map(str::to_owned);
        let place = change.value.map(|value| Place::Journal(value.to_vec()));
        match (change.table, place) {
            (OBJECTS_NUMBER, Some(place)) => {
                let modified_ms = object(change.value?)?.modified_ms;
                *now_ms = modified_ms.max(*now_ms);
                self.objects.entry(text()?).or_default().insert(0, (modified_ms, place));
            }
            (OBJECTS_NUMBER, None) => {
                let candidates = self.objects.get_mut(&text()?)?;
                candidates.retain(|(modified_ms, _)| modified_ms > now_ms);
            }
            (UPLOADS_NUMBER, Some(place)) => drop(self.uploads.insert(text()?, place)),
            (UPLOADS_NUMBER, None) => drop(self.uploads.remove(&text()?)),
            (PARTS_NUMBER, Some(place)) => {
                self.parts.entry(part_key(change.key)?).or_default().insert(0, place);
            }
            (PARTS_NUMBER, None) => drop(self.parts.remove(&part_key(change.key)?)),
            (BUCKETS_NUMBER, Some(_)) => self.take_bucket(change.key, change.value?)?,
            // The other tables follow from these; a bucket may have been created again.
            (_, _) => {}
        }
        Some(())
    }

    /// Calls `take` with the row of each object that is whole.
    pub fn objects(
        &mut self,
        index: &File,
        places: &Places,
        mut take: impl FnMut(&str, &ObjectRow) -> Result<()>,
    ) -> Result<()> {
        for (key, mut candidates) in std::mem::take(&mut self.objects) {
            candidates.sort_by_key(|(modified_ms, _)| std::cmp::Reverse(*modified_ms));
            for (_, place) in candidates {
                let row = ObjectRow::decode(&read(index, &place)?)?;
                if are_whole(places, row.places())? {
                    take(&key, &row)?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Calls `take` with each upload's row.
    pub fn uploads(
        &self,
        index: &File,
        mut take: impl FnMut(&str, &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.uploads.iter().try_for_each(|(id, place)| take(id, &read(index, place)?))
    }

    /// Calls `take` with the row of each part that is whole and has an upload.
    pub fn parts(
        &self,
        index: &File,
        places: &Places,
        mut take: impl FnMut((&str, u16), &PartRow) -> Result<()>,
    ) -> Result<()> {
        for ((upload, number), candidates) in &self.parts {
            if !self.uploads.contains_key(upload) {
                continue;
            }
            for place in candidates {
                let bytes = read(index, place)?;
                let row: PartRow = from_json(&bytes)?;
                let files: Vec<FileRef> = row.files().cloned().collect();
                if are_whole(places, &files)? {
                    take((upload, *number), &row)?;
                    break;
                }
            }
        }
        Ok(())
    }
}

fn read<'a>(index: &File, place: &'a Place) -> Result<Cow<'a, [u8]>> {
    let (offset, len_bytes) = match place {
        Place::Index { offset, len_bytes } => (*offset, *len_bytes),
        Place::Journal(bytes) => return Ok(Cow::Borrowed(bytes)),
    };
    let mut bytes = vec![0; len_bytes];
    let failed = |error| disk_error("reading the damaged index", error);
    index.read_exact_at(&mut bytes, offset).map_err(failed)?;
    Ok(Cow::Owned(bytes))
}

fn are_whole(places: &Places, files: &[FileRef]) -> Result<bool> {
    for file in files {
        let needed = file.offset + file.len_bytes;
        if length(places, &file.id)?.is_none_or(|found| found < needed) {
            return Ok(false);
        }
    }
    Ok(true)
}
