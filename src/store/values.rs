//! The argument and result types of the store trait: names, ETags, part numbers, conditions.
//!
//! Guarantees: a `PartNumber` is in `[1, 10000]`; an `ETag` is opaque and kept without its quotes.
//! Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>

use std::fmt;
use std::num::NonZeroU16;
use std::time::SystemTime;

use crate::digest::{Algorithm, Checksum, Sha256};
use crate::names::{Bucket, Key};

use super::attributes::Attributes;
use super::received::combined_tag;

/// An entity tag without quotes. Opaque: compared, never computed with.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ETag(pub String);

/// The store's own id of a multipart upload.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UploadId(pub String);

/// A part's number, in `[1, 10000]`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct PartNumber(NonZeroU16);

impl PartNumber {
    /// The most parts an upload may have.
    pub const MAX: u16 = 10_000;

    /// None outside `[1, 10000]`.
    pub fn new(number: u32) -> Option<Self> {
        let number = u16::try_from(number).ok().filter(|n| *n <= Self::MAX)?;
        NonZeroU16::new(number).map(Self)
    }

    /// The number, in `[1, 10000]`.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text!(ETag, UploadId);

impl ETag {
    /// The ETag that S3 gives an object that is made of parts with these.
    pub fn of_parts<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        Self(combined_tag(parts.map(Self::as_str)))
    }
}

/// The condition of a `put`. Atomic: of any number of concurrent writers of one key, each condition
/// is decided against the write before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// The last write wins.
    Overwrite,
    /// Only if there is no object (`If-None-Match: *`).
    CreateOnly,
    /// Only if the object has this ETag (`If-Match`).
    IfMatch(ETag),
}

/// Condition, metadata and checksums of a `put`.
#[derive(Clone, Debug)]
pub struct PutOptions {
    pub mode: PutMode,
    pub attributes: Attributes,
    /// The SHA-256 of the bytes if it is known before them; an S3 server checks it too.
    pub sha256: Option<Sha256>,
    /// The checksum to store as `Head::checksum`; computed while the bytes pass.
    pub checksum: Option<Algorithm>,
}

impl Default for PutOptions {
    fn default() -> Self {
        Self {
            mode: PutMode::Overwrite,
            attributes: Attributes::default(),
            sha256: None,
            checksum: None,
        }
    }
}

/// The result of a successful write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub etag: ETag,
    /// Only in a bucket with versioning.
    pub version: Option<String>,
    /// The checksum that the store computed (`PutOptions::checksum`).
    pub checksum: Option<Checksum>,
}

/// The bytes that a `get` reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetRange {
    /// No bytes: the head only.
    Head,
    Whole,
    /// Bytes `[first, last]`, both included; a `last` past the object's end means its end.
    Range {
        first: u64,
        last: u64,
    },
    /// The last `n` bytes, `n` ≥ 1.
    Suffix(u64),
}

impl GetRange {
    /// The bytes `[first, end)` of an object of `size` bytes that are read; None if the range has
    /// no byte of the object.
    pub fn span(self, size: u64) -> Option<(u64, u64)> {
        match self {
            Self::Head => Some((0, 0)),
            Self::Whole => Some((0, size)),
            Self::Range { first, last } if first < size && first <= last => {
                Some((first, last.saturating_add(1).min(size)))
            }
            // RFC 9110 §14.1.2: satisfiable for an object without bytes too.
            Self::Suffix(bytes) if bytes > 0 => Some((size.saturating_sub(bytes), size)),
            Self::Range { .. } | Self::Suffix(_) => None,
        }
    }
}

/// Conditions and options of a `get`.
#[derive(Clone, Debug, Default)]
pub struct GetOptions {
    /// `Kind::Precondition` if the object has another ETag.
    pub if_match: Option<ETag>,
    /// `Kind::NotModified` if the object has this ETag.
    pub if_none_match: Option<ETag>,
    pub version: Option<String>,
    /// Whether the head shall contain the stored checksum; never with a range.
    pub checksum: bool,
}

/// An object's head.
#[derive(Clone, Debug)]
pub struct Head {
    pub etag: ETag,
    /// Length of the whole object, whatever range was read.
    pub size_bytes: u64,
    pub modified: SystemTime,
    /// The store's own time of the response (`Date`); ages are `date - modified`.
    pub date: SystemTime,
    pub attributes: Attributes,
    /// How many tags the object has.
    pub tag_count: usize,
    pub version: Option<String>,
    /// The checksum that `PutOptions::checksum` asked for.
    pub checksum: Option<Checksum>,
}

