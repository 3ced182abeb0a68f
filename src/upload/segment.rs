//! The segments of a session: what is recorded of its chunks, and the rules by which that changes.
//!
//! Guarantees: every change is a pure function from the old document to the new one; a `FirstWins`
//! session never replaces a checksum; an invalidated record keeps its checksum
//! (docs/architecture.md#invalidated-records). It reads and writes no store: `codec` has the JSON,
//! `session::commit` writes it. Source: docs/architecture.md#segments.

use std::collections::BTreeMap;

use super::manifest::Policy;
use crate::digest::{Algorithm, Checksum, ChunkDigests, Sha256};
use crate::records::Stamp;
use crate::store::{ETag, WrittenPart};

/// What is recorded of one chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub digests: ChunkDigests,
    /// Every ETag that was seen for these bytes, the newest first, if the chunk is a part of its
    /// own; empty for a chunk of a group.
    pub etags: Vec<ETag>,
    /// Finalize found the bytes missing or changed: only bytes with this checksum are accepted
    /// again.
    pub invalidated: bool,
    /// The store copied the bytes, and nobody hashed them: the SHA-256 in `digests` stands for
    /// their ETag and length (docs/architecture.md#copied-parts).
    pub unhashed: bool,
    /// The store had the bytes, in an object or in a part of a predecessor, so no client had to
    /// send them for this session (docs/architecture.md#sent-and-known-bytes).
    pub known: bool,
    pub part: PartFacts,
    /// The puts that may replace the bytes at any moment
    /// (docs/architecture.md#replaced-parts).
    pub replacing: Vec<String>,
}

/// What is recorded besides of a chunk that is a part of an S3 upload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartFacts {
    /// In the algorithms of S3 clients, at most one of each: first the one that the client
    /// declared, or in the algorithm that it named at create.
    pub checksums: Vec<Checksum>,
    /// Seconds since 1970, by the gateway's wall clock; for display. None: an older gateway
    /// recorded it, or it is no part of an S3 upload.
    pub written_at: Option<u64>,
}

impl Record {
    /// The checksum of the bytes in an algorithm of S3 clients, if it is known.
    pub fn checksum(&self, algorithm: Algorithm) -> Option<Checksum> {
        let of_chunk =
            (algorithm == Algorithm::Sha256).then(|| Some(self.sha256()?.into())).flatten();
        of_chunk.or_else(|| self.part.checksum(algorithm).cloned())
    }
}

impl PartFacts {
    /// More checksums of one part than these are not kept.
    const MAX_CHECKSUMS: usize = 3;

    fn checksum(&self, algorithm: Algorithm) -> Option<&Checksum> {
        self.checksums.iter().find(|checksum| checksum.algorithm() == algorithm)
    }

    /// Adds the checksums that are recorded of the same bytes in other algorithms.
    pub(in crate::upload) fn extend(&mut self, older: &Self) {
        let other = older.checksums.iter().filter(|sum| self.checksum(sum.algorithm()).is_none());
        let other: Vec<Checksum> = other.cloned().collect();
        self.checksums.extend(other);
        self.checksums.truncate(Self::MAX_CHECKSUMS);
    }
}

impl Record {
    /// Whether the store holds bytes that have this SHA-256.
    pub fn is_of(&self, sha256: &Sha256) -> bool {
        !self.invalidated && !self.unhashed && self.digests.sha256 == *sha256
    }

    /// How many of its bytes a client sent.
    pub fn sent_bytes(&self) -> u64 {
        if self.known { 0 } else { self.digests.len_bytes }
    }

    /// None where nobody hashed the bytes.
    pub fn sha256(&self) -> Option<Sha256> {
        Some(self.digests.sha256).filter(|_| !self.unhashed)
    }
}

/// What is recorded of a part that holds a group of chunks, kept in the segment of its first chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    pub etags: Vec<ETag>,
    pub size_bytes: u64,
    pub sha256: Sha256,
}

/// The records of 256 consecutive chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    pub stamp: Stamp,
    /// By chunk index.
    pub chunks: BTreeMap<u32, Record>,
    /// By part number.
    pub groups: BTreeMap<u16, GroupRecord>,
}

