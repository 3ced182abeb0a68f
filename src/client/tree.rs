//! Directories: one backup for each file, with its mode and times.
//!
//! Guarantees: one file that fails does not stop the others, and is named at the end; a restore
//! writes nowhere but below its directory. Symbolic links and special files are left out and named;
//! names that are not UTF-8 too. A directory is an empty object whose key ends in `/`. Files of one
//! chunk go several at a time, larger ones one after the other with several chunks at a time, so
//! that never more than `jobs` chunks are in memory.

use std::collections::BTreeMap;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{StreamExt, stream};

use super::restore::{listed, restore};
use super::uploader::{Options, backup_empty, backup_file};
use super::{Error, Progress, Result, Target, Transport};
use crate::api::{Status, Summary};

/// Octal permission bits. Names that begin with `ratchet-` are the gateway's own, and refused from
/// clients.
const MODE: &str = "file-mode";
/// Nanoseconds since 1970.
const MTIME: &str = "file-mtime-ns";

/// As they were called in backups of before.
const OLD_MODE: &str = "ratchet-mode";
const OLD_MTIME: &str = "ratchet-mtime";

/// What became of a tree.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    pub done: u64,
    /// Names and reasons.
    pub failed: Vec<(String, String)>,
    /// Links, special files, names that cannot be keys.
    pub left_out: Vec<String>,
    /// Bytes that went over the wire.
    pub bytes_moved: u64,
    /// Bytes of files that were there already.
    pub bytes_skipped: u64,
}

impl Tally {
    /// **Errors**: what would fail for every other file too.
    fn count(&mut self, name: String, outcome: Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => self.done += 1,
            Err(error @ (Error::Unreachable { .. } | Error::WrongUse(_))) => return Err(error),
            Err(error) => self.failed.push((name, error.to_string())),
        }
        Ok(())
    }
}

/// A file or a directory below the root.
struct Entry {
    path: PathBuf,
    /// A directory's ends in `/`.
    key: String,
    size: u64,
}

/// Backs every regular file below `root` up under the target's prefix.
pub async fn backup_tree(
    transport: &Transport,
    root: &Path,
    target: &Target,
    options: &Options,
    progress: &Progress,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut entries = Vec::new();
    walk(root, &target.key, &mut entries, &mut tally);
    let (small, large): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.size <= options.chunk_size);
    for (entries, at_a_time) in [(small, options.jobs.max(1)), (large, 1)] {
        let backups = stream::iter(entries).map(|entry| async move {
            let outcome = backup_entry(transport, &entry, target, options, progress).await;
            (entry, outcome)
        });
        let mut backups = std::pin::pin!(backups.buffer_unordered(at_a_time));
        while let Some((entry, outcome)) = backups.next().await {
            tally.count(entry.path.display().to_string(), outcome)?;
        }
    }
    (tally.bytes_moved, tally.bytes_skipped) = (progress.sent(), progress.skipped());
    Ok(tally)
}

async fn backup_entry(
    transport: &Transport,
    entry: &Entry,
    target: &Target,
    options: &Options,
    progress: &Progress,
) -> Result<()> {
    let meta = fs::metadata(&entry.path).map_err(Error::io(&entry.path, "cannot be looked at"))?;
    let mut options = Options { metadata: kept(&meta), ..options.clone() };
    let target = target.with_key(entry.key.clone());
    if meta.is_dir() {
        // Nothing but its metadata tells one state of a directory from another.
        options.file_id = Some(format!("{:?}", options.metadata));
        return backup_empty(transport, &target, &options, progress).await.map(drop);
    }
    backup_file(transport, &entry.path, &target, &options, progress).await.map(drop)
}

fn walk(dir: &Path, prefix: &str, entries: &mut Vec<Entry>, tally: &mut Tally) {
    let listed = match fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(listed) => listed,
        Err(error) => return tally.failed.push((dir.display().to_string(), error.to_string())),
    };
    let mut names: Vec<_> =
        listed.into_iter().map(|entry| (entry.file_name(), entry.path())).collect();
    names.sort();
    for (name, path) in names {
        let meta = fs::symlink_metadata(&path);
        match (name.to_str(), meta) {
            (Some(name), Ok(meta)) if meta.is_dir() => {
                let key = format!("{prefix}{name}/");
                walk(&path, &key, entries, tally);
                entries.push(Entry { path, key, size: 0 });
            }
            (Some(name), Ok(meta)) if meta.is_file() => {
                entries.push(Entry { key: format!("{prefix}{name}"), size: meta.len(), path });
            }
            (_, Err(error)) => tally.failed.push((path.display().to_string(), error.to_string())),
            (_, Ok(_)) => tally.left_out.push(path.display().to_string()),
        }
    }
}

fn kept(meta: &Metadata) -> BTreeMap<String, String> {
    let mtime = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let mode = format!("{:o}", meta.mode() & 0o7777);
    BTreeMap::from([(MODE.to_owned(), mode), (MTIME.to_owned(), mtime.to_string())])
}

