//! The client of the chunk API: backs files up, restores them and verifies them, over HTTP only.
//!
//! Guarantees: what the client reports as done, the gateway has confirmed, including the digest of
//! the whole file; running the same command again sends only chunks that are not recorded yet; at
//! most `jobs` chunks are in memory. The client keeps no state of its own: the manifest at the
//! gateway is the progress. It knows neither `upload` nor `store`.
//!
//! From the bottom up: `endpoint`, `target` (arguments); `transport` (signed requests with
//! retries); `source` (what is read here), `remote` (what the gateway has), `listing`, `usage`;
//! `attributes` (what is kept besides bytes); `uploader`, `restore`, `verify`, `repair` (one
//! file); `tree` (directories); `removal`.

mod attributes;
mod chunking;
mod coverage;
mod endpoint;
mod error;
mod gateway_checks;
mod listing;
mod materialize;
mod progress;
mod rates;
mod remote;
mod removal;
mod repair;
mod restore;
mod source;
mod target;
mod transport;
mod tree;
mod uploader;
mod usage;
mod verify;
mod xml;

pub use crate::api::Missing;
pub use crate::digest::Kind as DigestKind;
pub use crate::rate_limit::Rates;
pub use endpoint::Endpoint;
pub use error::{Error, Kind, Result};
pub use gateway_checks::{GatewayCheck, examine_gateway};
pub use listing::{History, Row, State, list};
pub use materialize::{MaterializeReport, materialize};
pub use progress::{Progress, for_terminal, human_bytes, human_time};
pub use rates::parse_rates;
pub use remote::{BackupStatus, ListedBucket, abort, buckets, make_bucket, statuses};
pub use removal::{Mode, RemovalReport, remove};
pub use repair::{Repair, verify_and_repair};
pub use restore::{ByteRange, Destination, RestoreOptions, RestoreReport, restore};
pub use target::{Target, parse_size};
pub use transport::Transport;
pub use tree::{
    Delete, Filter, Pattern, Sources, TreeOptions, TreeReport, backup_tree, restore_tree,
    verify_tree,
};
pub use uploader::{BackupOptions, BackupReport, Known, backup_command, backup_file, backup_stdin};
pub use usage::{Sharer, Usage, UsageRow, sharers, usage};
pub use verify::{Verification, verify};
