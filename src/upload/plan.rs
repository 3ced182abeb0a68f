//! How chunks map to parts, and what length each chunk must have.
//!
//! Guarantees: every part but the last is within the store's limits; no plan needs more parts than
//! the store allows; a group of chunks never spans two segments unless it is made of whole
//! segments. Pure: it knows no store and no record. Source: docs/architecture.md#chunk-to-part.

use serde::{Deserialize, Serialize};

use crate::store::Limits;

/// Chunks per segment.
pub const SEGMENT: u32 = 256;

/// Without a size, the group doubles after this many parts: a power of two, so that no group spans
/// two segments (docs/decisions/0020-groups-double-after-1024-parts.md).
const PARTS_PER_GROUP_SIZE: u64 = 1024;

/// A chunk's index, from 0.
pub type ChunkIndex = u32;

/// Consecutive chunks `[first, last]`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    pub first: u64,
    pub last: u64,
}

/// Why a file cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("chunkSize must be at least 1 byte and at most {0} bytes")]
    ChunkSize(u64),
    #[error(
        "{size} bytes in chunks of {chunk_size} need more than {max_chunks} chunks; take larger chunks"
    )]
    TooMany { size: u64, chunk_size: u64, max_chunks: u64 },
    #[error("{size} bytes are more than the {max_size} that one object can have")]
    TooLarge { size: u64, max_size: u64 },
}

/// Who decides how long a chunk is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// The plan: every chunk but the last has `chunkSize` bytes.
    #[default]
    Chunks,
    /// The client, for each chunk: a chunk is a part of an S3 multipart upload
    /// (docs/architecture.md#chunk-size-of-an-s3-session).
    Parts,
}

impl Shape {
    fn is_chunks(&self) -> bool {
        *self == Self::Chunks
    }
}

/// How a session's chunks become parts. Fixed at create, kept in the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub chunk_size: u64,
    /// The size of the file, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Chunks per part, a power of two; 1: each chunk is a part and streams to the store directly.
    pub group: u32,
    pub max_parts: u16,
    #[serde(default, skip_serializing_if = "Shape::is_chunks")]
    pub shape: Shape,
}

/// A part and the chunks that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// From 1.
    pub number: u16,
    pub first_chunk: ChunkIndex,
    /// How many chunks it has, unless it is the last part.
    pub chunks: u32,
}

impl Plan {
    /// Plans a session. **Errors**: with chunks of this size the file does not fit into the store's
    /// parts.
    pub fn new(chunk_size: u64, size: Option<u64>, limits: Limits) -> Result<Self, PlanError> {
        if chunk_size == 0 || chunk_size > limits.max_part_bytes {
            return Err(PlanError::ChunkSize(limits.max_part_bytes));
        }
        let parts = u64::from(limits.max_parts);
        if let Some(size) = size.filter(|size| *size > parts.saturating_mul(limits.max_part_bytes))
        {
            return Err(PlanError::TooLarge {
                size,
                max_size: parts.saturating_mul(limits.max_part_bytes),
            });
        }
        let for_part = limits.min_part_bytes.div_ceil(chunk_size);
        let for_count = size.map_or(1, |size| size.div_ceil(chunk_size).div_ceil(parts));
        let group = for_part.max(for_count).max(1).next_power_of_two();
        let too_many = |size: u64| {
            let max_chunks =
                parts.saturating_mul(limits.max_part_bytes / chunk_size).min(u64::from(u32::MAX));
            PlanError::TooMany { size, chunk_size, max_chunks }
        };
        let fits = group.saturating_mul(chunk_size) <= limits.max_part_bytes || group == 1;
        let group = u32::try_from(group)
            .ok()
            .filter(|_| fits)
            .ok_or_else(|| too_many(size.unwrap_or(0)))?;
        let max_parts = if size.is_some() {
            limits.max_parts
        } else {
            parts_without_size(chunk_size, group, limits)
        };
        let plan = Self { chunk_size, size, group, max_parts, shape: Shape::Chunks };
        match plan.chunks() {
            Some(chunks) if chunks > plan.max_chunks() => Err(too_many(size.unwrap_or(0))),
            Some(_) | None => Ok(plan),
        }
    }

    /// The plan of an S3 multipart upload: chunk `i` is part `i` + 1, of a length that the client
    /// chooses.
    pub fn of_parts(limits: Limits) -> Self {
        Self {
            chunk_size: limits.max_part_bytes,
            size: None,
            group: 1,
            max_parts: limits.max_parts,
            shape: Shape::Parts,
        }
    }

    /// How many chunks the file has, if its size is known; 0 for an empty file.
    pub fn chunks(&self) -> Option<u64> {
        self.size.map(|size| size.div_ceil(self.chunk_size))
    }

