//! The restore of one key.

use super::file::restore_to_file;
use super::node::restore_node;
use super::stream::{Sink, restore_in_order};
use super::{Destination, RestoreOptions, RestoreReport};
use crate::client::{
    Progress, Result, Target, Transport,
    attributes::{AttributeEntries, EntryKind},
    remote::Current,
};

/// Restores the object that the target names, by the backup that made it if there is one. To a path
/// it brings links and special files back as such; what is written in order gets their bytes.
pub async fn restore(
    transport: &Transport,
    target: &Target,
    destination: &Destination,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let progress = &progress.only_file(&target.to_string());
    let current = Current::find(transport, target).await?;
    let path = match destination {
        Destination::File(path) => path,
        Destination::Stream(path) => {
            return restore_in_order(transport, current, Sink::Path(path), options, progress).await;
        }
        Destination::Stdout => {
            return restore_in_order(transport, current, Sink::Stdout, options, progress).await;
        }
    };
    let entries = AttributeEntries::of_key(transport, target).await?;
    let attributes = current.attributes(transport, &entries).await?;
    if matches!(attributes.kind, EntryKind::File | EntryKind::Directory) {
        return restore_to_file(transport, (&current, &entries), path, options, progress).await;
    }
    let (readable, kept) = restore_node(transport, &current, path, &attributes).await?;
    Ok(RestoreReport {
        backup_id: readable.backup_id(),
        checked_by: readable.checked_by(),
        unchecked: readable.is_unchecked(),
        bytes_read: 0,
        bytes_kept: 0,
        kept,
    })
}
