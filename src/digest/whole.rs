//! The digest of a whole file, combined from the digests of its chunks in order.
//!
//! Guarantees: `blake3`, `crc64nvme` and `sha256-chunks` need no byte of the file again. Memory
//! grows with the logarithm of the number of chunks. `sha256` cannot be combined: it is a running
//! hash or a read-back (docs/architecture.md#expected-digests).

use std::fmt;
use std::str::FromStr;

use blake3::hazmat::{ChainingValue, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::chunk::ChunkDigests;
use super::sha256::ParseDigestError;
use crate::hex::{hex, unhex};

/// The kinds of whole-file digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Blake3,
    Crc64Nvme,
    Sha256Chunks,
    Sha256,
}

impl Kind {
    pub const ALL: [Self; 4] = [Self::Blake3, Self::Crc64Nvme, Self::Sha256Chunks, Self::Sha256];

    /// The name, which stands before the colon in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::Crc64Nvme => "crc64nvme",
            Self::Sha256Chunks => "sha256-chunks",
            Self::Sha256 => "sha256",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            ParseDigestError(text.to_owned(), "blake3, crc64nvme, sha256-chunks or sha256")
        })
    }
}

/// A whole-file digest that a client expects or that the gateway computed. Text: `<kind>:<hex>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Expected {
    pub kind: Kind,
    /// Lower-case hex, 64 digits, or 16 for `crc64nvme`.
    pub hex: String,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.hex)
    }
}

impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Expected {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseDigestError(text.to_owned(), "<kind>:<hex>");
        let (kind, value) = text.split_once(':').ok_or_else(bad)?;
        let kind = kind.parse()?;
        let well_formed = match kind {
            Kind::Crc64Nvme => unhex::<8>(value).is_some(),
            Kind::Blake3 | Kind::Sha256Chunks | Kind::Sha256 => unhex::<32>(value).is_some(),
        };
        if well_formed { Ok(Self { kind, hex: value.to_ascii_lowercase() }) } else { Err(bad()) }
    }
}

impl Serialize for Expected {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Expected {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A chunk has no value of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk} has no {kind} value")]
pub struct Unsupported {
    pub kind: Kind,
    /// From 0, in the order in which the chunks were added.
    pub chunk: u64,
}

enum State {
    Blake3 { stack: Vec<(u64, ChainingValue)>, only_root: Option<[u8; 32]> },
    Crc64(u64),
    Sha256Chunks(sha2::Sha256),
}

/// Combines the digests of chunks, in the order of the file, to that of the whole file.
pub struct Whole {
    kind: Kind,
    added: u64,
    state: State,
}

impl Whole {
    /// None for `Kind::Sha256`, which cannot be combined.
    pub fn new(kind: Kind) -> Option<Self> {
        let state = match kind {
            Kind::Blake3 => State::Blake3 { stack: Vec::new(), only_root: None },
            Kind::Crc64Nvme => State::Crc64(0),
            Kind::Sha256Chunks => State::Sha256Chunks(sha2::Sha256::new()),
            Kind::Sha256 => return None,
        };
        Some(Self { kind, added: 0, state })
    }

    /// Adds the next chunk; for `blake3` all but the last have the same power-of-two length.
    pub fn add(&mut self, chunk: &ChunkDigests) -> Result<(), Unsupported> {
        let missing = Unsupported { kind: self.kind, chunk: self.added };
        match &mut self.state {
            State::Blake3 { stack, only_root } => {
                let (cv, root) = chunk
                    .contribution
                    .as_ref()
                    .and_then(|contribution| contribution.blake3())
                    .ok_or(missing)?;
                *only_root = if self.added == 0 { root } else { None };
                // Before the new subtree is added: complete left siblings are merged only if more
                // input follows them.
                merge_whole(stack, self.added);
                stack.push((self.added, cv));
            }
            State::Crc64(all) => {
                let crc = chunk
                    .contribution
                    .as_ref()
                    .and_then(|contribution| contribution.crc64nvme())
                    .ok_or(missing)?;
                *all = crc_fast::checksum_combine(
                    crc_fast::CrcAlgorithm::Crc64Nvme,
                    *all,
                    crc,
                    chunk.len_bytes,
                );
            }
            State::Sha256Chunks(all) => all.update(chunk.sha256.0),
        }
        self.added += 1;
        Ok(())
    }