/// Which page of a listing to return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListOptions {
    pub prefix: String,
    /// Keys are rolled up at the first delimiter after the prefix.
    pub delimiter: Option<String>,
    /// Only keys and rolled-up prefixes after this one, in byte order.
    pub after: Option<String>,
    /// Where the store's own listing continues, instead of `after`.
    pub token: Option<String>,
    pub api: ListApi,
    /// At most this many entries and prefixes together; 0 means the store's own page, 1,000.
    pub limit: usize,
}

/// Which of S3's two listings is asked for; stores other than S3 servers have only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListApi {
    #[default]
    V2,
    /// `after` is its `marker`.
    V1,
}

/// Where the next page of a listing begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// The last key or rolled-up prefix of the page, or the marker that the store gave.
    pub after: String,
    /// What the store wants to be asked with. None: `after` says it all.
    pub token: Option<String>,
}

impl ListOptions {
    /// The next page of the same listing.
    pub fn continue_at(&mut self, next: Next) {
        (self.after, self.token) = (Some(next.after), next.token);
    }
}

/// A key in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub key: Key,
    pub size_bytes: u64,
    pub etag: ETag,
    pub modified: SystemTime,
    /// None: STANDARD.
    pub storage_class: Option<String>,
    /// The algorithm of the checksum of the whole object that is stored with it. None: there is
    /// none, or it is one of parts.
    pub checksum: Option<Algorithm>,
}

/// A page of a listing, in the byte order of the keys.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub objects: Vec<Listed>,
    /// Rolled-up prefixes, each with its delimiter.
    pub prefixes: Vec<String>,
    /// None on the last page.
    pub next: Option<Next>,
}

impl Page {
    /// The last key or prefix of the page.
    pub(super) fn last(&self) -> Option<&str> {
        let key = self.objects.last().map(|object| object.key.as_str());
        key.max(self.prefixes.last().map(String::as_str))
    }
}

/// What is known of a part before its bytes arrive, and what its ETag must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartOptions {
    pub sha256: Option<Sha256>,
    pub tag: PartTag,
}

/// What a part's ETag must be, if the store can choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartTag {
    /// Anything that needs no computation.
    #[default]
    Any,
    /// The MD5 of its bytes, which some S3 clients check.
    Md5,
}

impl From<Option<Sha256>> for PartOptions {
    fn from(sha256: Option<Sha256>) -> Self {
        Self { sha256, tag: PartTag::Any }
    }
}

/// The result of a successful `put_part`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenPart {
    pub etag: ETag,
    /// Declared or computed; `complete` sends it.
    pub sha256: Sha256,
}

/// A part that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPart {
    pub number: PartNumber,
    pub etag: ETag,
    pub size_bytes: u64,
    /// None if the store does not return it.
    pub sha256: Option<Sha256>,
}

/// A page of an upload's parts. A number can occur more than once: SeaweedFS lists overwritten
/// parts too.
#[derive(Clone, Debug, Default)]
pub struct PartPage {
    pub parts: Vec<StoredPart>,
    pub next: Option<PartNumber>,
}

/// A part as `complete` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChosenPart {
    pub number: PartNumber,
    pub etag: ETag,
    pub sha256: Option<Sha256>,
}

/// What `complete` makes of the parts, and under which condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    pub size_bytes: u64,
    /// As that of a `put`.
    pub mode: PutMode,
}

impl Completion {
    /// Without a condition.
    pub fn of(size_bytes: u64) -> Self {
        Self { size_bytes, mode: PutMode::Overwrite }
    }
}

/// A bucket in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketInfo {
    pub bucket: Bucket,
    pub created: SystemTime,
}

/// The limits of a store; every session's plan depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The minimum for every part but the last.
    pub min_part_bytes: u64,
    pub max_part_bytes: u64,
    pub max_parts: u16,
}

impl Limits {
    /// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
    pub const S3: Self =
        Self { min_part_bytes: 5 << 20, max_part_bytes: 5 << 30, max_parts: PartNumber::MAX };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_value_are_kept_whatever_they_are() {
        for bytes in [
            &b"plain"[..],
            "caf\u{e9} \u{20ac}".as_bytes(),
            b"caf\xe9",
            b"\xff\x80a",
            "\u{ef80}".as_bytes(),
            "\u{efff}\u{e9}".as_bytes(),
        ] {
            assert_eq!(&*Attributes::bytes_of(&Attributes::text_of(bytes)), bytes, "{bytes:?}");
        }
        assert_eq!(Attributes::text_of("caf\u{e9}".as_bytes()), "caf\u{e9}");
    }
}
