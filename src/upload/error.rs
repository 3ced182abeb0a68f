//! Why an operation on a session failed, and what its caller does about it.
//!
//! `Kind` is what a front translates to its protocol, one row for each kind; the fields are the
//! values that the response names. The store's own error travels as the source, for the log only.
//! It knows no HTTP status.

use std::time::Duration;

use crate::digest::{Expected, Sha256};
use crate::names::{AccountName, BackupId, Bucket};
use crate::records::{self, Retryable};
use crate::store;

use super::ChunkRange;

/// How long the writer of a chunk waits while its session is being finalized.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

pub type Result<T> = std::result::Result<T, Error>;

/// What a caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Correct the request.
    BadRequest,
    /// No session of this account has that id.
    NoSuchBackup,
    /// The plan of the backup has no chunk with this index, or a complete one has fewer.
    NoSuchChunk,
    /// Create the bucket first.
    NoSuchBucket,
    /// The chunk does not have the length that the plan demands.
    ChunkSizeMismatch,
    /// The bytes are not what their checksum says: send them again.
    ChecksumMismatch,
    /// The whole file is not what `expectedDigest` says.
    DigestMismatch,
    /// A digest of this kind cannot be computed for this backup.
    DigestUnavailable,
    /// Another checksum is stored for this chunk: begin a fresh backup.
    ChecksumConflict,
    /// The id is taken by a backup with other parameters.
    BackupConflict,
    /// Chunks are missing: send them.
    Incomplete,
    /// Complete, aborted or superseded: begin a fresh backup.
    NotOpen,
    /// S3's Complete named a part that is absent or has another ETag.
    InvalidPart,
    /// S3's Complete named a part that is too small and not the last.
    PartTooSmall,
    /// The object at the target is not what S3's Complete demands: the upload stays open.
    ConditionFailed,
    /// The completed object was replaced or removed.
    ObjectChanged,
    /// The request's body ended early: send it again.
    BodyBroken,
    /// The account has as many open sessions as it is allowed: complete or abort some.
    QuotaExceeded,
    /// Try again later: the store asks for fewer requests, or the session is being finalized and
    /// may open again.
    SlowDown,
    /// No room left in the store.
    StoreFull,
    /// The store does not respond as it should. The operation may have happened. Try again.
    StoreUnavailable,
    /// The store refuses this for the target of the client.
    Denied,
    /// A document cannot be read, or the store refuses the gateway its own documents: a person must
    /// look.
    Internal,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    BadRequest(String),
    #[error("no backup {0:?}")]
    NoSuchBackup(BackupId),
    #[error("the backup has no chunk {0}")]
    NoSuchChunk(u64),
    #[error("no bucket {0:?}")]
    NoSuchBucket(Bucket),
    #[error("chunk {index} must have {wanted} bytes, not {offered}")]
    ChunkSizeMismatch { index: u64, wanted: String, offered: u64 },
    #[error("the bytes of chunk {index} have {found}, not {declared}")]
    ChecksumMismatch { index: u64, declared: Sha256, found: Sha256 },
    #[error("the object has {found}, not {expected}")]
    DigestMismatch { expected: Expected, found: Expected },
    #[error("{0}")]
    DigestUnavailable(String),
    #[error("chunk {index} is stored with {stored}, not {offered}")]
    ChecksumConflict { index: u64, stored: Sha256, offered: Sha256 },
    #[error("backup {id:?} exists with another {field}")]
    BackupConflict { id: BackupId, field: &'static str },
    #[error("{} ranges of chunks are missing", .missing.len())]
    Incomplete { missing: Vec<ChunkRange> },
    #[error("backup {id:?} is {status}")]
    NotOpen { id: BackupId, status: String },
    /// What S3's Complete states of the object or of a part.
    #[error("{0}")]
    WrongChecksum(String),
    #[error("backup {0:?} is being finalized or handed over: try again")]
    Busy(BackupId),
    #[error("part {number} of upload {id:?} is absent, or has another ETag or checksum")]
    InvalidPart { id: BackupId, number: u16 },
    #[error("part {number} has {size_bytes} bytes; all but the last need {least}")]
    PartTooSmall { number: u16, size_bytes: u64, least: u64 },
    #[error("{}", if *.missing { "there is no object at the target" } else { "a precondition of the request does not hold" })]
    ConditionFailed {
        /// There is no object that could have the ETag.
        missing: bool,
    },
    #[error("the object of backup {0:?} was replaced or removed since")]
    ObjectChanged(BackupId),
    #[error(
        "account {account:?} has {max_open} open uploads, backups and aborted uploads that are kept, which is its quota: \
         complete or abort some of them, then try again"
    )]
    QuotaExceeded { account: AccountName, max_open: u64 },
    #[error("{what}")]
    Store {
        kind: Kind,
        what: String,
        #[source]
        source: store::Error,
    },
    /// An error without its source: one cause that many waiters share, or a condition that has no
    /// cause in the store.
    #[error("{what}")]
    Batch { kind: Kind, what: String, retry_after: Option<Duration> },
    #[error("the record {key} cannot be read: {why}")]
    Corrupt { key: String, why: String },
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::BadRequest(_) => Kind::BadRequest,
            Self::NoSuchBackup(_) => Kind::NoSuchBackup,
            Self::NoSuchChunk(_) => Kind::NoSuchChunk,
            Self::NoSuchBucket(_) => Kind::NoSuchBucket,
            Self::ChunkSizeMismatch { .. } => Kind::ChunkSizeMismatch,
            Self::ChecksumMismatch { .. } => Kind::ChecksumMismatch,
            Self::DigestMismatch { .. } | Self::WrongChecksum(_) => Kind::DigestMismatch,
            Self::DigestUnavailable(_) => Kind::DigestUnavailable,
            Self::ChecksumConflict { .. } => Kind::ChecksumConflict,
            Self::BackupConflict { .. } => Kind::BackupConflict,
            Self::Incomplete { .. } => Kind::Incomplete,
            Self::NotOpen { .. } => Kind::NotOpen,
            Self::Busy(_) => Kind::SlowDown,
            Self::InvalidPart { .. } => Kind::InvalidPart,
            Self::PartTooSmall { .. } => Kind::PartTooSmall,
            Self::ConditionFailed { .. } => Kind::ConditionFailed,
            Self::ObjectChanged(_) => Kind::ObjectChanged,
            Self::QuotaExceeded { .. } => Kind::QuotaExceeded,
            Self::Store { kind, .. } | Self::Batch { kind, .. } => *kind,
            Self::Corrupt { .. } => Kind::Internal,
        }
    }

    /// How long the store asked its callers to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Store { source, .. } => source.pause(),
            Self::Batch { retry_after, .. } => *retry_after,
            Self::Busy(_) => Some(BUSY_RETRY_AFTER),
            Self::BadRequest(_)
            | Self::NoSuchBackup(_)
            | Self::NoSuchChunk(_)
            | Self::NoSuchBucket(_)
            | Self::ChunkSizeMismatch { .. }
            | Self::ChecksumMismatch { .. }
            | Self::DigestMismatch { .. }
            | Self::DigestUnavailable(_)
            | Self::WrongChecksum(_)
            | Self::ChecksumConflict { .. }
            | Self::BackupConflict { .. }
            | Self::Incomplete { .. }
            | Self::NotOpen { .. }
            | Self::InvalidPart { .. }
            | Self::PartTooSmall { .. }
            | Self::ConditionFailed { .. }
            | Self::ObjectChanged(_)
            | Self::QuotaExceeded { .. }
            | Self::Corrupt { .. } => None,
        }
    }

    /// The store failed while doing `what`, and its error has no special meaning for the caller.
    pub(crate) fn store(what: impl Into<String>, source: store::Error) -> Self {
        let kind = match source.kind() {
            store::Kind::NoSuchBucket => Kind::NoSuchBucket,
            store::Kind::Checksum => Kind::StoreUnavailable,
            store::Kind::Body => Kind::BodyBroken,
            store::Kind::Invalid | store::Kind::TooSmall | store::Kind::Unsupported => {
                Kind::BadRequest
            }
            store::Kind::Full => Kind::StoreFull,
            store::Kind::SlowDown => Kind::SlowDown,
            store::Kind::Denied => Kind::Denied,
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
            | store::Kind::Range
            | store::Kind::Unavailable => Kind::StoreUnavailable,
        };
        Self::of_store(kind, what.into(), source)
    }

    /// Of a full store only the store knows what to say, and it says nothing that is secret.
    fn of_store(kind: Kind, what: String, source: store::Error) -> Self {
        let what = if kind == Kind::StoreFull { source.to_string() } else { what };
        Self::Store { kind, what, source }
    }

    /// As `store`, for a request no part of which comes from a client: if the store calls it
    /// invalid, it was damaged on the way; if the store refuses it, the gateway's key is wrong.
    pub(crate) fn own(what: impl Into<String>, source: store::Error) -> Self {
        let mut error = Self::store(what, source);
        if let Self::Store { kind, source, .. } = &mut error {
            if source.kind() == store::Kind::Invalid {
                *kind = Kind::StoreUnavailable;
            } else if source.kind() == store::Kind::Denied {
                *kind = Kind::Internal;
            }
        }
        error
    }

    /// As `own`, for a request whose body is the gateway's too: if the body broke off, the
    /// connection to the store failed.
    pub(crate) fn record(what: impl Into<String>, source: store::Error) -> Self {
        let mut error = Self::own(what, source);
        if let Self::Store { kind: kind @ Kind::BodyBroken, .. } = &mut error {
            *kind = Kind::StoreUnavailable;
        }
        error
    }

    /// The same error for another waiter of the same write.
    pub(super) fn for_batch(&self) -> Self {
        Self::Batch { kind: self.kind(), what: self.to_string(), retry_after: self.retry_after() }
    }
}

