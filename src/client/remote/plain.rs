//! An object without a record of chunks, such as one that an S3 tool put whole.
//!
//! Guarantees: all bytes are those of one object; what is checked of them, and by what, is said.

use bytes::Bytes;

use super::object::{ObjectHead, object_bytes, part_lengths};
use crate::client::{Error, Result, Target, Transport, chunking::Chunking};
use crate::digest::{Algorithm, Checksum, ChecksumHasher, composite};

/// How much is read at once.
const READ_BYTES: u64 = 8 << 20;

/// An object, and what its bytes can be checked by.
pub(in crate::client) struct PlainObject {
    target: Target,
    head: ObjectHead,
    chunking: Chunking,
    check: Check,
}

/// What an object's bytes can be checked by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::client) enum Check {
    /// The checksum of all bytes.
    Whole(Checksum),
    /// The checksum of the checksums of the parts, which have these lengths.
    Parts(Checksum, Vec<u64>),
    /// There is no checksum.
    Length,
}

impl PlainObject {
    pub async fn open(transport: &Transport, target: &Target, head: ObjectHead) -> Result<Self> {
        let check = match recorded(&head) {
            (Some(checksum), false) => Check::Whole(checksum),
            (Some(checksum), true) => {
                let lengths = part_lengths(transport, target).await?;
                let is_whole = lengths.iter().sum::<u64>() == head.size;
                if is_whole { Check::Parts(checksum, lengths) } else { Check::Length }
            }
            (None, _) => Check::Length,
        };
        let chunking = Chunking::new(head.size, READ_BYTES);
        Ok(Self { target: target.clone(), head, chunking, check })
    }

    pub fn head(&self) -> &ObjectHead {
        &self.head
    }

    pub fn chunking(&self) -> Chunking {
        self.chunking
    }

    pub fn check(&self) -> &Check {
        &self.check
    }

    pub async fn fetch(&self, transport: &Transport, index: u64) -> Result<Bytes> {
        let start = self.chunking.offset_of(index);
        let range = start..start + self.chunking.len_of(index);
        let bytes = object_bytes(transport, &self.target, &self.head.etag, range).await;
        bytes.map_err(|error| {
            if !matches!(error, Error::BrokenOff { .. }) {
                return error;
            }
            let (target, source) = (self.target.clone(), Box::new(error));
            Error::UnreadableChunk { target, index, source }
        })
    }

    /// **Errors**: `CorruptObject`.
    pub fn require(&self, checking: Checking) -> Result<()> {
        let (recorded, found) = (self.check.checksum(), checking.finish());
        match (recorded, found) {
            (Some(recorded), Some(found)) if *recorded != found => Err(Error::CorruptObject {
                target: self.target.clone(),
                found: found.to_string(),
                recorded: recorded.to_string(),
            }),
            _ => Ok(()),
        }
    }
}

impl Check {
    fn checksum(&self) -> Option<&Checksum> {
        match self {
            Self::Whole(checksum) | Self::Parts(checksum, _) => Some(checksum),
            Self::Length => None,
        }
    }

    /// Whether other bytes of the same length can be told apart by it.
    pub fn tells_apart(&self) -> bool {
        let weak = [Algorithm::Crc32, Algorithm::Crc32c];
        self.checksum().is_some_and(|checksum| !weak.contains(&checksum.algorithm()))
    }

    pub fn start(&self) -> Checking {
        let (algorithm, parts) = match self {
            Self::Whole(checksum) => (Some(checksum.algorithm()), None),
            Self::Parts(checksum, lengths) => {
                (Some(checksum.algorithm()), Some(lengths.clone().into_iter()))
            }
            Self::Length => (None, None),
        };
        let mut checking = Checking {
            hasher: algorithm.map(ChecksumHasher::new),
            rest_of_part: u64::MAX,
            parts,
            finished: Vec::new(),
        };
        checking.rest_of_part = checking.next_part();
        checking
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(checksum) => write!(f, "{} of the object", checksum.algorithm()),
            Self::Parts(checksum, _) => write!(f, "{} of the parts", checksum.algorithm()),
            Self::Length => f.write_str("length alone"),
        }
    }
}

