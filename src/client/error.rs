//! What can keep a client from being done.
//!
//! The text says what happened, to which thing, and where the gateway knows it, what to do now.

use std::path::{Path, PathBuf};

use crate::api::{Problem, ProblemType};

pub type Result<T> = std::result::Result<T, Error>;

/// What a person does next; also the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Mend the command line.
    WrongUse,
    /// Look after the gateway or the network; then run the same command again.
    Unreachable,
    /// It is not all done, and the text says why.
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
    #[error("{}; {} (request {})", .0.detail, .0.action, .0.request_id)]
    Problem(Box<Problem>),
    #[error(
        "{url} answered {status} with something that is not of this API; is it a ratchet gateway?"
    )]
    Stranger { url: String, status: u16 },
    #[error("{}: {what}", path.display())]
    Io {
        path: PathBuf,
        what: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("{} changed while it was read; nothing was completed; run it again when it is at rest", .0.display())]
    Changed(PathBuf),
    #[error("chunk {index} arrived with {found}, not {wanted}")]
    Corrupt { index: u64, found: String, wanted: String },
    #[error("{0}")]
    NotDone(String),
}

impl Error {
    pub fn kind(&self) -> Kind {
        match self {
            Self::WrongUse(_) => Kind::WrongUse,
            Self::Unreachable { .. } => Kind::Unreachable,
            Self::Problem(_)
            | Self::Stranger { .. }
            | Self::Io { .. }
            | Self::Changed(_)
            | Self::Corrupt { .. }
            | Self::NotDone(_) => Kind::NotDone,
        }
    }

    /// DESIGN §11: 1 not all done, 2 wrong use, 3 server unreachable.
    pub fn exit_code(&self) -> u8 {
        match self.kind() {
            Kind::NotDone => 1,
            Kind::WrongUse => 2,
            Kind::Unreachable => 3,
        }
    }

    /// Whether the gateway answered with this problem.
    pub fn is(&self, word: ProblemType) -> bool {
        matches!(self, Self::Problem(problem) if problem.word() == Some(word))
    }

    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}
