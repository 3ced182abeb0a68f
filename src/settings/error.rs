//! A setting that cannot be: which, where, and what to write instead.

use std::fmt;
use std::path::PathBuf;

/// Where a setting stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// What is wrong. Names no secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{place}: {key} = {value:?} cannot be: {fix}")]
    Value { key: String, value: String, place: Place, fix: String },
    #[error("{place}: the key {key:?} is not known; {fix}")]
    UnknownKey { key: String, place: Place, fix: String },
    #[error("{place}: {what}")]
    Account { place: Place, what: String },
    #[error("{place}: this is not TOML: {what}")]
    Syntax { place: Place, what: String },
    #[error("the file {} cannot be read; check the path and its mode", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Together(String),
}