/// A requested change of a segment.
#[derive(Clone, Debug)]
pub enum Change {
    /// Records a chunk whose bytes are durable: as a part with this ETag, or staged (None).
    Chunk {
        index: u32,
        digests: ChunkDigests,
        etag: Option<ETag>,
        /// As of `Record`.
        known: bool,
        part: PartFacts,
        /// The id with which the put announced that it replaces a recorded part.
        replaces: Option<String>,
    },
    /// Records a part that the store copied, and that nobody hashed.
    Unhashed {
        index: u32,
        digests: ChunkDigests,
        etag: ETag,
        part: PartFacts,
        /// As of `Chunk`.
        replaces: Option<String>,
    },
    /// Announces that a put is about to replace the bytes of a recorded part.
    BeginReplace { index: u32, id: String },
    /// The put ended without doing so.
    EndReplace { index: u32, id: String },
    /// Records a group whose bytes are durable as a part.
    Group { number: u16, written: WrittenPart, size_bytes: u64 },
    /// Invalidates the record of a chunk: the store does not hold its bytes.
    InvalidateChunk { index: u32 },
    /// Removes a group whose part is gone, and invalidates those of its chunks that are no longer
    /// staged.
    InvalidateGroup { number: u16, chunks: Vec<u32> },
}

/// The outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Recorded,
    /// Recorded by a put that had announced that it replaces the part, while no finalize could pass
    /// it over.
    Replaced,
    /// The same was recorded already; there is nothing to write.
    Known,
    /// Another checksum is recorded.
    Conflict {
        stored: Sha256,
    },
}

impl Segment {
    /// Applies one change. `Known` and `Conflict` leave the segment as it was.
    pub fn apply(&mut self, change: &Change, policy: Policy) -> Outcome {
        match change {
            Change::Chunk { index, digests, etag, known, part, replaces } => {
                let etags = etag.iter().cloned().collect();
                let new = Record {
                    digests: digests.clone(),
                    etags,
                    invalidated: false,
                    unhashed: false,
                    known: *known,
                    part: part.clone(),
                    replacing: Vec::new(),
                };
                self.record_put(*index, new, policy, replaces.as_deref())
            }
            Change::Unhashed { index, digests, etag, part, replaces } => {
                let new = Record {
                    digests: digests.clone(),
                    etags: vec![etag.clone()],
                    invalidated: false,
                    unhashed: true,
                    known: true,
                    part: part.clone(),
                    replacing: Vec::new(),
                };
                self.record_put(*index, new, policy, replaces.as_deref())
            }
            Change::BeginReplace { index, id } => match self.chunks.get_mut(index) {
                Some(record) if !record.invalidated && !record.replacing.contains(id) => {
                    record.replacing.push(id.clone());
                    Outcome::Recorded
                }
                Some(_) | None => Outcome::Known,
            },
            Change::EndReplace { index, id } if self.end_replace(*index, id) => Outcome::Recorded,
            Change::EndReplace { .. } => Outcome::Known,
            Change::Group { number, written, size_bytes } => {
                self.record_group(*number, written, *size_bytes)
            }
            Change::InvalidateChunk { index } => self.invalidate(&[*index]),
            Change::InvalidateGroup { number, chunks } => {
                let is_removed = self.groups.remove(number).is_some();
                let invalidated = self.invalidate(chunks);
                if is_removed { Outcome::Recorded } else { invalidated }
            }
        }
    }

    /// As `record`, for a put that may have announced that it replaces the part.
    fn record_put(
        &mut self,
        index: u32,
        new: Record,
        policy: Policy,
        replaces: Option<&str>,
    ) -> Outcome {
        let is_announced = replaces.is_some_and(|id| self.end_replace(index, id));
        match self.record(index, new, policy) {
            Outcome::Recorded | Outcome::Known if is_announced => Outcome::Replaced,
            Outcome::Replaced => Outcome::Recorded,
            outcome @ (Outcome::Recorded | Outcome::Known | Outcome::Conflict { .. }) => outcome,
        }
    }