impl From<records::Error> for Error {
    fn from(error: records::Error) -> Self {
        let kind = match error.kind() {
            records::Kind::NoSuchBucket => Kind::NoSuchBucket,
            records::Kind::StoreFull => Kind::StoreFull,
            records::Kind::SlowDown => Kind::SlowDown,
            records::Kind::Unavailable => Kind::StoreUnavailable,
            records::Kind::Denied | records::Kind::Corrupt => Kind::Internal,
        };
        match error {
            records::Error::Store { what, source, .. } => Self::of_store(kind, what, source),
            records::Error::Corrupt { key, why } => Self::Corrupt { key, why },
            records::Error::Interrupted(what) => Self::Batch { kind, what, retry_after: None },
        }
    }
}

impl Retryable for Error {
    fn is_retryable(&self) -> bool {
        matches!(self.kind(), Kind::StoreUnavailable | Kind::SlowDown)
    }

    fn retry_after(&self) -> Option<Duration> {
        Self::retry_after(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_from_a_client_is_its_fault() {
        let invalid = || store::Error::new(store::Kind::Invalid, "was answered 400");
        assert_eq!(Error::store("beginning", invalid()).kind(), Kind::BadRequest);
        assert_eq!(Error::own("reading", invalid()).kind(), Kind::StoreUnavailable);
        assert_eq!(Error::record("recording", invalid()).kind(), Kind::StoreUnavailable);
        let denied = || store::Error::new(store::Kind::Denied, "was answered 403");
        assert_eq!(Error::store("beginning", denied()).kind(), Kind::Denied);
        assert_eq!(Error::own("reading", denied()).kind(), Kind::Internal);
        let broken = || store::Error::new(store::Kind::Body, "the body broke off");
        assert_eq!(Error::own("storing", broken()).kind(), Kind::BodyBroken);
        assert_eq!(Error::record("recording", broken()).kind(), Kind::StoreUnavailable);
    }
}
