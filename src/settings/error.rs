//! Errors in settings: which setting, where it was set, and how to correct it.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// Why the settings are invalid. Never contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{origin}: {key} = {value:?} is invalid: {fix}")]
    Value { key: String, value: String, origin: Origin, fix: String },
    #[error("{origin}: unknown key {key:?}; {fix}")]
    UnknownKey { key: String, origin: Origin, fix: String },
    #[error("{origin}: {problem}")]
    Account { origin: Origin, problem: String },
    #[error("{origin}: {problem}")]
    Cors { origin: Origin, problem: String },
    #[error("{origin}: the file is not TOML: {problem}")]
    Syntax { origin: Origin, problem: String },
    #[error("the file {} cannot be read; check the path and its mode", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Settings that are valid one by one but not together.
    #[error("{0}")]
    Combination(String),
}

impl Error {
    /// A word that stays the same, see docs/operations.md#errors-in-json.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Value { .. } => "invalid-setting",
            Self::UnknownKey { .. } => "unknown-setting",
            Self::Account { .. } => "invalid-accounts",
            Self::Cors { .. } => "invalid-cors",
            Self::Syntax { .. } => "invalid-file",
            Self::Unreadable { .. } => "unreadable-file",
            Self::Combination(_) => "invalid-combination",
        }
    }
}