    fn record(&mut self, index: u32, mut new: Record, policy: Policy) -> Outcome {
        let Some(old) = self.chunks.get_mut(&index) else {
            self.chunks.insert(index, new);
            return Outcome::Recorded;
        };
        if old.digests.sha256 != new.digests.sha256 {
            if policy == Policy::FirstWins {
                return Outcome::Conflict { stored: old.digests.sha256 };
            }
            let replacing = std::mem::take(&mut old.replacing);
            *old = Record { replacing, ..new };
            return Outcome::Recorded;
        }
        let etag = new.etags.first();
        let has_new_checksum =
            new.part.checksums.iter().any(|sum| !old.part.checksums.contains(sum));
        let has_new_etag = etag.is_some_and(|etag| !old.etags.contains(etag));
        if !(old.invalidated || has_new_checksum || has_new_etag) {
            return Outcome::Known;
        }
        if std::mem::take(&mut old.invalidated) {
            // These bytes are new; otherwise those that came first count.
            old.known = new.known;
        }
        new.part.extend(&old.part);
        old.part = PartFacts {
            written_at: new.part.written_at.or(old.part.written_at),
            checksums: new.part.checksums,
        };
        // The newest first: the store most likely lists this one.
        old.etags.retain(|known| !new.etags.contains(known));
        old.etags.splice(0..0, new.etags.clone());
        Outcome::Recorded
    }

    /// False where the put had not announced itself, or a finalize no longer waits for it.
    fn end_replace(&mut self, index: u32, id: &str) -> bool {
        let Some(record) = self.chunks.get_mut(&index) else { return false };
        let announced = record.replacing.len();
        record.replacing.retain(|other| other != id);
        record.replacing.len() < announced
    }

    fn record_group(&mut self, number: u16, written: &WrittenPart, size_bytes: u64) -> Outcome {
        let new = || GroupRecord { etags: Vec::new(), size_bytes, sha256: written.sha256 };
        let group = self.groups.entry(number).or_insert_with(new);
        let etag = &written.etag;
        if group.etags.contains(etag) {
            return Outcome::Known;
        }
        group.etags.insert(0, etag.clone());
        Outcome::Recorded
    }

    fn invalidate(&mut self, chunks: &[u32]) -> Outcome {
        let mut outcome = Outcome::Known;
        for index in chunks {
            if let Some(record) = self.chunks.get_mut(index).filter(|record| !record.invalidated) {
                record.invalidated = true;
                record.etags.clear();
                outcome = Outcome::Recorded;
            }
        }
        outcome
    }

    /// The record of a chunk whose bytes the store holds.
    pub fn stored(&self, index: u32) -> Option<&Record> {
        self.chunks.get(&index).filter(|record| !record.invalidated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(bytes: &[u8], etag: &str, known: bool) -> Change {
        let (sha256, len_bytes) = (Sha256::of(bytes), bytes.len() as u64);
        Change::Chunk {
            index: 0,
            digests: ChunkDigests { sha256, len_bytes, contribution: None },
            etag: Some(ETag::from(etag)),
            known,
            part: PartFacts::default(),
            replaces: None,
        }
    }

    /// How many bytes count as sent after these changes of one chunk.
    fn sent_bytes(changes: &[Change]) -> u64 {
        let mut segment = Segment::default();
        for change in changes {
            segment.apply(change, Policy::LastWins);
        }
        segment.chunks[&0].sent_bytes()
    }

    #[test]
    fn bytes_count_as_they_were_recorded_first() {
        let (sent, copied) = (chunk(b"ab", "1", false), chunk(b"ab", "2", true));
        let other = |known| chunk(b"xyz", "3", known);
        let invalidated = Change::InvalidateChunk { index: 0 };
        let table = [
            (vec![sent.clone()], 2),
            (vec![copied.clone()], 0),
            (vec![sent.clone(), copied.clone()], 2),
            (vec![copied.clone(), sent.clone()], 0),
            // They are other bytes.
            (vec![copied.clone(), other(false)], 3),
            (vec![sent.clone(), other(true)], 0),
            // The store had lost them.
            (vec![copied.clone(), invalidated.clone(), sent.clone()], 2),
            (vec![sent, invalidated, copied], 0),
        ];
        for (changes, expected) in table {
            assert_eq!(sent_bytes(&changes), expected, "{changes:?}");
        }
    }
}
