//! What the gateway has: lists of backups, the manifest of one, its status, its end.
//!
//! Guarantees: nothing here is cached; each call asks the gateway.

mod complete;
mod list;
mod manifest;
mod object;
mod status;

pub use list::list;
pub use status::{abort, statuses};

pub(super) use complete::CompleteBackup;
pub(super) use list::{
    complete_backups, complete_backups_below, complete_backups_of_file, complete_backups_of_key,
    newest_first, no_complete_backup,
};
pub(super) use manifest::RemoteBackup;
pub(super) use object::current_etag;
