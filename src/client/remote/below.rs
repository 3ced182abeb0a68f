//! All objects below a prefix, each with the backup that made it.

use std::collections::HashMap;

use super::object::objects_below;
use super::{Current, complete_backups_below, newest_first};
use crate::api::Summary;
use crate::client::{
    Result, Target, Transport,
    attributes::{AttributeEntries, lies_in_entries, names_backup},
};

/// The objects of files below a prefix, by key, and the attribute entries among them.
pub(in crate::client) async fn files_below(
    transport: &Transport,
    target: &Target,
) -> Result<(Vec<Current>, AttributeEntries)> {
    let (mut objects, entries) = current_below(transport, target).await?;
    objects.retain(|current| !lies_in_entries(&current.target.key));
    Ok((objects, entries))
}

/// All objects whose key begins with the target's, by key, and what the attribute entries among
/// them say.
pub(in crate::client) async fn current_below(
    transport: &Transport,
    target: &Target,
) -> Result<(Vec<Current>, AttributeEntries)> {
    let objects = objects_below(transport, target).await?;
    let listed = complete_backups_below(transport, target).await?;
    let entries = listed.iter().filter(|backup| names_backup(backup).is_some());
    let mut entries: Vec<Summary> = entries.cloned().collect();
    newest_first(&mut entries);
    let mut by_key = HashMap::<String, Vec<Summary>>::new();
    for backup in listed {
        by_key.entry(backup.key.clone()).or_default().push(backup);
    }
    by_key.values_mut().for_each(|backups| newest_first(backups));
    let current = objects.into_iter().map(|object| {
        let backups = by_key.remove(&object.key).unwrap_or_default();
        Current::of_listed(target.with_key(object.key.clone()), object, &backups)
    });
    Ok((current.collect(), AttributeEntries::new(entries)))
}
