//! The inventory of a session from its records: parts, missing chunks, digests.
//!
//! Guarantees: one pass over the segments in order; memory is bounded by the 10,000 parts, whatever
//! the number of chunks. It reads only the records; `verify` compares them with the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;

use crate::digest::{Algorithm, Checksum, Expected, Kind, Sha256, Whole};
use crate::store::{ETag, Written};

use super::super::error::{Error, Result};
use super::super::manifest::{Change, Checks, Finished, Record, Root, Segment};
use super::super::object_checksum::ObjectChecksum;
use super::super::plan::{self, ChunkIndex, ChunkRange, Shape, Slot};
use super::super::session::Session;
use super::super::uploads::Uploads;

/// How long a finalize waits for a put that announced that it replaces a part.
const REPLACE_LIMIT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(500);

/// One part, by the records.
#[derive(Clone, Debug)]
pub(in crate::upload) struct PartRow {
    pub slot: Slot,
    /// One past its last chunk.
    pub end: u64,
    pub size_bytes: u64,
    /// Every ETag of its bytes; empty for a group that is not assembled yet.
    pub etags: Vec<ETag>,
    /// None for a group that is not assembled yet, and for a copied part that nobody hashed.
    pub sha256: Option<Sha256>,
    /// In the algorithm of the object's checksum.
    pub checksum: Option<Checksum>,
}

impl PartRow {
    fn is_direct_and_unhashed(&self) -> bool {
        self.slot.chunks == 1 && self.sha256.is_none()
    }
}

/// The records of a session at one moment.
#[derive(Debug)]
pub(in crate::upload) struct Inventory {
    pub chunks: u64,
    pub size_bytes: u64,
    /// How many of them clients sent.
    pub sent_bytes: u64,
    pub rows: Vec<PartRow>,
    pub missing: Vec<ChunkRange>,
    /// Announcements of puts that replace one of the parts.
    pub replacing: Vec<(ChunkIndex, String)>,
    /// `sha256-chunks`, and the kind that was named at create where it can be combined. Not valid
    /// while chunks are missing.
    pub digests: Vec<Expected>,
}

/// The state of the pass over the records.
struct InventoryBuilder {
    root: Arc<Root>,
    next: u64,
    /// One past the highest chunk that has any record.
    highest: u64,
    size_bytes: u64,
    sent_bytes: u64,
    rows: Vec<PartRow>,
    missing: Vec<ChunkRange>,
    replacing: Vec<(ChunkIndex, String)>,
    /// The first chunk that is shorter than the plan's chunk size.
    short: Option<(u64, u64)>,
    wholes: Vec<Whole>,
    /// That of the object's checksum.
    algorithm: Option<Algorithm>,
    /// The part numbers that count, where Complete named them.
    chosen: Option<BTreeSet<u16>>,
}

impl Session {
    /// Reads all records. **Errors**: `ChunkSizeMismatch` where a chunk before the last is short,
    /// which only a session without a size can have.
    pub(in crate::upload) async fn inventory(&self, checks: &Checks) -> Result<Inventory> {
        let root = self.root();
        let kinds =
            [Some(Kind::Sha256Chunks), root.digest.filter(|kind| *kind != Kind::Sha256Chunks)];
        let wholes = kinds.into_iter().flatten().filter_map(Whole::new).collect();
        let mut builder = InventoryBuilder {
            algorithm: root.s3.as_ref().map(|s3| s3.object_checksum().0),
            root,
            next: 0,
            highest: 0,
            size_bytes: 0,
            sent_bytes: 0,
            rows: Vec::new(),
            missing: Vec::new(),
            replacing: Vec::new(),
            short: None,
            wholes,
            chosen: checks.parts.as_ref().map(|parts| parts.iter().copied().collect()),
        };
        let mut segments = self.recorder_of(checks).await?.all_segments().await?;
        while let Some((_, segment)) = segments.try_next().await? {
            for (index, record) in &segment.chunks {
                // Without a size the highest record says how long the file is, even if it is
                // invalidated.
                builder.highest = u64::from(*index) + 1;
                if !record.invalidated && builder.counts(*index) {
                    builder.add(*index, record, &segment)?;
                }
            }
        }
        builder.finish()
    }

    /// The session whose records the object is made by.
    pub(in crate::upload) async fn recorder_of(&self, checks: &Checks) -> Result<Self> {
        match (&checks.of, Uploads::of(self)) {
            (Some(alias), Some(uploads)) => uploads.open(&self.root().account, alias).await,
            (Some(_) | None, _) => Ok(self.clone()),
        }
    }

    /// The records once no put replaces one of the parts any more. The root must say `finalizing`,
    /// so that no further put begins to (docs/architecture.md#replaced-parts).
    pub(in crate::upload) async fn settled_inventory(&self, checks: &Checks) -> Result<Inventory> {
        let began = self.now();
        let mut pause = FIRST_PAUSE;
        loop {
            let inventory = self.inventory(checks).await?;
            if inventory.replacing.is_empty() {
                return Ok(inventory);
            }
            if self.now().saturating_sub(began) < REPLACE_LIMIT {
                self.0.shared.documents.clock.pause(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
                continue;
            }
            // Whoever announced it has stopped.
            let recorder = self.recorder_of(checks).await?;
            for (index, id) in inventory.replacing {
                let change = Change::EndReplace { index, id };
                recorder.commit(plan::segment_of(index), change).await?;
            }
        }
    }
}

impl InventoryBuilder {
    fn counts(&self, index: u32) -> bool {
        let number = self.root.plan.slot(index).map(|slot| slot.number);
        self.chosen
            .as_ref()
            .is_none_or(|chosen| number.is_some_and(|number| chosen.contains(&number)))
    }

