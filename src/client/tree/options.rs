//! What of a tree is backed up, restored or deleted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Filter;
use crate::client::{Error, Result};

/// What becomes of what only the destination has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delete {
    #[default]
    Never,
    /// It is deleted, once all else was done.
    Extra,
    /// It is shown, and nothing is changed at all.
    Show,
}

#[derive(Clone, Debug, Default)]
pub struct TreeOptions {
    pub filter: Filter,
    pub delete: Delete,
}

/// What a tree is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Everything below a directory.
    Below(PathBuf),
    /// Files and directories, each under its own name.
    Each(BTreeMap<OsString, PathBuf>),
}

impl Sources {
    /// Several sources, each under its own name. **Errors**: `WrongUse` if two have one name.
    pub fn each(paths: &[PathBuf]) -> Result<Self> {
        let mut named = BTreeMap::new();
        for path in paths {
            let name = path.file_name().filter(|_| path != Path::new("-")).ok_or_else(|| {
                Error::WrongUse(format!(
                    "{} has no name to make a key of; back it up alone",
                    path.display()
                ))
            })?;
            if let Some(other) = named.insert(name.to_owned(), path.clone()) {
                return Err(Error::WrongUse(format!(
                    "{} and {} would have the same key; back them up to different prefixes",
                    other.display(),
                    path.display()
                )));
            }
        }
        Ok(Self::Each(named))
    }
}
