//! Restores a directory and everything below it.
//!
//! Guarantees: nothing is written outside the directory, whatever the keys are and whatever
//! symbolic links the directory contains.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use futures_util::{StreamExt, stream};

use super::TreeReport;
use crate::api::Summary;
use crate::client::{
    Error, Progress, RestoreOptions, Result, Target, Transport,
    attributes::restore_attributes,
    remote::{complete_backups_below, complete_backups_of_key},
    restore::restore_to_file,
};

/// Where a tree is restored from and to.
struct TreeRestore<'a> {
    transport: &'a Transport,
    target: &'a Target,
    root: &'a Path,
    jobs: usize,
    progress: &'a Progress,
}

/// Restores everything below the target's prefix to `root`.
pub async fn restore_tree(
    transport: &Transport,
    target: &Target,
    root: &Path,
    jobs: usize,
    progress: &Progress,
) -> Result<TreeReport> {
    TreeRestore { transport, target, root, jobs, progress }.run().await
}

impl TreeRestore<'_> {
    async fn run(&self) -> Result<TreeReport> {
        let newest = self.newest_backups().await?;
        let (directories, files): (Vec<Summary>, Vec<Summary>) =
            newest.into_iter().partition(|backup| backup.key.ends_with('/'));
        let (small, large): (Vec<Summary>, Vec<Summary>) = files.into_iter().partition(|backup| {
            backup.object.as_ref().is_some_and(|object| object.size <= backup.chunk_size)
        });
        let mut report = TreeReport::default();
        for (files, max_concurrent) in [(small, self.jobs.max(1)), (large, 1)] {
            let restores = stream::iter(files).map(|file| async move {
                let outcome = self.restore_entry(&file).await;
                (file.key, outcome)
            });
            let mut restores = std::pin::pin!(restores.buffer_unordered(max_concurrent));
            while let Some((key, outcome)) = restores.next().await {
                report.add(key, outcome)?;
            }
        }
        // After all files: a file that is created in a directory changes the directory's time, and
        // the directory's mode may forbid to create it. The deepest first, for the same reason.
        for directory in directories.into_iter().rev() {
            let outcome = self.restore_entry(&directory).await;
            report.add(directory.key, outcome)?;
        }
        report.bytes_moved = self.progress.transferred();
        report.bytes_skipped = self.progress.skipped();
        Ok(report)
    }

    /// The newest complete backup of each key, in order of the keys. **Shape**: at least one.
    async fn newest_backups(&self) -> Result<Vec<Summary>> {
        let mut backups = complete_backups_below(self.transport, self.target).await?;
        backups.sort_by_key(|backup| backup.completed_at);
        let newest: BTreeMap<String, Summary> =
            backups.into_iter().map(|backup| (backup.key.clone(), backup)).collect();
        if newest.is_empty() {
            return Err(Error::NotDone(format!(
                "there is no complete backup below {}",
                self.target
            )));
        }
        Ok(newest.into_values().collect())
    }

    async fn restore_entry(&self, backup: &Summary) -> Result<()> {
        let relative = backup.key.strip_prefix(&self.target.key).unwrap_or(&backup.key);
        let path = path_below(self.root, relative).ok_or_else(|| {
            Error::NotDone("its key does not name a path below the directory".to_owned())
        })?;
        if relative.ends_with('/') {
            create_directories(self.root, Some(&path))?;
        } else {
            create_directories(self.root, path.parent())?;
            let target = self.target.with_key(backup.key.clone());
            let options = RestoreOptions { jobs: self.jobs, range: None };
            let backups = complete_backups_of_key(self.transport, &target).await?;
            let backups = (&target, backups.as_slice());
            restore_to_file(self.transport, backups, &path, options, self.progress).await?;
            return Ok(());
        }
        restore_attributes(&path, &backup.metadata)
    }
}

/// The path of a key below `root`; None if the key does not name exactly one path there.
fn path_below(root: &Path, key: &str) -> Option<PathBuf> {
    let relative = Path::new(key);
    let stays_below = relative.components().all(|part| matches!(part, Component::Normal(_)));
    // `components` removes `.` and empty segments: two keys would name the same file.
    let is_unique =
        key.trim_end_matches('/').split('/').all(|segment| !segment.is_empty() && segment != ".");
    (stays_below && is_unique && !key.contains('\0')).then(|| root.join(relative))
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
            Err(_) => fs::create_dir(&path).map_err(Error::io(&path, "cannot be created"))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_lead_out_of_the_directory_are_refused() {
        let root = Path::new("/r");
        assert_eq!(path_below(root, "a/b"), Some(PathBuf::from("/r/a/b")));
        assert_eq!(path_below(root, "a/"), Some(PathBuf::from("/r/a/")));
        for refused in ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a/./b", ""] {
            assert_eq!(path_below(root, refused), None, "{refused}");
        }
    }
}
