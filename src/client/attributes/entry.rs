//! The attribute entry of a backup: an object of its own for what the object of the file does not
//! hold, because it is too long for metadata or changed while the bytes stayed the same.
//!
//! Guarantees: an entry counts only for the backup that it names, so one that is left behind by an
//! older backup changes nothing.

use std::collections::{BTreeMap, HashMap};

use super::Attributes;
use super::codec::Metadata;
use crate::api::Summary;
use crate::client::{
    BackupOptions, Error, Progress, Result, Target, Transport,
    remote::{AtTarget, CompleteBackup, Occupied, complete_backups},
    source::FileSource,
    uploader::{Known, backup_source},
};

/// The directory of the entries, beside what they belong to.
const DIRECTORY: &str = ".ratchet-attributes";
/// The metadata of an entry: the id of the backup whose attributes it has.
const OF: &str = "file-attributes-of";
/// The longest key of S3.
pub(in crate::client) const MAX_KEY_BYTES: usize = 1024;

/// The content of an entry.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    backup_id: String,
    attributes: Metadata,
}

/// Whether a file must not have this name, because it is that of the entries.
pub(in crate::client) fn is_reserved(name: &str) -> bool {
    name == DIRECTORY
}

/// Whether a key lies in a directory of entries.
pub(in crate::client) fn lies_in_entries(key: &str) -> bool {
    key.split('/').rev().skip(1).any(is_reserved)
}

/// The backup whose attributes this one is, if it is an attribute entry.
pub(in crate::client) fn names_backup(summary: &Summary) -> Option<&str> {
    summary.metadata.get(OF).map(String::as_str)
}

/// The key that an attribute entry belongs to, without the slash of a directory; None for a key
/// that is none of an entry.
pub(in crate::client) fn key_of_entry(key: &str) -> Option<String> {
    let (parent, name) = key.rsplit_once('/')?;
    let parent = parent.strip_suffix(DIRECTORY)?;
    (parent.is_empty() || parent.ends_with('/')).then(|| format!("{parent}{name}"))
}

/// The key of the attribute entry of a key.
pub(in crate::client) fn entry_key(key: &str) -> String {
    let key = key.trim_end_matches('/');
    let (parent, name) = key.rsplit_once('/').map_or(("", key), |(parent, name)| (parent, name));
    let slash = if parent.is_empty() { "" } else { "/" };
    format!("{parent}{slash}{DIRECTORY}/{name}")
}

/// Writes the attribute entry of a backup, unless it is there already.
pub(in crate::client) async fn backup_attributes(
    transport: &Transport,
    target: &Target,
    (backup_id, attributes): (&str, &Attributes),
    options: &BackupOptions,
    progress: &Progress,
    occupied: Option<&Occupied>,
) -> Result<()> {
    let target = target.with_key(entry_key(&target.key));
    if target.key.len() > MAX_KEY_BYTES {
        return Err(Error::NotDone(format!(
            "its attributes need an object of their own, whose key would have {} bytes; S3 allows \
             {MAX_KEY_BYTES}",
            target.key.len()
        )));
    }
    let content = Content { backup_id: backup_id.to_owned(), attributes: attributes.to_metadata() };
    let content = serde_json::to_vec(&content).expect("texts and maps of texts are JSON");
    let options = BackupOptions {
        file_id: None,
        known: Known::Keep,
        metadata: BTreeMap::from([(OF.to_owned(), backup_id.to_owned())]),
        ..options.clone()
    };
    let source = FileSource::of_bytes(&content, options.chunk_size)?;
    let at_target = occupied.map_or(AtTarget::Unknown, |occupied| occupied.at(&target.key));
    backup_source(transport, &source, &target, &options, progress, at_target).await.map(drop)
}

/// The attribute entries of some keys, by the backups that they belong to.
#[derive(Default)]
pub(in crate::client) struct AttributeEntries(HashMap<String, Vec<Summary>>);

impl AttributeEntries {
    /// **Shape**: `entries` are attribute entries, of each key the newest first.
    pub fn new(entries: impl IntoIterator<Item = Summary>) -> Self {
        let mut of = HashMap::<String, Vec<Summary>>::new();
        for entry in entries {
            if let Some(id) = names_backup(&entry) {
                of.entry(id.to_owned()).or_default().push(entry);
            }
        }
        Self(of)
    }

    /// Those of one key.
    pub async fn of_key(transport: &Transport, target: &Target) -> Result<Self> {
        let target = target.with_key(entry_key(&target.key));
        complete_backups(transport, &target).await.map(Self::new)
    }

    /// Whether there is one of this backup.
    pub fn has(&self, backup_id: &str) -> bool {
        self.0.contains_key(backup_id)
    }

    /// The attributes of a backup: those of its entry, or else of its object.
    pub async fn attributes_of(
        &self,
        transport: &Transport,
        backup: &Summary,
    ) -> Result<Attributes> {
        for entry in self.0.get(&backup.backup_id).into_iter().flatten() {
            let found = match CompleteBackup::load(transport, entry).await {
                Ok(complete) => complete.fetch_all(transport).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(bytes) => {
                    let content: Content = serde_json::from_slice(&bytes).map_err(|error| {
                        Error::NotDone(format!(
                            "its attributes in {} cannot be read: {error}",
                            entry.key
                        ))
                    })?;
                    return Ok(Attributes::from_metadata(&content.attributes, &backup.key));
                }
                // It was replaced: an older one, or the object's own metadata, counts.
                Err(error) if error.is_object_changed() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Attributes::from_metadata(&backup.metadata, &backup.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_lies_in_a_directory_beside_its_key() {
        for (key, entry) in [
            ("a", ".ratchet-attributes/a"),
            ("d/a", "d/.ratchet-attributes/a"),
            ("d/e/", "d/.ratchet-attributes/e"),
        ] {
            assert_eq!(entry_key(key), entry);
            assert_eq!(key_of_entry(entry).as_deref(), Some(key.trim_end_matches('/')));
            assert_eq!(key_of_entry(key), None);
        }
    }
}
