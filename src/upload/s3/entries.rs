//! Parts as clients declare them, as they are recorded, and as Complete lists them.
//!
//! Guarantees: a declared part is a recorded one only by its SHA-256 and length, or by its MD5
//! where that is enabled. Pure.

use super::super::manifest::{Record, Root};
use super::super::plan::ChunkIndex;
use crate::digest::{Algorithm, Checksum, Sha256};
use crate::hex::hex;
use crate::store::{ETag, PartNumber};

/// A recorded part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartEntry {
    pub number: u16,
    pub etag: ETag,
    pub size_bytes: u64,
    pub record: Record,
}

impl PartEntry {
    pub(in crate::upload) fn new(index: ChunkIndex, record: &Record) -> Self {
        Self {
            number: u16::try_from(index + 1).expect("an S3 part's number is at most 10,000"),
            etag: record
                .etags
                .first()
                .cloned()
                .unwrap_or_else(|| ETag::of_sha256(&record.digests.sha256)),
            size_bytes: record.digests.len_bytes,
            record: record.clone(),
        }
    }

    pub fn sha256(&self) -> Sha256 {
        self.record.digests.sha256
    }

    /// Whether these are an MD5 and a checksum of the recorded bytes; false also where that is not
    /// known.
    pub fn agrees(&self, md5: Option<[u8; 16]>, checksum: Option<&Checksum>) -> bool {
        let is_tag = |md5: [u8; 16]| self.record.etags.iter().any(|etag| etag.0 == hex(&md5));
        let is_recorded =
            |sum: &Checksum| self.record.checksum(sum.algorithm()).as_ref() == Some(sum);
        md5.is_none_or(is_tag) && checksum.is_none_or(is_recorded)
    }
}

/// A part as Complete lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenEntry {
    pub number: PartNumber,
    pub etag: ETag,
    pub checksum: Option<Checksum>,
}

/// What a client declares of a part before it sends the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartClaim {
    pub sha256: Option<Sha256>,
    /// Identifies a part only where `Resume::by_md5` is set: someone who can make two files with
    /// the same MD5 could pass one off as the other.
    pub md5: Option<[u8; 16]>,
    pub len_bytes: u64,
    /// The algorithm of the checksum that the client sends of the part, in the head or after it.
    pub algorithm: Option<Algorithm>,
    /// Whether the client sends its bytes only if the answer asks for them.
    pub waits: bool,
    /// Whether the client may read all of the bucket: then its bytes may be known from objects of
    /// other accounts.
    pub reads_bucket: bool,
}

impl PartClaim {
    /// Whether the recorded bytes are the declared ones.
    pub(super) fn matches(&self, record: &Record) -> bool {
        let by_md5 = self.md5.map(|md5| hex(&md5));
        let same = match self.sha256 {
            Some(sha256) => record.is_of(&sha256),
            None => by_md5.is_some_and(|md5| record.etags.iter().any(|etag| etag.0 == md5)),
        };
        same && record.digests.len_bytes == self.len_bytes && !record.invalidated
    }

    /// Whether the declared bytes are known to be others than the recorded ones.
    pub(super) fn is_of_other_bytes(&self, record: &Record) -> bool {
        let differs = |(declared, found)| declared != found;
        record.digests.len_bytes != self.len_bytes
            || self.sha256.zip(record.sha256()).is_some_and(differs)
    }

    /// Whether the record answers for the part without its bytes.
    pub(super) fn is_known(&self, record: &Record, root: &Root) -> bool {
        self.matches(record) && self.is_summed(record, root)
    }

    /// Whether the record has each checksum that the upload and this request need of the part. An
    /// upload for which none was named needs no checksum of every part.
    pub(in crate::upload) fn is_summed(&self, record: &Record, root: &Root) -> bool {
        let of_upload = root.s3.as_ref().and_then(|s3| s3.checksum).map(|(algorithm, _)| algorithm);
        let mut needed = of_upload.into_iter().chain(self.algorithm);
        needed.all(|algorithm| record.checksum(algorithm).is_some())
    }
}
