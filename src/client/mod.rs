//! The client of the chunk API: backs files up, restores and verifies them. Talks HTTP only.
//!
//! Guarantees: what it reports as done was answered as done by the gateway, digest included;
//! running the same command again sends only what is not recorded; memory is bounded by jobs ×
//! chunk size. It keeps no state of its own: the manifest is the progress.

mod chunker;
mod endpoint;
mod error;
mod manage;
mod progress;
mod restore;
mod target;
mod transport;
mod tree;
mod uploader;

pub use crate::digest::Kind as DigestKind;
pub use endpoint::Endpoint;
pub use error::{Error, Kind, Result};
pub use manage::{abort, statuses};
pub use progress::Progress;
pub use restore::{ByteRange, Restored, list, restore, restore_to_stdout, verify};
pub use target::{Target, parse_size};
pub use transport::Transport;
pub use tree::{Tally, backup_tree, restore_tree};
pub use uploader::{Backed, Options, backup_file, backup_stdin};
