//! Backs up and restores directories: one backup for each file, with its mode and time.
//!
//! Guarantees: a file that fails does not stop the others, and is reported at the end. Symbolic
//! links, special files and names that are not UTF-8 are left out and reported. A directory is an
//! empty object whose key ends in `/`. Files of one chunk are processed several at a time, larger
//! files one after the other with several chunks at a time, so that at most `jobs` chunks are in
//! memory.

mod backup;
mod restore;

use super::{Error, Result};

pub use backup::backup_tree;
pub use restore::restore_tree;

/// What was done with the files and directories of a tree.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeReport {
    /// How many were backed up or restored, or were unchanged.
    pub done: u64,
    /// Names and reasons.
    pub failed: Vec<(String, String)>,
    /// Symbolic links, special files, and names that cannot be keys.
    pub left_out: Vec<String>,
    /// Bytes that were sent or received.
    pub bytes_moved: u64,
    /// Bytes that the destination had already.
    pub bytes_skipped: u64,
}

impl TreeReport {
    /// Adds the outcome of one file or directory. **Errors**: those that every other file would
    /// have too.
    fn add(&mut self, name: String, outcome: Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => self.done += 1,
            Err(error @ (Error::Unreachable { .. } | Error::WrongUse(_))) => return Err(error),
            Err(error) => self.failed.push((name, error.to_string())),
        }
        Ok(())
    }
}
