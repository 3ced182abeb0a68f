//! The argument and result types of copies within a store.
//!
//! Guarantees: a source is named with the ETag that its caller saw, so that a copy never has other
//! bytes than those whose conditions were checked. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>, `API_UploadPartCopy.html`.

use super::{Attributes, Bucket, ETag, GetRange, Key, PutMode};
use crate::digest::Sha256;
use crate::names::AccountName;

/// An object to copy from, as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub struct CopySource<'a> {
    pub bucket: &'a Bucket,
    pub key: &'a Key,
    pub version: Option<&'a str>,
    /// `Kind::Precondition` if the source has another ETag.
    pub etag: &'a ETag,
    /// The ETag that a part of exactly these bytes had before, for a store that can choose; S3
    /// clients expect that of the same bytes.
    pub part_etag: Option<&'a ETag>,
}

/// Condition and attributes of the object that a copy makes. The attributes of the source are never
/// taken over by the store.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    pub mode: PutMode,
    pub attributes: Attributes,
    /// Who copies: a copy takes over blobs of this account only.
    pub account: Option<AccountName>,
}

/// The bytes `[first, end)` of an object, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSpan {
    pub first: u64,
    pub end: u64,
}

impl ByteSpan {
    pub fn len_bytes(self) -> u64 {
        self.end - self.first
    }

    pub fn range(self) -> GetRange {
        GetRange::Range { first: self.first, last: self.end.saturating_sub(1) }
    }
}

/// A part that the store copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopiedPart {
    pub etag: ETag,
    /// None if the store does not compute it.
    pub sha256: Option<Sha256>,
}