    /// The digest of all chunks that were added; without chunks that of the empty file.
    pub fn finish(self) -> Expected {
        let hex = match self.state {
            State::Blake3 { stack, only_root } => hex(&blake3_root(stack, only_root)),
            State::Crc64(all) => format!("{all:016x}"),
            State::Sha256Chunks(all) => hex(&all.finalize()),
        };
        Expected { kind: self.kind, hex }
    }
}

/// Merges the subtrees on the stack that are complete after `added` chunks: one merge for each
/// trailing zero bit of `added`, as in the chunk stack of the BLAKE3 reference implementation.
fn merge_whole(stack: &mut Vec<(u64, ChainingValue)>, added: u64) {
    let whole = added.count_ones() as usize;
    while stack.len() > whole {
        let (Some((_, right)), Some((first, left))) = (stack.pop(), stack.pop()) else { return };
        stack.push((first, merge_subtrees_non_root(&left, &right, Mode::Hash)));
    }
}

fn blake3_root(mut stack: Vec<(u64, ChainingValue)>, only_root: Option<[u8; 32]>) -> [u8; 32] {
    let Some((_, mut right)) = stack.pop() else { return *blake3::hash(b"").as_bytes() };
    while let Some((_, left)) = stack.pop() {
        if stack.is_empty() {
            return *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes();
        }
        right = merge_subtrees_non_root(&left, &right, Mode::Hash);
    }
    only_root.unwrap_or(right)
}

#[cfg(test)]
mod tests {
    use super::super::{ChunkHasher, Sha256};
    use super::*;

    fn combined(kind: Kind, data: &[u8], chunk_size: usize) -> String {
        let mut whole = Whole::new(kind).unwrap();
        for (index, bytes) in data.chunks(chunk_size).enumerate() {
            let mut hasher = ChunkHasher::new(Some(kind), (index * chunk_size) as u64);
            hasher.update(bytes);
            whole.add(&hasher.finish()).unwrap();
        }
        whole.finish().hex
    }

    fn data(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn chunk_values_combine_to_the_digest_of_the_file() {
        for chunks in [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33] {
            for tail in [0, 1, 1023, 1024, 2047] {
                let data = data(chunks * 2048 + tail);
                assert_eq!(
                    combined(Kind::Blake3, &data, 2048),
                    blake3::hash(&data).to_hex().as_str(),
                    "{chunks} {tail}"
                );
                let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
                crc.update(&data);
                assert_eq!(
                    combined(Kind::Crc64Nvme, &data, 2048),
                    format!("{:016x}", crc.finalize())
                );
            }
        }
    }

    #[test]
    fn sha256_chunks_is_the_hash_of_the_chunk_hashes() {
        let data = data(5000);
        let parts: Vec<u8> = data.chunks(2048).flat_map(|c| Sha256::of(c).0).collect();
        assert_eq!(combined(Kind::Sha256Chunks, &data, 2048), Sha256::of(&parts).hex());
    }

    #[test]
    fn crc64nvme_of_the_check_string_is_the_catalogue_value() {
        // https://reveng.sourceforge.io/crc-catalogue/all.htm#crc.cat.crc-64-nvme
        assert_eq!(combined(Kind::Crc64Nvme, b"123456789", 9), "ae8b14860a799888");
    }

    #[test]
    fn expected_digests_parse_and_print() {
        let text = format!("blake3:{}", "0a".repeat(32));
        assert_eq!(text.parse::<Expected>().unwrap().to_string(), text);
        for bad in ["", "blake3", "blake3:", "md5:00", "crc64nvme:zz", "sha256:00"] {
            assert!(bad.parse::<Expected>().is_err(), "{bad}");
        }
    }
}
