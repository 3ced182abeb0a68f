//! Why a gateway does not start, and what the operator must correct.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::store::{self, dir};
use crate::upload;

/// What a supervisor or an operator must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Correct a setting.
    WrongUse,
    /// Make the store reachable.
    Unreachable,
    /// Look at what is wrong with the store's directory.
    NotDone,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot listen on {address}; if another program has the port, change `listen` or --listen"
    )]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "cannot start the threads for connections; raise the limit of the system or lower server.workers"
    )]
    Workers(#[source] std::io::Error),
    #[error("{0}; see server.tls_certificate and server.tls_key")]
    Tls(String),
    #[error("accounts: {0}")]
    Accounts(String),
    #[error("the store {place} cannot be opened; check `store` or --store")]
    Store {
        place: String,
        #[source]
        source: store::Error,
    },
    #[error("the store does not accept the gateway's documents")]
    Unprepared {
        #[source]
        source: upload::Error,
    },
    #[error("the sweep failed; the next one continues where it ended")]
    Sweep {
        #[source]
        source: upload::Error,
    },
    #[error("the store cannot be used: {check}: {detail}; `ratchet doctor` repeats the check")]
    Unusable { check: &'static str, detail: String },
    #[error(transparent)]
    Directory(dir::OpenError),
    #[error("{0} is not an embedded store: this command is for dir:PATH")]
    NotDirectory(String),
    #[error("the access key in {} cannot be written or read: {what}", path.display())]
    Credentials { path: PathBuf, what: String },
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Bind { .. }
            | Self::Workers(_)
            | Self::Tls(_)
            | Self::Accounts(_)
            | Self::Credentials { .. }
            | Self::NotDirectory(_)
            | Self::Unusable { .. } => Kind::WrongUse,
            Self::Directory(error) => match error {
                dir::OpenError::InUse(_)
                | dir::OpenError::NoStore(_)
                | dir::OpenError::Target(..) => Kind::WrongUse,
                dir::OpenError::Damaged(..)
                | dir::OpenError::NoSnapshot(..)
                | dir::OpenError::Failed { .. } => Kind::NotDone,
            },
            Self::Store { source, .. } => match source.kind() {
                store::Kind::Unavailable | store::Kind::SlowDown => Kind::Unreachable,
                store::Kind::NotFound
                | store::Kind::NoSuchVersion
                | store::Kind::DeleteMarker
                | store::Kind::NoSuchBucket
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
                | store::Kind::Denied
                | store::Kind::Invalid
                | store::Kind::Full => Kind::WrongUse,
            },
            Self::Unprepared { .. } | Self::Sweep { .. } => Kind::Unreachable,
        }
    }

    /// A word that stays the same, see docs/operations.md#errors-in-json.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "cannot-listen",
            Self::Workers(_) => "no-threads",
            Self::Tls(_) => "invalid-certificate",
            Self::Accounts(_) => "invalid-accounts",
            Self::Store { .. } | Self::Unprepared { .. } => "store-unavailable",
            Self::Sweep { .. } => "sweep-failed",
            Self::Unusable { .. } => "unusable-store",
            Self::Directory(_) => "directory",
            Self::NotDirectory(_) => "not-a-directory",
            Self::Credentials { .. } => "credentials",
        }
    }

    /// 1: not done, 2: wrong use, 3: not reachable (docs/architecture.md#exit-codes).
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            Kind::NotDone => 1,
            Kind::WrongUse => 2,
            Kind::Unreachable => 3,
        }
    }
}
