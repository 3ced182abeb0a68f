//! Backs up, restores and verifies directories: one backup for each file, directory, link and
//! special file.
//!
//! Guarantees: what fails does not stop the others, and is reported at the end; what cannot be kept
//! is reported with its reason. A directory is an empty object whose key ends in `/`. Files of one
//! chunk are processed several at a time, larger files one after the other with several chunks at a
//! time, so that at most `jobs` chunks are in memory. Nothing is deleted unless that was asked for,
//! and then only if all else was done.

mod backup;
mod delete;
mod filter;
mod options;
mod plan;
mod report;
mod restore;
mod verify;
mod walk;

pub use backup::backup_tree;
pub use filter::{Filter, Pattern};
pub use options::{Delete, Sources, TreeOptions};
pub use report::TreeReport;
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
