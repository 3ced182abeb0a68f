//! Why a command of the client fails.
//!
//! The text says what happened, to which thing, and, where the gateway or the client knows it, what
//! to do now.

use std::path::{Path, PathBuf};

use super::Target;
use crate::api::{PROBLEM_BASE, Problem, ProblemType};

pub type Result<T> = std::result::Result<T, Error>;

/// What the user has to do next; each kind has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Correct the command line.
    WrongUse,
    /// Restore the gateway or the network, then run the same command again.
    Unreachable,
    /// Read the text: the command did not do all of its work.
    NotDone,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    WrongUse(String),
    #[error("{url} cannot be reached")]
    Unreachable {
        url: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The two sides do not agree on TLS.
    #[error("{what}")]
    Tls {
        what: String,
        #[source]
        source: Option<rustls::Error>,
    },
    /// The gateway refused the request and says why.
    #[error("{}; {} (request {})", .0.detail, .0.action, .0.request_id)]
    Problem(Box<Problem>),
    #[error(
        "{url} responded with status {status} and a body that is not of the chunk API; check that \
         it is a ratchet gateway"
    )]
    NotChunkApi { url: String, status: u16 },
    /// The gateway refused a request of S3.
    #[error("{of}: {message}{}", in_parentheses(request_id.as_deref()))]
    S3 { status: u16, code: String, message: String, of: String, request_id: Option<String> },
    #[error("{}: {what}", path.display())]
    Io {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{} changed while it was read, so its backup was not completed; run the command again when \
         nothing writes to the file", .0.display()
    )]
    SourceChanged(PathBuf),
    #[error(
        "chunk {index} of {target} was received with the checksum {received}, but the backup \
         recorded {recorded}; the stored object is damaged, and `ratchet verify --repair FILE \
         {target}` sends it again"
    )]
    CorruptChunk { target: Target, index: u64, received: String, recorded: String },
    /// An object without a record of chunks is not as its checksum says.
    #[error(
        "{target} has {found}, but {recorded} is recorded; the stored object is damaged, and only \
         another copy of the file can replace it"
    )]
    CorruptObject { target: Target, found: String, recorded: String },
    /// The gateway, or the store behind it, fails each time at the same chunk.
    #[error("chunk {index} of {target} cannot be read")]
    UnreadableChunk {
        target: Target,
        index: u64,
        #[source]
        source: Box<Error>,
    },
    /// The response with a chunk ends early, always after so many bytes.
    #[error(
        "the response broke off after {received_bytes} bytes, twice; in the store a file is \
         missing or too short, see the gateway's log"
    )]
    BrokenOff { received_bytes: u64 },
    /// An earlier request could not reach the gateway, or there is no room left.
    #[error("not tried, because the same failure would end it")]
    NotTried,
    #[error("{0} was replaced or removed since it was backed up")]
    ObjectChanged(String),
    #[error("{0}")]
    NotDone(String),
}

fn in_parentheses(request_id: Option<&str>) -> String {
    request_id.map(|id| format!(" (request {id})")).unwrap_or_default()
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::WrongUse(_) => Kind::WrongUse,
            Self::Unreachable { .. } | Self::Tls { .. } | Self::NotTried => Kind::Unreachable,
            Self::Problem(_)
            | Self::NotChunkApi { .. }
            | Self::S3 { .. }
            | Self::CorruptObject { .. }
            | Self::Io { .. }
            | Self::SourceChanged(_)
            | Self::CorruptChunk { .. }
            | Self::UnreadableChunk { .. }
            | Self::BrokenOff { .. }
            | Self::ObjectChanged(_)
            | Self::NotDone(_) => Kind::NotDone,
        }
    }

    /// The exit code of the command, see docs/operations.md#exit-codes.
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            Kind::NotDone => 1,
            Kind::WrongUse => 2,
            Kind::Unreachable => 3,
        }
    }

    /// A word that stays the same, see docs/operations.md#errors-in-json.
    pub fn code(&self) -> &str {
        match self {
            Self::WrongUse(_) => "wrong-use",
            Self::Unreachable { .. } => "unreachable",
            Self::Tls { .. } => "tls",
            Self::NotTried => "not-tried",
            Self::Problem(problem) => {
                problem.type_uri.strip_prefix(PROBLEM_BASE).unwrap_or(&problem.type_uri)
            }
            Self::NotChunkApi { .. } => "not-chunk-api",
            Self::S3 { code, .. } if code.is_empty() => "s3",
            Self::S3 { code, .. } => code,
            Self::CorruptObject { .. } => "corrupt-object",
            Self::Io { .. } => "io",
            Self::SourceChanged(_) => "source-changed",
            Self::CorruptChunk { .. } => "corrupt-chunk",
            Self::UnreadableChunk { .. } => "unreadable-chunk",
            Self::BrokenOff { .. } => "broken-off",
            Self::ObjectChanged(_) => "object-changed",
            Self::NotDone(_) => "not-done",
        }
    }

    /// The id of the request in the gateway's log, if the gateway responded.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.request_id),
            Self::S3 { request_id, .. } => request_id.as_deref(),
            Self::UnreadableChunk { source, .. } => source.request_id(),
            Self::WrongUse(_)
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::NotTried
            | Self::NotChunkApi { .. }
            | Self::CorruptObject { .. }
            | Self::Io { .. }
            | Self::SourceChanged(_)
            | Self::CorruptChunk { .. }
            | Self::BrokenOff { .. }
            | Self::ObjectChanged(_)
            | Self::NotDone(_) => None,
        }
    }

    /// Whether the gateway responded with a problem of this type.
    pub fn is_problem(&self, problem_type: ProblemType) -> bool {
        matches!(self, Self::Problem(problem) if problem.problem_type() == Some(problem_type))
    }

    /// Whether the account has no right to what was asked for.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::S3 { status: 403, .. }) || self.is_problem(ProblemType::Forbidden)
    }

    /// Whether the bucket of a listing is missing.
    pub(super) fn is_missing_bucket(&self) -> bool {
        matches!(self, Self::S3 { status: 404, .. }) || self.is_problem(ProblemType::NoSuchBucket)
    }

    /// Whether the object is not that of the backup any more.
    pub(super) fn is_object_changed(&self) -> bool {
        matches!(self, Self::ObjectChanged(_)) || self.is_problem(ProblemType::ObjectChanged)
    }

    /// Whether the file system here is full.
    pub(super) fn is_no_room(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), StorageFull | QuotaExceeded)
    }

    /// Makes an `Io` error of a system error: `.map_err(Error::io(path, "cannot be opened"))`.
    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}

/// The error for a chunk that is longer than this machine's address space.
pub(super) fn chunk_too_large() -> Error {
    Error::WrongUse("a chunk does not fit in memory; choose a smaller --chunk-size".to_owned())
}