/// Restores everything below the target's prefix into `root`.
pub async fn restore_tree(
    transport: &Transport,
    target: &Target,
    root: &Path,
    jobs: usize,
    progress: &Progress,
) -> Result<Tally> {
    let mut newest: BTreeMap<String, Summary> = BTreeMap::new();
    let mut found: Vec<_> =
        listed(transport, target, Some(Status::Complete)).await?.into_iter().map(|f| f.0).collect();
    found.sort_by_key(|summary| summary.completed_at);
    for summary in found {
        newest.insert(summary.key.clone(), summary);
    }
    if newest.is_empty() {
        return Err(Error::NotDone(format!("there is no complete backup below {target}")));
    }
    let mut tally = Tally::default();
    let (directories, files): (Vec<Summary>, Vec<Summary>) =
        newest.into_values().partition(|summary| summary.key.ends_with('/'));
    // A directory's mode and time come last: a file that is made in it changes its time, and its
    // mode may forbid it.
    let (small, large): (Vec<Summary>, Vec<Summary>) = files.into_iter().partition(|summary| {
        summary.object.as_ref().is_some_and(|object| object.size <= summary.chunk_size)
    });
    for (files, at_a_time) in [(small, jobs.max(1)), (large, 1)] {
        let restores = stream::iter(files).map(|file| async move {
            let outcome = restore_entry(transport, &file, target, root, (jobs, progress)).await;
            (file.key, outcome)
        });
        let mut restores = std::pin::pin!(restores.buffer_unordered(at_a_time));
        while let Some((key, outcome)) = restores.next().await {
            tally.count(key, outcome)?;
        }
    }
    // The deepest first, for the same reason.
    for directory in directories.into_iter().rev() {
        let outcome = restore_entry(transport, &directory, target, root, (jobs, progress)).await;
        tally.count(directory.key, outcome)?;
    }
    (tally.bytes_moved, tally.bytes_skipped) = (progress.sent(), progress.skipped());
    Ok(tally)
}

async fn restore_entry(
    transport: &Transport,
    entry: &Summary,
    target: &Target,
    root: &Path,
    (jobs, progress): (usize, &Progress),
) -> Result<()> {
    let rest = entry.key.strip_prefix(&target.key).unwrap_or(&entry.key);
    let path = below(root, rest)
        .ok_or_else(|| Error::NotDone("its name leads out of the directory".to_owned()))?;
    if rest.ends_with('/') {
        make_directories(root, Some(&path))?;
    } else {
        make_directories(root, path.parent())?;
        restore(transport, &target.with_key(entry.key.clone()), &path, (jobs, None), progress)
            .await?;
    }
    give_back(&path, &entry.metadata)
}

/// The path of a key below `root`; None where it would lead out of it.
fn below(root: &Path, key: &str) -> Option<PathBuf> {
    let relative = Path::new(key);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    // `components` folds `.` and doubled slashes, which would let two keys meet in one file.
    let same = key.trim_end_matches('/').split('/').all(|part| !part.is_empty() && part != ".");
    (plain && same && !key.contains('\0')).then(|| root.join(relative))
}

/// Makes the directories from `root` down to `dir`; a symbolic link on the way is refused.
fn make_directories(root: &Path, dir: Option<&Path>) -> Result<()> {
    let Some(dir) = dir else { return Ok(()) };
    fs::create_dir_all(root).map_err(Error::io(root, "cannot be made"))?;
    let mut at = root.to_owned();
    for part in dir.strip_prefix(root).unwrap_or(Path::new("")).components() {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => {
                return Err(Error::NotDone(format!(
                    "{} is in the way: it is no directory",
                    at.display()
                )));
            }
            Err(_) => fs::create_dir(&at).map_err(Error::io(&at, "cannot be made"))?,
        }
    }
    Ok(())
}

fn give_back(path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    if let Some(ns) =
        metadata.get(MTIME).or(metadata.get(OLD_MTIME)).and_then(|ns| ns.parse::<u64>().ok())
    {
        let file = fs::File::open(path).map_err(Error::io(path, "cannot be opened"))?;
        file.set_modified(UNIX_EPOCH + Duration::from_nanos(ns))
            .map_err(Error::io(path, "cannot get its time"))?;
    }
    let mode = metadata.get(MODE).or(metadata.get(OLD_MODE));
    if let Some(mode) = mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()) {
        // No set-id bits from a store: permission bits only.
        let permissions = Permissions::from_mode(mode & 0o777);
        fs::set_permissions(path, permissions).map_err(Error::io(path, "cannot get its mode"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_leads_out_of_the_directory() {
        let root = Path::new("/r");
        assert_eq!(below(root, "a/b"), Some(PathBuf::from("/r/a/b")));
        assert_eq!(below(root, "a/"), Some(PathBuf::from("/r/a/")));
        for bad in ["../a", "a/../../b", "/etc/passwd", "a//b", "./a", "a/./b", ""] {
            assert_eq!(below(root, bad), None, "{bad}");
        }
    }
}
