//! All objects below a prefix, each with the backup that made it.
//!
//! Guarantees: a key counts as free only if it has neither an object nor a backup.

use std::collections::{HashMap, HashSet};

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
    let Below { objects, entries, .. } = Below::list(transport, target).await?;
    Ok((objects, entries))
}

struct Below {
    /// By key.
    objects: Vec<Current>,
    entries: AttributeEntries,
    /// Keys with complete backups and no object.
    removed: HashSet<String>,
}

impl Below {
    async fn list(transport: &Transport, target: &Target) -> Result<Self> {
        let (objects, listed) = tokio::try_join!(
            objects_below(transport, target),
            complete_backups_below(transport, target)
        )?;
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
        let (objects, entries) = (current.collect(), AttributeEntries::new(entries));
        Ok(Self { objects, entries, removed: by_key.into_keys().collect() })
    }
}

/// What a key names, as far as it is known.
#[derive(Clone, Copy)]
pub(in crate::client) enum AtTarget<'a> {
    Unknown,
    /// As it was listed; None: it is free.
    Listed(Option<&'a Current>),
}

/// What is there already below a prefix, for whoever backs something up there.
#[derive(Default)]
pub(in crate::client) struct Occupied {
    objects: HashMap<String, Current>,
    removed: HashSet<String>,
    /// The prefix may not be listed.
    is_hidden: bool,
    pub bucket_is_missing: bool,
    pub entries: AttributeEntries,
}

impl Occupied {
    /// Nothing is there if the bucket is missing; nothing is known if it must not be listed.
    pub async fn list(transport: &Transport, target: &Target) -> Result<Self> {
        match Below::list(transport, target).await {
            Ok(Below { objects, entries, removed }) => {
                let by_key = |current: Current| (current.target.key.clone(), current);
                let objects = objects.into_iter().map(by_key).collect();
                Ok(Self { objects, removed, entries, ..Self::default() })
            }
            Err(error) if error.is_missing_bucket() => {
                Ok(Self { bucket_is_missing: true, ..Self::default() })
            }
            Err(error) if error.is_forbidden() => Ok(Self { is_hidden: true, ..Self::default() }),
            Err(error) => Err(error),
        }
    }

    pub fn at(&self, key: &str) -> AtTarget<'_> {
        if self.is_hidden || self.removed.contains(key) {
            return AtTarget::Unknown;
        }
        AtTarget::Listed(self.objects.get(key))
    }
}
