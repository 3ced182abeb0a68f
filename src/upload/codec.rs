//! The JSON of the records.
//!
//! Guarantees: what is encoded decodes to the same value; a document of a later version is refused,
//! not misread; so is one of which a byte was lost or turned over on its way, for each ends with
//! the CRC64NVME of all its bytes before that. A chunk's record takes about 130 bytes, so a segment
//! of 256 stays under 64 KiB with every kind of digest. It reads and writes no store.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::{Algorithm, Checksum, ChecksumHasher, ChunkDigests, Contribution, Sha256};
use crate::store::ETag;

use super::manifest::{GroupRecord, Record, Root, Segment, Stamp};

const VERSION: u32 = 1;

/// A record that lives in the store as one JSON object and is changed by conditional writes.
pub(super) trait Document: Sized + Send + Sync + 'static {
    fn stamp(&self) -> &Stamp;
    fn encode(&self) -> Vec<u8>;
    /// The error is for a person.
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    value: T,
}

/// The last member of a document, and what closes it. Over plain HTTP nothing else protects what a
/// store answers.
const SUM: &str = ",\"crc64nvme\":\"";
const END: &str = "\"}";
const SUM_CHARS: usize = 12;

fn sum(bytes: &[u8]) -> String {
    let mut hasher = ChecksumHasher::new(Algorithm::Crc64Nvme);
    hasher.update(bytes);
    hasher.finish().base64()
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&Versioned { version: VERSION, value })
        .expect("records have string keys and no failing parts");
    // The closing brace.
    bytes.pop();
    let sum = sum(&bytes);
    bytes.extend([SUM, &sum, END].concat().into_bytes());
    bytes
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let at = bytes.len().saturating_sub(SUM.len() + SUM_CHARS + END.len());
    let (before, tail) = bytes.split_at(at);
    if tail != [SUM, &sum(before), END].concat().as_bytes() {
        return Err(
            "its bytes are not those that were written: the CRC64NVME at its end is absent or another".to_owned()
        );
    }
    let found: Versioned<T> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if found.version == VERSION {
        Ok(found.value)
    } else {
        Err(format!("version {} is not version {VERSION}", found.version))
    }
}

impl Document for Root {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes)
    }
}

/// Which backup is the open one of a target.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OpenEntry {
    #[serde(flatten)]
    pub stamp: Stamp,
    pub backup_id: String,
}

impl Document for OpenEntry {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes)
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<Checksum>,
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
    // Keys are numbers in text; `flatten` above keeps serde from reading them as numbers by itself.
    chunks: BTreeMap<String, ChunkJson>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<String, GroupJson>,
}

impl Document for Segment {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn encode(&self) -> Vec<u8> {
        let chunk = |record: &Record| ChunkJson {
            sha256: record.digests.sha256.base64(),
            len: record.digests.len_bytes,
            etags: record.etags.clone(),
            digest: record.digests.contribution.clone(),
            invalidated: record.invalidated,
            checksum: record.checksum.clone(),
        };
        let group = |group: &GroupRecord| GroupJson {
            sha256: group.sha256.base64(),
            len: group.size_bytes,
            etags: group.etags.clone(),
        };
        encode(&SegmentJson {
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
        let json: SegmentJson = decode(bytes)?;
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
                    checksum: chunk.checksum,
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
    use crate::digest::{ChunkHasher, Kind};

    fn full_segment() -> Segment {
        let mut segment =
            Segment { stamp: Stamp::default().next("w1").next("w2"), ..Segment::default() };
        for index in 0..256_u32 {
            let mut hasher = ChunkHasher::new(Some(Kind::Blake3), u64::from(index) << 23);
            hasher.update(&index.to_le_bytes());
            let etags = vec![ETag(format!("{index:032x}"))];
            segment.chunks.insert(
                index,
                Record { digests: hasher.finish(), etags, invalidated: index == 7, checksum: None },
            );
        }
        segment.groups.insert(
            1,
            GroupRecord { etags: vec![ETag::from("x")], size_bytes: 9, sha256: Sha256::of(b"x") },
        );
        segment
    }

    #[test]
    fn a_segment_comes_back_and_stays_small() {
        let segment = full_segment();
        let bytes = segment.encode();
        assert_eq!(Segment::decode(&bytes).unwrap(), segment);
        assert!(bytes.len() < 64 << 10, "{}", bytes.len());
    }

    #[test]
    fn a_later_version_is_refused() {
        let later = Versioned { version: VERSION + 1, value: SegmentJson::default() };
        let mut bytes = serde_json::to_vec(&later).unwrap();
        bytes.pop();
        let sum = sum(&bytes);
        bytes.extend([SUM, &sum, END].concat().into_bytes());
        assert!(Segment::decode(&bytes).unwrap_err().contains("version 2"));
    }

    #[test]
    fn a_byte_that_turned_over_or_was_lost_is_noticed() {
        let bytes = full_segment().encode();
        for at in (0..bytes.len()).step_by(97).chain(bytes.len() - 30..bytes.len()) {
            let mut turned = bytes.clone();
            turned[at] ^= 0x10;
            assert!(Segment::decode(&turned).is_err(), "byte {at} turned over");
            assert!(Segment::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(Segment::decode(b"{}").is_err());
        assert!(Segment::decode(b"").is_err());
    }
}
