//! Backs up, restores and verifies directories: one backup for each file, directory, link and
//! special file.
//!
//! Guarantees: what fails does not stop the others, and is reported at the end; what cannot be kept
//! is reported with its reason. A directory is an empty object whose key ends in `/`. Files of one
//! chunk are processed several at a time, larger files one after the other with several chunks at a
//! time, so that at most `jobs` chunks are in memory.

mod backup;
mod plan;
mod restore;
mod verify;
mod walk;

use super::attributes::Kept;
use super::{Error, Kind, Progress, Result};
use crate::escape::error_chain;

pub use backup::backup_tree;
pub use restore::restore_tree;
pub use verify::verify_tree;

/// So many files of this part of a chunk, or less, take the place of one chunk in memory.
const SMALLEST: u64 = 8;

/// Files of a similar size, with how many of them are processed at the same time: the smallest,
/// those of one chunk, the others.
fn by_size<T>(
    files: Vec<T>,
    chunk_size: u64,
    jobs: usize,
    size: impl Fn(&T) -> u64,
) -> [(Vec<T>, usize); 3] {
    let (small, large): (Vec<T>, Vec<T>) =
        files.into_iter().partition(|file| size(file) <= chunk_size);
    let (smallest, small): (Vec<T>, Vec<T>) =
        small.into_iter().partition(|file| size(file) <= chunk_size / SMALLEST);
    let jobs = jobs.max(1);
    [(smallest, SMALLEST as usize * jobs), (small, jobs), (large, 1)]
}

/// What was done with what lies in a tree.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeReport {
    /// How many were backed up or restored, or were unchanged.
    pub done: u64,
    /// How many of them were there already.
    pub there_already: u64,
    /// Names and reasons.
    pub failed: Vec<(String, String)>,
    /// Names, and what of them could not be kept and why.
    pub left_out: Vec<(String, String)>,
    /// Names of objects that have no checksum: only their length was checked.
    pub unchecked: Vec<String>,
    /// Bytes that were sent or received.
    pub bytes_moved: u64,
    /// Bytes that the destination had already.
    pub bytes_skipped: u64,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Whether something restored belongs to another user, because only root can give files away.
    pub other_owner: bool,
    /// How many were not tried, because the gateway could not be reached or no room was left.
    pub not_tried: u64,
    /// Whether the gateway could not be reached.
    pub unreachable: bool,
}

impl TreeReport {
    /// Takes over what was counted, at the end.
    fn add_progress(&mut self, progress: &Progress) {
        (self.bytes_moved, self.bytes_skipped) = (progress.transferred(), progress.skipped());
        self.there_already = progress.known_files();
        self.elapsed_ms = u64::try_from(progress.elapsed().as_millis()).unwrap_or(u64::MAX);
    }

    /// Adds the outcome of one file or directory.
    fn add(&mut self, name: String, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.done += 1,
            Err(Error::NotTried) => self.not_tried += 1,
            Err(error) => {
                self.unreachable |= error.kind() == Kind::Unreachable;
                let reason = error_chain(&error);
                // The error of a path begins with the path.
                let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(&reason);
                self.failed.push((name, reason.to_owned()));
            }
        }
    }

    /// The same with what the restored file could not be given.
    fn add_kept(&mut self, name: String, outcome: Result<Kept>) {
        let kept = outcome.map(|kept| {
            self.left_out.extend(kept.left_out.into_iter().map(|reason| (name.clone(), reason)));
        });
        self.add(name, kept);
    }
}
