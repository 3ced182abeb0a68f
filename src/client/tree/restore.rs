//! Restores a directory and everything below it.
//!
//! Guarantees: nothing is written outside the directory, whatever the keys are and whatever
//! symbolic links the directory or the backup contains.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt, stream};

use super::delete::delete_local;
use super::plan::{Found, plan};
use super::{Delete, TreeOptions, TreeReport, by_size};
use crate::client::{
    Error, Progress, RestoreOptions, Result, Target, Transport,
    attributes::{AttributeEntries, Attributes, EntryKind, Kept, apply_attributes, shown},
    remote::{Current, files_below},
    restore::{restore_node, restore_to_file, sync_directory},
};

/// Files up to this length are restored several at a time.
const READ_BYTES: u64 = 8 << 20;

/// Where a tree is restored from and to.
struct TreeRestore<'a> {
    transport: &'a Transport,
    root: &'a Path,
    jobs: usize,
    progress: &'a Progress,
    entries: AttributeEntries,
    /// Whether something belongs to another user than recorded.
    other_owner: AtomicBool,
    /// Whether the file system of the directory is full.
    is_full: AtomicBool,
    /// Keys of objects without a checksum.
    unchecked: Mutex<Vec<String>>,
    /// Directories in which files got their names.
    changed: Mutex<BTreeSet<PathBuf>>,
}

/// One key to restore, with the attributes of its newest backup.
struct Item {
    found: Found,
    attributes: Attributes,
}

/// Restores everything below the target's prefix to `root`, and then deletes there what the backup
/// does not have, if that is wanted.
pub async fn restore_tree(
    transport: &Transport,
    target: &Target,
    root: &Path,
    jobs: usize,
    tree: &TreeOptions,
    progress: &Progress,
) -> Result<TreeReport> {
    progress.begin_count();
    let (mut objects, entries) = files_below(transport, target).await?;
    if objects.is_empty() {
        return Err(Error::NotDone(format!("there is no object below {target}")));
    }
    objects.retain(|current| !tree.filter.excludes_key(&current.target.key, &target.key));
    let mut report = TreeReport::naming(progress);
    let found = plan(&target.key, root, objects, &mut report);
    let paths: Vec<PathBuf> = found.iter().map(|found| found.path.clone()).collect();
    if tree.delete == Delete::Show {
        delete_local(root, &paths, tree, progress, &mut report);
        return Ok(report);
    }
    found.iter().for_each(|found| progress.count(found.current.size));
    progress.end_count();
    let restore = TreeRestore {
        transport,
        root,
        jobs,
        progress,
        entries,
        other_owner: AtomicBool::new(false),
        is_full: AtomicBool::new(false),
        unchecked: Mutex::default(),
        changed: Mutex::default(),
    };
    restore.run(found, &mut report).await;
    delete_local(root, &paths, tree, progress, &mut report);
    report.add_progress(progress);
    report.unchecked = restore.unchecked.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.other_owner = restore.other_owner.into_inner();
    Ok(report)
}