/// The check of bytes that come in order.
pub(in crate::client) struct Checking {
    hasher: Option<ChecksumHasher>,
    /// Bytes until the part ends.
    rest_of_part: u64,
    /// The lengths of the parts that follow; None: the object is one.
    parts: Option<std::vec::IntoIter<u64>>,
    finished: Vec<Checksum>,
}

impl Checking {
    fn next_part(&mut self) -> u64 {
        self.parts.as_mut().map_or(u64::MAX, |parts| parts.next().unwrap_or(u64::MAX))
    }

    pub fn update(&mut self, mut bytes: &[u8]) {
        let Some(hasher) = &mut self.hasher else { return };
        let algorithm = hasher.algorithm();
        while !bytes.is_empty() {
            let hasher = self.hasher.get_or_insert_with(|| ChecksumHasher::new(algorithm));
            let taken = usize::try_from(self.rest_of_part).unwrap_or(usize::MAX).min(bytes.len());
            let (of_part, rest) = bytes.split_at(taken);
            hasher.update(of_part);
            self.rest_of_part -= taken as u64;
            bytes = rest;
            if self.rest_of_part == 0 {
                let finished = self.hasher.replace(ChecksumHasher::new(algorithm));
                self.finished.extend(finished.map(ChecksumHasher::finish));
                self.rest_of_part = self.next_part();
            }
        }
    }

    fn finish(mut self) -> Option<Checksum> {
        if self.parts.is_some() {
            // The last part may be empty.
            let last = self.hasher.take().filter(|_| self.rest_of_part == 0);
            self.finished.extend(last.map(ChecksumHasher::finish));
            return composite(&self.finished);
        }
        self.hasher.map(ChecksumHasher::finish)
    }
}

/// The checksum that the head of an object has, and whether it is one of its parts.
fn recorded(head: &ObjectHead) -> (Option<Checksum>, bool) {
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    for algorithm in Algorithm::ALL {
        let Some(value) = text(algorithm.header().as_str()) else { continue };
        // `BASE64-3` is that of three parts.
        let value = value.split_once('-').map_or((value, false), |(value, _)| (value, true));
        if let Some(checksum) = Checksum::from_base64(algorithm, value.0) {
            return (Some(checksum), value.1);
        }
    }
    // With these kinds of encryption an ETag is no MD5.
    if text("x-amz-server-side-encryption").is_some_and(|kind| kind.starts_with("aws:kms")) {
        return (None, false);
    }
    let (hex, of_parts) =
        head.etag.split_once('-').map_or((head.etag.as_str(), false), |(hex, _)| (hex, true));
    (Checksum::md5_from_hex(hex), of_parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hasher = ChecksumHasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    #[test]
    fn bytes_are_checked_whole_and_by_parts_however_they_come() {
        let bytes = b"abcdefghijk";
        let parts = [&bytes[..5], &bytes[5..6], &bytes[6..]];
        for algorithm in [Algorithm::Md5, Algorithm::Sha256, Algorithm::Crc32] {
            let sums: Vec<Checksum> = parts.iter().map(|part| checksum(algorithm, part)).collect();
            let whole = Check::Whole(checksum(algorithm, bytes));
            let by_parts = Check::Parts(composite(&sums).unwrap(), vec![5, 1, 5]);
            for check in [whole, by_parts] {
                for step in [1, 4, 11] {
                    let (mut good, mut bad) = (check.start(), check.start());
                    bytes.chunks(step).for_each(|bytes| good.update(bytes));
                    b"abcdefghijK".chunks(step).for_each(|bytes| bad.update(bytes));
                    assert_eq!(good.finish().as_ref(), check.checksum(), "{check} {step}");
                    assert_ne!(bad.finish().as_ref(), check.checksum(), "{check} {step}");
                }
            }
        }
        assert_eq!(Check::Length.start().finish(), None);
    }
}
