//! The restore of one key.

use super::file::{Restorable, restore_to_file};
use super::node::restore_node;
use super::stream::{Sink, restore_in_order};
use super::{Destination, RestoreOptions, RestoreReport};
use crate::client::{
    Progress, Result, Target, Transport,
    attributes::{AttributeEntries, EntryKind},
    remote::{complete_backups_of_key, no_complete_backup},
};

/// Restores the newest backup of the target's key whose object still exists. To a path it brings
/// links and special files back as such; what is written in order gets their bytes.
pub async fn restore(
    transport: &Transport,
    target: &Target,
    destination: &Destination,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let backups = complete_backups_of_key(transport, target).await?;
    let path = match destination {
        Destination::File(path) => path,
        Destination::Stream(path) => {
            let sink = Sink::Path(path);
            return restore_in_order(transport, (target, &backups), sink, options, progress).await;
        }
        Destination::Stdout => {
            let sink = Sink::Stdout;
            return restore_in_order(transport, (target, &backups), sink, options, progress).await;
        }
    };
    let entries = AttributeEntries::of_key(transport, target).await?;
    let attributes = entries.attributes_of(transport, &backups[0]).await?;
    if matches!(attributes.kind, EntryKind::File | EntryKind::Directory) {
        let restorable = Restorable { target, backups: &backups, entries: &entries };
        return restore_to_file(transport, restorable, path, options, progress).await;
    }
    for backup in &backups {
        let attributes = entries.attributes_of(transport, backup).await?;
        if let Some(kept) = restore_node(transport, backup, path, &attributes).await? {
            let backup_id = backup.backup_id.clone();
            return Ok(RestoreReport { backup_id, bytes_read: 0, bytes_kept: 0, kept });
        }
    }
    Err(no_complete_backup(target))
}
