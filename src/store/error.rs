//! What can go wrong in a store, and what a caller must do about each.
//!
//! `Kind` is what callers act on; the text is for people and may change. The source is kept in
//! `source()` and printed once, at the edge. It knows no HTTP status: fronts translate.

use std::error::Error as StdError;
use std::time::Duration;

/// What a caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No such key: as a caller expects or not.
    NotFound,
    NoSuchBucket,
    /// The multipart upload is gone: aborted, or completed by someone.
    NoSuchUpload,
    BucketExists,
    BucketNotEmpty,
    /// A condition was refused for good: you lost (S3 412). Re-read before you believe it: it may
    /// be your own write.
    Precondition,
    /// A condition could not be decided (S3 409 `ConditionalRequestConflict`): try again.
    Conflict,
    /// The object still has the tag the caller knows.
    NotModified,
    /// `complete` named a part that is absent or has another tag.
    InvalidPart,
    /// A part that is not the last is below the store's minimum.
    TooSmall,
    /// No byte of the range exists.
    Range,
    /// The bytes are not what their checksum says; nothing was stored.
    Checksum,
    /// The body given to us failed; nothing was stored.
    Body,
    /// The store refuses our credentials or this action.
    Denied,
    /// The store cannot keep this name or these attributes.
    Invalid,
    /// No room left.
    Full,
    /// The store asks for fewer requests.
    SlowDown,
    /// No answer, or a 5xx: it may or may not have happened. Re-read.
    Unavailable,
}

/// A store's refusal or failure.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    kind: Kind,
    what: String,
    retry_after: Option<Duration>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// `what`: lower case, no full stop, the values that matter, never the source's text.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), retry_after: None, source: None }
    }

    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, pause: Duration) -> Self {
        self.retry_after = Some(pause);
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long the store asked us to wait.
    pub fn pause(&self) -> Option<Duration> {
        self.retry_after
    }
}
