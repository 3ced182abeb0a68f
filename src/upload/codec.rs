//! The JSON of a session's documents.
//!
//! Guarantees: what is encoded decodes to the same value. Version and checksum are the frame's
//! (`records::frame`). A chunk's record takes about 130 bytes, so a segment of 256 stays under
//! 64 KiB with every kind of digest. Pure: it reads and writes no store. Source:
//! docs/architecture.md#segments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Checksum, ChunkDigests, Contribution, Sha256};
use crate::names::BackupId;
use crate::records::{Document, Stamp, frame};
use crate::store::ETag;

use super::manifest::{GroupRecord, PartFacts, Record, Root, Segment};

impl Document for Root {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    fn encode(&self) -> Vec<u8> {
        frame::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        frame::decode(bytes)
    }
}

/// Names the open backup of a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenEntry {
    #[serde(flatten)]
    pub stamp: Stamp,
    pub backup_id: BackupId,
}

impl Document for OpenEntry {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    fn encode(&self) -> Vec<u8> {
        frame::encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        frame::decode(bytes)
    }
}

#[derive(Serialize, Deserialize)]
struct ChunkJson {
    /// Base64.
    sha256: String,
    len: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    etags: Vec<ETag>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Contribution>,
    #[serde(rename = "struck", default, skip_serializing_if = "std::ops::Not::not")]
    invalidated: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unhashed: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    known: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<Checksum>,
    /// All but the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(rename = "at", default, skip_serializing_if = "Option::is_none")]
    written_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replacing: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct GroupJson {
    /// Base64.
    sha256: String,
    len: u64,
    etags: Vec<ETag>,
}

#[derive(Default, Serialize, Deserialize)]
struct SegmentJson {
    #[serde(flatten)]
    stamp: Stamp,
    // The keys are numbers as text: because of `flatten` above, serde does not read them as
    // numbers.
    chunks: BTreeMap<String, ChunkJson>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, GroupJson>,
}

impl Document for Segment {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    fn encode(&self) -> Vec<u8> {
        let chunk = |record: &Record| ChunkJson {
            sha256: record.digests.sha256.base64(),
            len: record.digests.len_bytes,
            etags: record.etags.clone(),
            digest: record.digests.contribution.clone(),
            invalidated: record.invalidated,
            unhashed: record.unhashed,
            known: record.known,
            checksum: record.part.checksums.first().cloned(),
            checksums: record.part.checksums.iter().skip(1).cloned().collect(),
            written_at: record.part.written_at,
            replacing: record.replacing.clone(),
        };
        let group = |group: &GroupRecord| GroupJson {
            sha256: group.sha256.base64(),
            len: group.size_bytes,
            etags: group.etags.clone(),
        };
        frame::encode(&SegmentJson {
            stamp: self.stamp.clone(),
            chunks: self
                .chunks
                .iter()
                .map(|(index, record)| (index.to_string(), chunk(record)))
                .collect(),
            groups: self
                .groups
                .iter()
                .map(|(number, record)| (number.to_string(), group(record)))
                .collect(),
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        let json: SegmentJson = frame::decode(bytes)?;
        let number =
            |text: &str| text.parse::<u32>().map_err(|_| format!("{text:?} is no chunk index"));
        let mut segment = Self { stamp: json.stamp, ..Self::default() };
        for (index, chunk) in json.chunks {
            let sha256 = Sha256::from_base64(&chunk.sha256)
                .ok_or_else(|| format!("chunk {index} has no SHA-256"))?;
            let digests = ChunkDigests { sha256, len_bytes: chunk.len, contribution: chunk.digest };
            segment.chunks.insert(
                number(&index)?,
                Record {
                    digests,
                    etags: chunk.etags,
                    invalidated: chunk.invalidated,
                    unhashed: chunk.unhashed,
                    // An older gateway said no more of a part that the store copied.
                    known: chunk.known || chunk.unhashed,
                    part: PartFacts {
                        checksums: chunk.checksum.into_iter().chain(chunk.checksums).collect(),
                        written_at: chunk.written_at,
                    },
                    replacing: chunk.replacing,
                },
            );
        }
        for (part, group) in json.groups {
            let part =
                u16::try_from(number(&part)?).map_err(|_| format!("{part:?} is no part number"))?;
            let sha256 = Sha256::from_base64(&group.sha256)
                .ok_or_else(|| format!("part {part} has no SHA-256"))?;
            segment
                .groups
                .insert(part, GroupRecord { etags: group.etags, size_bytes: group.len, sha256 });
        }
        Ok(segment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{Algorithm, ChecksumHasher, ChunkHasher, Kind};

    fn full_segment() -> Segment {
        let mut segment =
            Segment { stamp: Stamp::default().next("w1").next("w2"), ..Segment::default() };
        for index in 0..256_u32 {
            let mut hasher = ChunkHasher::new(Some(Kind::Blake3), u64::from(index) << 23);
            hasher.update(&index.to_le_bytes());
            let etags = vec![ETag(format!("{index:032x}"))];
            segment.chunks.insert(
                index,
                Record {
                    digests: hasher.finish(),
                    etags,
                    invalidated: index == 7,
                    unhashed: index == 8,
                    known: index >= 8,
                    part: PartFacts::default(),
                    replacing: Vec::new(),
                },
            );
        }
        segment.groups.insert(
            1,
            GroupRecord { etags: vec![ETag::from("x")], size_bytes: 9, sha256: Sha256::of(b"x") },
        );
        segment
    }

    #[test]
    fn a_segment_decodes_to_what_was_encoded_and_stays_small() {
        let segment = full_segment();
        let bytes = segment.encode();
        assert_eq!(Segment::decode(&bytes).unwrap(), segment);
        assert!(bytes.len() < 64 << 10, "{}", bytes.len());
    }

    #[test]
    fn what_is_recorded_of_a_part_is_kept_and_small() {
        let mut segment = full_segment();
        let sums = [Algorithm::Crc32, Algorithm::Crc64Nvme];
        for (index, record) in &mut segment.chunks {
            // Odd ones as an older gateway recorded them.
            let kept = if index % 2 == 0 { &sums[..] } else { &sums[..1] };
            record.part.checksums =
                kept.iter().map(|algorithm| ChecksumHasher::new(*algorithm).finish()).collect();
            record.part.written_at = (index % 2 == 0).then_some(1_700_000_000);
        }
        let bytes = segment.encode();
        assert_eq!(Segment::decode(&bytes).unwrap(), segment);
        assert!(bytes.len() < 128 << 10, "{}", bytes.len());
    }

    #[test]
    fn a_record_of_an_older_gateway_counts_as_sent_unless_it_was_copied_unhashed() {
        let mut segment = full_segment();
        segment.chunks.values_mut().for_each(|record| record.known = false);
        let found = Segment::decode(&segment.encode()).unwrap();
        let known = found.chunks.iter().filter(|(_, record)| record.known);
        assert_eq!(known.map(|(index, _)| *index).collect::<Vec<_>>(), [8]);
    }
}
