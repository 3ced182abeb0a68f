//! Deletes what only the destination of a backup or a restore has.
//!
//! Guarantees: nothing is deleted unless everything else was done: of what could not be read nobody
//! knows whether it is there. What a filter excludes stays.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::walk::{Entry, walk};
use super::{Delete, Sources, TreeOptions, TreeReport};
use crate::client::{
    Error, Progress, Result, Target, Transport,
    attributes::{key_of_entry, shown},
    remote::{ListedObject, delete_objects, objects_below},
};

/// What may be extra at the target of a backup.
pub(super) struct Extra<'a> {
    target: &'a Target,
    tree: &'a TreeOptions,
    /// What begins with one of these is extra if the sources do not have it.
    prefixes: Vec<String>,
    /// The keys of what the sources have; directories without their slash.
    kept: HashSet<String>,
}

impl<'a> Extra<'a> {
    pub fn new(
        sources: &Sources,
        target: &'a Target,
        entries: &[Entry],
        tree: &'a TreeOptions,
    ) -> Self {
        let entries = if tree.delete == Delete::Never { &[] } else { entries };
        let keys = || entries.iter().map(|entry| entry.key.as_str());
        // Of several sources, what lies beside their directories is not theirs.
        let is_source = |key: &&str| {
            let name = key[target.key.len()..].strip_suffix('/');
            name.is_some_and(|name| !name.contains('/'))
        };
        let prefixes = match sources {
            Sources::Below(_) => vec![target.key.clone()],
            Sources::Each(_) => keys().filter(is_source).map(str::to_owned).collect(),
        };
        let kept = keys().map(|key| key.trim_end_matches('/').to_owned()).collect();
        Self { target, tree, prefixes, kept }
    }

    /// Deletes or shows it.
    pub async fn delete(self, transport: &Transport, progress: &Progress, report: &mut TreeReport) {
        if self.tree.delete == Delete::Never || !may_delete(progress, report) {
            return;
        }
        let bucket = &self.target.bucket;
        let outcome = match self.keys(transport).await {
            Ok(keys) if self.tree.delete == Delete::Show => {
                let files = keys.into_iter().filter(|key| key_of_entry(key).is_none());
                return report.deleted.extend(files);
            }
            Ok(keys) => {
                delete_objects(transport, bucket, &keys, |key, failure| {
                    report.add_deleted(key, failure);
                })
                .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            report.add(self.target.to_string(), Err(error));
        }
    }

    /// The keys of what is extra.
    async fn keys(&self, transport: &Transport) -> Result<Vec<String>> {
        let mut extra = Vec::new();
        for prefix in &self.prefixes {
            let objects = objects_below(transport, &self.target.with_key(prefix.clone())).await;
            let objects = match objects {
                // The bucket would be made by the backup.
                Err(Error::S3 { status: 404, .. }) if self.tree.delete == Delete::Show => {
                    Vec::new()
                }
                objects => objects?,
            };
            extra.extend(objects.into_iter().map(|ListedObject { key, .. }| key).filter(|key| {
                !self.tree.filter.excludes_key(key, &self.target.key) && !self.has(key)
            }));
        }
        Ok(extra)
    }

    fn has(&self, key: &str) -> bool {
        let owner = key_of_entry(key);
        let key = owner.as_deref().unwrap_or(key);
        // What stands for the directory itself is not below it.
        key == self.target.key || self.kept.contains(key.trim_end_matches('/'))
    }
}

/// Deletes or shows what lies below `root` and is neither one of these paths nor leads to one.
pub(super) fn delete_local(
    root: &Path,
    restored: &[PathBuf],
    tree: &TreeOptions,
    progress: &Progress,
    report: &mut TreeReport,
) {
    if tree.delete == Delete::Never || !may_delete(progress, report) {
        return;
    }
    // Nothing is there yet: a restore that is only shown makes no directory.
    if !root.exists() {
        return;
    }
    let mut found = TreeReport::default();
    let root = Sources::Below(root.to_owned());
    let entries = walk(&root, "", &tree.filter, &mut found, &Progress::silent());
    report.failed.extend(found.failed);
    if !may_delete(progress, report) {
        return;
    }
    let kept: HashSet<&Path> = restored.iter().flat_map(|path| path.ancestors()).collect();
    let mut shown_paths = HashSet::new();
    for Entry { path, key, .. } in entries {
        if kept.contains(path.as_path()) {
            continue;
        }
        let is_directory = key.ends_with('/');
        if tree.delete == Delete::Show {
            if !is_directory || holds_only(&path, &shown_paths) {
                report.deleted.push(shown(&path));
                shown_paths.insert(path);
            }
            continue;
        }
        let deleted = if is_directory { fs::remove_dir(&path) } else { fs::remove_file(&path) };
        match deleted {
            Ok(()) => report.add_deleted(&shown(&path), None),
            // It has something that the filter excludes, or that no backup keeps.
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) => report.add_deleted(&shown(&path), Some(error.to_string())),
        }
    }
}

/// Whether all that lies in the directory is among these paths.
fn holds_only(dir: &Path, paths: &HashSet<PathBuf>) -> bool {
    let mut children = fs::read_dir(dir).into_iter().flatten();
    children.all(|child| child.is_ok_and(|child| paths.contains(&child.path())))
}

/// Whether something may be deleted. If not, that is said.
fn may_delete(progress: &Progress, report: &TreeReport) -> bool {
    if !report.is_complete() {
        progress.print("nothing was deleted, because not everything else was done");
    }
    report.is_complete()
}

impl TreeReport {
    fn add_deleted(&mut self, name: &str, failure: Option<String>) {
        match failure {
            Some(reason) => self.failed.push((name.to_owned(), format!("not deleted: {reason}"))),
            None if key_of_entry(name).is_some() => {}
            None => {
                self.name(name, "deleted");
                self.deleted.push(name.to_owned());
            }
        }
    }
}
