//! The errors of a store, and what a caller does about each.
//!
//! `Kind` is what callers act on; the text is for people and may change. The source is kept in
//! `source()` and printed once, where the error is reported. It knows no HTTP status: fronts map
//! kinds to statuses.

use std::error::Error as StdError;
use std::time::{Duration, SystemTime};

/// What a caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No such key; callers may expect that.
    NotFound,
    /// The object has no such version.
    NoSuchVersion,
    /// The version that was asked for is a delete marker.
    DeleteMarker,
    NoSuchBucket,
    /// The multipart upload does not exist: it was aborted or completed.
    NoSuchUpload,
    BucketExists,
    BucketNotEmpty,
    /// A condition does not hold (S3 412). Read again before concluding that another writer was
    /// first: the object may be the caller's own write.
    Precondition,
    /// A condition is undecided (S3 409 `ConditionalRequestConflict`): try again.
    Conflict,
    /// The object still has the ETag that the caller knows.
    NotModified,
    /// `complete` named a part that is absent or has another ETag.
    InvalidPart,
    /// A part that is not the last is below the store's minimum.
    TooSmall,
    /// No byte of the range exists.
    Range,
    /// The bytes do not match their checksum; nothing was stored.
    Checksum,
    /// The body that the caller gave failed; nothing was stored.
    Body,
    /// The store refuses the gateway's credentials or this action.
    Denied,
    /// The store cannot keep this name or these attributes.
    Invalid,
    /// The store does not have this feature.
    Unsupported,
    /// No space is left.
    Full,
    /// The store asks for fewer requests.
    SlowDown,
    /// No response, or a 5xx: the operation may have happened. Read again.
    Unavailable,
}

/// The delete marker in the place of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    pub version: Option<String>,
    pub modified: Option<SystemTime>,
}

/// An operation of a store that failed or was refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    kind: Kind,
    what: String,
    retry_after: Option<Duration>,
    marker: Option<Box<Marker>>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `what`: lower case, no full stop, the values that matter, never the source's text.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), retry_after: None, marker: None, source: None }
    }

    /// `Kind::Unavailable`.
    pub(super) fn unavailable(what: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, what)
    }

    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    #[must_use]
    pub(super) fn with_marker(mut self, marker: Option<Marker>) -> Self {
        self.marker = marker.map(Box::new);
        self
    }

    /// The delete marker that was found, if one was.
    pub fn marker(&self) -> Option<&Marker> {
        self.marker.as_deref()
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long the store asked the caller to wait.
    pub fn pause(&self) -> Option<Duration> {
        self.retry_after
    }
}