impl TreeRestore<'_> {
    async fn run(&self, found: Vec<Found>, report: &mut TreeReport) {
        let mut items = self.items(found, report).await;
        let directories: Vec<Item> =
            items.extract_if(.., |item| item.attributes.kind == EntryKind::Directory).collect();
        let nodes: Vec<Item> =
            items.extract_if(.., |item| item.attributes.kind != EntryKind::File).collect();
        let (first_names, other_names) = by_hard_link(items);
        let mut restored = HashMap::new();
        for (files, max_concurrent) in by_size(first_names, READ_BYTES, self.jobs, Item::size) {
            let restores = stream::iter(files).map(|item| async move {
                let outcome = self.restore_file(&item).await;
                (item, outcome)
            });
            let mut restores = std::pin::pin!(restores.buffer_unordered(max_concurrent));
            while let Some((item, outcome)) = restores.next().await {
                if let Some(link) = item.content_and_link().filter(|_| outcome.is_ok()) {
                    restored.insert(link, item.found.path);
                }
                report.add_kept(item.found.key, outcome);
            }
        }
        for item in other_names {
            let first = item.content_and_link().and_then(|link| restored.get(&link));
            let outcome = match first {
                Some(first) if self.hard_link(first, &item).is_ok() => {
                    let progress = item.at_work(self.progress);
                    progress.add_expected(item.size());
                    progress.add_known(item.size());
                    Ok(Kept::default())
                }
                _ => self.restore_file(&item).await,
            };
            report.add_kept(item.found.key, outcome);
        }
        self.sync_directories(report);
        // After all files, so that none is written through a restored link.
        for item in nodes {
            let outcome = self.restore_node(&item).await;
            report.add_kept(item.found.key, outcome);
        }
        // After everything: a file that is created in a directory changes the directory's time, and
        // the directory's mode may forbid to create it. The deepest first, for the same reason.
        for item in directories.into_iter().rev() {
            let _at_work = item.at_work(self.progress);
            let made = create_directories(self.root, Some(&item.found.path));
            // The directory that was named as the target is the user's, and stays as it is.
            let outcome = made.map(|()| match item.found.path == self.root {
                true => Kept::default(),
                false => apply_attributes(&item.found.path, &item.attributes),
            });
            report.add_kept(item.found.key, outcome.inspect(|kept| self.note(kept)));
        }
    }

    /// Makes the names of the restored files durable: once for each directory, not for each file.
    fn sync_directories(&self, report: &mut TreeReport) {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::task::block_in_place(|| {
            for directory in changed.iter() {
                if let Err(error) = sync_directory(directory) {
                    report.add(shown(directory), Err(error));
                }
            }
        });
    }

    /// Adds the attributes to what was found. What cannot be had is reported.
    async fn items(&self, found: Vec<Found>, report: &mut TreeReport) -> Vec<Item> {
        let loads = stream::iter(found).map(|found| async move {
            let attributes = found.current.attributes(self.transport, &self.entries).await;
            (found, attributes)
        });
        let mut loads = std::pin::pin!(loads.buffered(self.jobs.max(1)));
        let mut items = Vec::new();
        while let Some((found, attributes)) = loads.next().await {
            match attributes {
                // Whatever the store says, the target is no link.
                Ok(attributes)
                    if found.path == self.root && attributes.kind != EntryKind::Directory =>
                {
                    let text = "it is no directory, though its key is that of the prefix";
                    drop(self.progress.file(&found.key, found.current.size));
                    report.add(found.key, Err(Error::NotDone(text.to_owned())));
                }
                Ok(attributes) => items.push(Item { found, attributes }),
                Err(error) => {
                    drop(self.progress.file(&found.key, found.current.size));
                    report.add(found.key, Err(error));
                }
            }
        }
        items
    }

    /// **Errors**: `NotTried` once a file had no room.
    async fn restore_file(&self, item: &Item) -> Result<Kept> {
        if self.is_full.load(Ordering::Relaxed) {
            return Err(Error::NotTried);
        }
        let outcome = self.try_restore_file(item).await;
        if outcome.as_ref().is_err_and(Error::is_no_room) {
            self.is_full.store(true, Ordering::Relaxed);
        }
        outcome
    }

    async fn try_restore_file(&self, item: &Item) -> Result<Kept> {
        let path = &item.found.path;
        let progress = &item.at_work(self.progress);
        create_directories(self.root, path.parent())?;
        let options =
            RestoreOptions { jobs: self.jobs, is_in_tree: true, ..RestoreOptions::default() };
        let found = (&item.found.current, &self.entries);
        let directory = path.parent().map(Path::to_owned);
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).extend(directory);
        let report = restore_to_file(self.transport, found, path, options, progress).await?;
        if report.unchecked {
            let mut unchecked = self.unchecked.lock().unwrap_or_else(PoisonError::into_inner);
            unchecked.push(item.found.key.clone());
        }
        self.note(&report.kept);
        Ok(report.kept)
    }

    async fn restore_node(&self, item: &Item) -> Result<Kept> {
        let _at_work = item.at_work(self.progress);
        create_directories(self.root, item.found.path.parent())?;
        let (path, current) = (&item.found.path, &item.found.current);
        let (_, kept) = restore_node(self.transport, current, path, &item.attributes).await?;
        self.note(&kept);
        Ok(kept)
    }

    /// Makes the path another name of a restored file.
    fn hard_link(&self, first: &Path, item: &Item) -> Result<()> {
        let path = &item.found.path;
        create_directories(self.root, path.parent())?;
        let failed = || Error::io(path, "cannot be linked");
        if is_same_file(first, path) {
            return Ok(());
        }
        let beside = crate::client::restore::path_beside(path);
        // An error: nothing was left of an earlier restore.
        fs::remove_file(&beside).ok();
        fs::hard_link(first, &beside).map_err(failed())?;
        fs::rename(&beside, path).map_err(failed())?;
        Ok(())
    }

    fn note(&self, kept: &Kept) {
        self.other_owner.fetch_or(kept.other_owner, Ordering::Relaxed);
    }
}

impl Item {
    fn size(&self) -> u64 {
        self.found.current.size
    }

    /// The progress of this item, for as long as it is at work.
    fn at_work(&self, progress: &Progress) -> Progress {
        progress.file(&self.found.key, self.size())
    }

    /// What files must have in common to be names of one file: the recorded group, and the content,
    /// because a name of the group may have got another one since.
    fn content_and_link(&self) -> Option<(String, String)> {
        let link = self.attributes.hard_link.clone()?;
        let Current { size, etag, backup, .. } = &self.found.current;
        let digests = backup.as_ref().and_then(|backup| Some(&backup.object.as_ref()?.digests));
        let content = digests.map_or_else(|| etag.clone(), |digests| format!("{digests:?}"));
        Some((link, format!("{size} {content}")))
    }
}

/// The files, and those of them that are further names of one of them.
fn by_hard_link(items: Vec<Item>) -> (Vec<Item>, Vec<Item>) {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().partition(|item| item.content_and_link().is_none_or(|link| seen.insert(link)))
}

fn is_same_file(left: &Path, right: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |path| fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    id(left).is_some_and(|left| id(right) == Some(left))
}

/// Creates the directories from `root` down to `dir`. **Errors**: `NotDone` if something on the way
/// is not a directory; a symbolic link is never followed.
fn create_directories(root: &Path, dir: Option<&Path>) -> Result<()> {
    let Some(dir) = dir else { return Ok(()) };
    fs::create_dir_all(root).map_err(Error::io(root, "cannot be created"))?;
    let mut path = root.to_owned();
    for part in dir.strip_prefix(root).unwrap_or(Path::new("")).components() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(Error::NotDone(format!(
                    "{} must be a directory, but it is something else; remove it or restore to \
                     another place",
                    path.display()
                )));
            }
            // Another file of the same directory may have made it meanwhile.
            Err(_) => match fs::create_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                created => created.map_err(Error::io(&path, "cannot be created"))?,
            },
        }
    }
    Ok(())
}
