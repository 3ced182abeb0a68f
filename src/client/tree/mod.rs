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