    /// Whether the chunk is a part of its own and streams to the store directly. Without a size,
    /// groups become larger, so this may hold for the first chunks only.
    pub fn is_direct(&self, index: ChunkIndex) -> bool {
        self.slot(index).is_some_and(|slot| slot.chunks == 1)
    }

    /// The most chunks that fit into the parts.
    pub fn max_chunks(&self) -> u64 {
        let parts = u64::from(self.max_parts);
        let all = if self.size.is_some() || self.shape == Shape::Parts {
            parts * u64::from(self.group)
        } else {
            let (doublings, rest) = (parts / PARTS_PER_GROUP_SIZE, parts % PARTS_PER_GROUP_SIZE);
            u64::from(self.group)
                * (PARTS_PER_GROUP_SIZE * ((1 << doublings) - 1) + (rest << doublings))
        };
        all.min(u64::from(u32::MAX))
    }

    /// Where a chunk begins in the file. None: the client chooses the length of each chunk, so only
    /// the records say it. **Unit**: bytes.
    pub fn offset_of(&self, index: u64) -> Option<u64> {
        match self.shape {
            Shape::Chunks => index.checked_mul(self.chunk_size),
            Shape::Parts => None,
        }
    }

    /// The rule for the length of a chunk. None: there is no such chunk.
    pub fn chunk_len(&self, index: u64) -> Option<LenRule> {
        if index >= self.max_chunks() {
            return None;
        }
        if self.shape == Shape::Parts {
            return Some(LenRule::Part(self.chunk_size));
        }
        let Some(size) = self.size else { return Some(LenRule::UpTo(self.chunk_size)) };
        let start = self.offset_of(index).filter(|start| *start < size)?;
        Some(LenRule::Exactly(self.chunk_size.min(size - start)))
    }

    /// The part that a chunk belongs to; None after the last part.
    pub fn slot(&self, index: ChunkIndex) -> Option<Slot> {
        let (mut first_chunk, mut first_part, mut group) = (0_u64, 0_u64, u64::from(self.group));
        if self.size.is_none() && self.shape == Shape::Chunks {
            while u64::from(index) >= first_chunk + PARTS_PER_GROUP_SIZE * group {
                first_chunk += PARTS_PER_GROUP_SIZE * group;
                first_part += PARTS_PER_GROUP_SIZE;
                group *= 2;
            }
        }
        let within = (u64::from(index) - first_chunk) / group;
        let number = u16::try_from(first_part + within + 1)
            .ok()
            .filter(|number| *number <= self.max_parts)?;
        let first = u32::try_from(first_chunk + within * group).ok()?;
        Some(Slot { number, first_chunk: first, chunks: u32::try_from(group).ok()? })
    }
}

/// How many parts there can be before a doubled group would be larger than the largest part.
fn parts_without_size(chunk_size: u64, group: u32, limits: Limits) -> u16 {
    let first = chunk_size.saturating_mul(u64::from(group)).max(1);
    let sizes = u64::from((limits.max_part_bytes / first).max(1).ilog2()) + 1;
    u16::try_from(sizes * PARTS_PER_GROUP_SIZE).unwrap_or(u16::MAX).min(limits.max_parts)
}

/// The rule for the length of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LenRule {
    Exactly(u64),
    /// In `[1, n]`; only the last chunk may have less than `n`, which finalize checks.
    UpTo(u64),
    /// In `[0, n]`; S3 checks the minimum length of a part when the upload is completed.
    Part(u64),
}

impl LenRule {
    pub fn allows(self, len_bytes: u64) -> bool {
        match self {
            Self::Exactly(len) => len_bytes == len,
            Self::UpTo(max_len) => (1..=max_len).contains(&len_bytes),
            Self::Part(max_len) => len_bytes <= max_len,
        }
    }
}

impl std::fmt::Display for LenRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(len) => write!(f, "exactly {len}"),
            Self::UpTo(max_len) => write!(f, "1 to {max_len}"),
            Self::Part(max_len) => write!(f, "at most {max_len}"),
        }
    }
}

impl Slot {
    /// One past its last chunk, if the file has `total` chunks.
    pub fn end(&self, total: u64) -> u64 {
        (u64::from(self.first_chunk) + u64::from(self.chunks)).min(total)
    }
}

/// The segment that records a chunk.
pub fn segment_of(index: ChunkIndex) -> u32 {
    index / SEGMENT
}

