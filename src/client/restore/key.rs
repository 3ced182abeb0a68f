//! The restore of one key.

use super::file::restore_to_file;
use super::stream::{Sink, restore_in_order};
use super::{Destination, RestoreOptions, RestoreReport};
use crate::client::{Progress, Result, Target, Transport, remote::complete_backups_of_key};

/// Restores the newest backup of the target's key whose object still exists.
pub async fn restore(
    transport: &Transport,
    target: &Target,
    destination: &Destination,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let backups = complete_backups_of_key(transport, target).await?;
    let backups = (target, backups.as_slice());
    let sink = match destination {
        Destination::File(path) => {
            return restore_to_file(transport, backups, path, options, progress).await;
        }
        Destination::Stream(path) => Sink::Path(path),
        Destination::Stdout => Sink::Stdout,
    };
    restore_in_order(transport, backups, sink, options, progress).await
}