    fn add(&mut self, index: u32, record: &Record, segment: &Segment) -> Result<()> {
        let at = u64::from(index);
        if at > self.next && self.chosen.is_none() {
            self.missing.push(ChunkRange { first: self.next, last: at - 1 });
        }
        self.next = at + 1;
        self.replacing.extend(record.replacing.iter().map(|id| (index, id.clone())));
        self.size_bytes += record.digests.len_bytes;
        self.sent_bytes += record.sent_bytes();
        if self.root.plan.shape == Shape::Chunks
            && record.digests.len_bytes < self.root.plan.chunk_size
            && self.short.is_none()
        {
            self.short = Some((at, record.digests.len_bytes));
        }
        if self.missing.is_empty() {
            for whole in &mut self.wholes {
                whole.add(&record.digests).map_err(|error| Error::Corrupt {
                    key: self.root.backup_id.to_string(),
                    why: error.to_string(),
                })?;
            }
        }
        self.add_row(index, record, segment)
    }

    fn add_row(&mut self, index: u32, record: &Record, segment: &Segment) -> Result<()> {
        let slot = self.root.plan.slot(index);
        let slot = slot.ok_or_else(|| Error::NoSuchChunk(u64::from(index)))?;
        if let Some(row) = self.rows.last_mut().filter(|row| row.slot == slot) {
            row.end = u64::from(index) + 1;
            row.size_bytes += record.digests.len_bytes;
            return Ok(());
        }
        let is_direct = slot.chunks == 1;
        let group = segment.groups.get(&slot.number);
        let grouped = || group.map_or_else(Vec::new, |group| group.etags.clone());
        self.rows.push(PartRow {
            slot,
            end: u64::from(index) + 1,
            size_bytes: record.digests.len_bytes,
            etags: if is_direct { record.etags.clone() } else { grouped() },
            sha256: if is_direct { record.sha256() } else { group.map(|group| group.sha256) },
            checksum: self.algorithm.and_then(|name| record.checksum(name)),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<Inventory> {
        let chunks = self.root.plan.chunks().unwrap_or(self.highest);
        if let Some(chosen) = &mut self.chosen {
            let seen: BTreeSet<u16> = self.rows.iter().map(|row| row.slot.number).collect();
            chosen.retain(|number| !seen.contains(number));
            let indexes = chosen.iter().map(|number| u64::from(*number) - 1);
            self.missing = indexes.map(|index| ChunkRange { first: index, last: index }).collect();
        } else if self.next < chunks {
            self.missing.push(ChunkRange { first: self.next, last: chunks - 1 });
        }
        if let Some((index, offered)) =
            self.short.filter(|(index, _)| index + 1 < chunks && self.root.plan.size.is_none())
        {
            let wanted =
                format!("exactly {}, as more chunks follow it,", self.root.plan.chunk_size);
            return Err(Error::ChunkSizeMismatch { index, wanted, offered });
        }
        let digests = self.wholes.into_iter().map(Whole::finish).collect();
        Ok(Inventory {
            chunks,
            size_bytes: self.size_bytes,
            sent_bytes: self.sent_bytes,
            rows: self.rows,
            missing: self.missing,
            replacing: self.replacing,
            digests,
        })
    }
}

impl Inventory {
    /// Fails with the missing chunks. A session without a size and without chunks is an empty file
    /// only if its client names an expected digest: a finalize by mistake must not make an empty
    /// object.
    pub fn require_all(&self, root: &Root, expected: Option<&Expected>) -> Result<()> {
        if self.chunks == 0 && root.plan.size.is_none() && expected.is_none() {
            return Err(Error::Incomplete { missing: vec![ChunkRange { first: 0, last: 0 }] });
        }
        if self.missing.is_empty() {
            Ok(())
        } else {
            Err(Error::Incomplete { missing: self.missing.clone() })
        }
    }

    /// The object that the parts make.
    pub fn finished(&self, root: &Root, written: &Written) -> Finished {
        Finished {
            etag: written.etag.clone(),
            version: written.version.clone(),
            size_bytes: self.size_bytes,
            digests: self.digests.clone(),
            checksum: self.checksum(root),
            unhashed_parts: self.rows.iter().any(|row| row.is_direct_and_unhashed()),
            sent_bytes: Some(self.sent_bytes),
            condition: None,
        }
    }

    /// The checksum of the object in the client's algorithm; None where a part has none.
    fn checksum(&self, root: &Root) -> Option<ObjectChecksum> {
        let (_, kind) = root.s3.as_ref()?.object_checksum();
        let parts = self.rows.iter().map(|row| Some((row.checksum.clone()?, row.size_bytes)));
        ObjectChecksum::of_parts(kind, &parts.collect::<Option<Vec<_>>>()?)
    }

    /// The digest of a kind, where the records have it.
    pub fn digest(&self, kind: Kind) -> Option<&Expected> {
        self.digests.iter().find(|digest| digest.kind == kind)
    }
}
