//! What the gateway has: objects, lists of backups, the manifest of one, its status, its end.
//!
//! Guarantees: nothing here is cached; each call asks the gateway.

mod below;
mod complete;
mod current;
mod delete;
mod incoming_chunk;
mod list;
mod manifest;
mod object;
mod plain;
mod readable;
mod status;
mod usage;

pub use object::{ListedBucket, buckets, make_bucket};
pub use status::{BackupStatus, abort, statuses};

pub(super) use below::{AtTarget, Occupied, current_below, files_below};
pub(super) use complete::CompleteBackup;
pub(super) use current::{Current, MAX_LOOKS};
pub(super) use delete::delete_objects;
pub(super) use incoming_chunk::ChunkPlace;
pub(super) use list::{
    backups_below, backups_of_key, complete_backups, complete_backups_below,
    complete_backups_of_file, for_each_backup_below, newest_first, no_object, single_newest,
};
pub(super) use manifest::{RemoteBackup, path_of};
pub(super) use object::{ListedObject, USER_METADATA, current_etag, current_object, objects_below};
pub(super) use plain::{Check, PlainObject};
pub(super) use readable::Readable;
pub(super) use usage::{for_each_usage, usage_of_key};