/// The indexes below `total` that are missing in an ascending list, as ranges.
pub fn gaps(stored: impl IntoIterator<Item = u32>, total: u64) -> Vec<ChunkRange> {
    let mut gaps = Vec::new();
    let mut next = 0;
    for index in stored.into_iter().map(u64::from) {
        if index > next {
            gaps.push(ChunkRange { first: next, last: index - 1 });
        }
        next = index + 1;
    }
    if next < total {
        gaps.push(ChunkRange { first: next, last: total - 1 });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn large_chunks_are_parts_and_small_ones_are_grouped() {
        for (chunk_size, size, group) in [
            (8 * MIB, Some(100 * MIB), 1),
            (5 * MIB, Some(100 * MIB), 1),
            (4 * MIB, Some(100 * MIB), 2),
            (1024, Some(10 * MIB), 8192),
            (8 * MIB, Some(8 * MIB * 10_000), 1),
            (8 * MIB, Some(8 * MIB * 10_000 + 1), 2),
            (8 * MIB, None, 1),
            (8 * MIB, Some(0), 1),
        ] {
            let plan = Plan::new(chunk_size, size, Limits::S3).unwrap();
            assert_eq!(plan.group, group, "{chunk_size} {size:?}");
        }
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused() {
        assert!(matches!(Plan::new(0, None, Limits::S3), Err(PlanError::ChunkSize(_))));
        assert!(matches!(Plan::new((5 << 30) + 1, None, Limits::S3), Err(PlanError::ChunkSize(_))));
        assert!(matches!(
            Plan::new(8 * MIB, Some(60 << 40), Limits::S3),
            Err(PlanError::TooLarge { .. })
        ));
        assert!(matches!(
            Plan::new(3 << 30, Some(40 << 40), Limits::S3),
            Err(PlanError::TooMany { .. })
        ));
    }

    #[test]
    fn every_chunk_has_one_part_and_every_group_is_whole_segments_or_within_one() {
        for plan in [
            Plan::new(8 * MIB, None, Limits::S3).unwrap(),
            Plan::new(4 * MIB, None, Limits::S3).unwrap(),
            Plan::new(4 * MIB, Some(4 * MIB * 300_000), Limits::S3).unwrap(),
        ] {
            let mut index = 0;
            let mut number = 0;
            while u64::from(index) < plan.max_chunks().min(600_000) {
                let slot = plan.slot(index).unwrap();
                number += 1;
                assert_eq!((slot.number, slot.first_chunk), (number, index), "{plan:?}");
                let last = slot.first_chunk + slot.chunks - 1;
                assert_eq!(plan.slot(last).unwrap(), slot);
                let within = segment_of(slot.first_chunk) == segment_of(last);
                assert!(
                    within || (slot.first_chunk % SEGMENT == 0 && slot.chunks % SEGMENT == 0),
                    "{slot:?}"
                );
                index += slot.chunks;
            }
        }
    }

    #[test]
    fn chunks_of_an_unknown_size_end_at_the_last_part() {
        let plan = Plan::new(8 * MIB, None, Limits::S3).unwrap();
        let last = u32::try_from(plan.max_chunks() - 1).unwrap();
        assert_eq!(plan.slot(last).map(|slot| slot.number), Some(10_000));
        assert_eq!(plan.slot(last + 1), None);
        assert_eq!(plan.chunk_len(plan.max_chunks()), None);
    }

    #[test]
    fn every_chunk_has_its_length() {
        let plan = Plan::new(10, Some(25), Limits { min_part_bytes: 1, ..Limits::S3 }).unwrap();
        let lens: Vec<_> = (0..4).map(|i| plan.chunk_len(i)).collect();
        let exactly = |n| Some(LenRule::Exactly(n));
        assert_eq!(lens, [exactly(10), exactly(10), exactly(5), None]);
        assert_eq!(Plan::new(10, Some(0), Limits::S3).unwrap().chunk_len(0), None);
    }

    #[test]
    fn offsets_follow_from_the_chunk_size_only_where_it_is_fixed() {
        let plan = Plan::new(5 * MIB, None, Limits::S3).unwrap();
        assert_eq!(plan.offset_of(0), Some(0));
        assert_eq!(plan.offset_of(1 << 20), Some(5 << 40));
        assert_eq!(plan.offset_of(u64::MAX), None, "no overflow");
        assert_eq!(Plan::of_parts(Limits::S3).offset_of(0), None);
    }

    #[test]
    fn gaps_are_the_missing_ranges() {
        let range = |first, last| ChunkRange { first, last };
        assert_eq!(gaps([], 3), [range(0, 2)]);
        assert_eq!(gaps([0, 1, 4], 6), [range(2, 3), range(5, 5)]);
        assert_eq!(gaps([0, 1], 2), []);
        assert_eq!(gaps([], 0), []);
    }
}
