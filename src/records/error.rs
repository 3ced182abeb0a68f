//! Why a document could not be read or written, and what a caller does about it.
//!
//! `Kind` is what callers act on; the text is for people. The store's own error travels as the
//! source.

use std::time::Duration;

use crate::store;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The state bucket is gone: a person must look.
    NoSuchBucket,
    /// The store refuses the gateway's credentials or this action: a person must look.
    Denied,
    /// The document cannot be read, also not when it is read again: a person must look.
    Corrupt,
    /// No room left in the store.
    StoreFull,
    /// The store asks for fewer requests: try again later.
    SlowDown,
    /// The store does not respond as it should. A write may have happened. Try again.
    Unavailable,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}")]
    Store {
        kind: Kind,
        what: String,
        #[source]
        source: store::Error,
    },
    #[error("the record {key} cannot be read: {why}")]
    Corrupt { key: String, why: String },
    /// The process stopped in the middle of a group commit.
    #[error("{0}")]
    Interrupted(String),
}

/// An error after which the same operation may succeed.
pub trait Retryable {
    fn is_retryable(&self) -> bool;

    /// How long the store asked its callers to wait.
    fn retry_after(&self) -> Option<Duration>;
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store { kind, .. } => *kind,
            Self::Corrupt { .. } => Kind::Corrupt,
            Self::Interrupted(_) => Kind::Unavailable,
        }
    }

    /// The store failed while doing `what`. No part of a document's request comes from a client: if
    /// the store calls the request invalid or its body broken, it was damaged on the way, and the
    /// request can be repeated.
    pub(super) fn store(what: impl Into<String>, source: store::Error) -> Self {
        let kind = match source.kind() {
            store::Kind::NoSuchBucket => Kind::NoSuchBucket,
            store::Kind::Denied => Kind::Denied,
            store::Kind::Full => Kind::StoreFull,
            store::Kind::SlowDown => Kind::SlowDown,
            store::Kind::NotFound
            | store::Kind::NoSuchVersion
            | store::Kind::DeleteMarker
            | store::Kind::NoSuchUpload
            | store::Kind::BucketExists
            | store::Kind::BucketNotEmpty
            | store::Kind::Precondition
            | store::Kind::Conflict
            | store::Kind::NotModified
            | store::Kind::InvalidPart
            | store::Kind::Unsupported
            | store::Kind::TooSmall
            | store::Kind::Range
            | store::Kind::Checksum
            | store::Kind::Body
            | store::Kind::Invalid
            | store::Kind::Unavailable => Kind::Unavailable,
        };
        Self::Store { kind, what: what.into(), source }
    }

    /// Another writer changed the document first. The change can be tried again on its new content.
    pub(super) fn conflict(what: impl Into<String>, why: &str) -> Self {
        Self::store(what, store::Error::new(store::Kind::Conflict, why))
    }
}

impl Retryable for Error {
    fn is_retryable(&self) -> bool {
        matches!(self.kind(), Kind::Unavailable | Kind::SlowDown)
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store { source, .. } => source.pause(),
            Self::Corrupt { .. } | Self::Interrupted(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_failures_that_can_pass_are_retried() {
        let retried = |kind| Error::store("reading", store::Error::new(kind, "x")).is_retryable();
        for kind in [store::Kind::Unavailable, store::Kind::Invalid, store::Kind::Body] {
            assert!(retried(kind), "{kind:?}");
        }
        for kind in [store::Kind::Denied, store::Kind::Full, store::Kind::NoSuchBucket] {
            assert!(!retried(kind), "{kind:?}");
        }
    }
}
