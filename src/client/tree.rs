//! Directories: one backup for each file, with its mode and times.
//!
//! Guarantees: one file that fails does not stop the others, and is named at the end; a restore writes nowhere but
//! below its directory. Symbolic links and special files are left out and named; names that are not UTF-8 too.
//! An empty directory is an empty object whose key ends in `/`.

use std::collections::BTreeMap;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::restore::{listed, restore};
use super::uploader::{Options, backup_file};
use super::{Error, Progress, Result, Target, Transport};
use crate::api::Status;

/// Octal permission bits.
const MODE: &str = "ratchet-mode";
/// Nanoseconds since 1970.
const MTIME: &str = "ratchet-mtime";

/// What became of a tree.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    pub done: u64,
    /// Names and reasons.
    pub failed: Vec<(String, String)>,
    /// Links, special files, names that cannot be keys.
    pub left_out: Vec<String>,
}

enum Entry {
    File(PathBuf, String),
    EmptyDirectory(PathBuf, String),
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
    for entry in entries {
        let (path, key) = match &entry {
            Entry::File(path, key) | Entry::EmptyDirectory(path, key) => (path, key),
        };
        let outcome = async {
            let meta = fs::metadata(path).map_err(Error::io(path, "cannot be looked at"))?;
            let options = Options { metadata: kept(&meta), ..options.clone() };
            let target = target.with_key(key.clone());
            match &entry {
                Entry::File(path, _) => backup_file(transport, path, &target, &options, progress).await,
                Entry::EmptyDirectory(..) => {
                    let empty = tempfile_like(&transport.clock().random_id())?;
                    let backed = backup_file(transport, &empty, &target, &options, progress).await;
                    // A leftover in the temporary directory is empty, and goes with it.
                    fs::remove_file(&empty).ok();
                    backed
                }
            }
        };
        match outcome.await {
            Ok(_) => tally.done += 1,
            Err(error @ (Error::Unreachable { .. } | Error::WrongUse(_))) => return Err(error),
            Err(error) => tally.failed.push((path.display().to_string(), error.to_string())),
        }
    }
    Ok(tally)
}

fn tempfile_like(id: &str) -> Result<PathBuf> {
    let path = std::env::temp_dir().join(format!("ratchet-empty-{id}"));
    fs::File::create_new(&path).map_err(Error::io(&path, "cannot be made"))?;
    Ok(path)
}

fn walk(dir: &Path, prefix: &str, entries: &mut Vec<Entry>, tally: &mut Tally) {
    let listed = match fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(listed) => listed,
        Err(error) => return tally.failed.push((dir.display().to_string(), error.to_string())),
    };
    if listed.is_empty() && !prefix.is_empty() {
        entries.push(Entry::EmptyDirectory(dir.to_owned(), prefix.to_owned()));
    }
    let mut names: Vec<_> = listed.into_iter().map(|entry| (entry.file_name(), entry.path())).collect();
    names.sort();
    for (name, path) in names {
        let kind = fs::symlink_metadata(&path).map(|meta| meta.file_type());
        match (name.to_str(), kind) {
            (Some(name), Ok(kind)) if kind.is_dir() => walk(&path, &format!("{prefix}{name}/"), entries, tally),
            (Some(name), Ok(kind)) if kind.is_file() => entries.push(Entry::File(path, format!("{prefix}{name}"))),
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
    let mut newest: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut found: Vec<_> = listed(transport, target, Some(Status::Complete)).await?.into_iter().map(|f| f.0).collect();
    found.sort_by_key(|summary| summary.completed_at);
    for summary in found {
        newest.insert(summary.key, summary.metadata);
    }
    if newest.is_empty() {
        return Err(Error::NotDone(format!("there is no complete backup below {target}")));
    }
    let mut tally = Tally::default();
    let mut directories = Vec::new();
    for (key, metadata) in newest {
        let rest = key.strip_prefix(&target.key).unwrap_or(&key);
        let Some(path) = below(root, rest) else {
            tally.failed.push((key, "its name leads out of the directory".to_owned()));
            continue;
        };
        let outcome = async {
            make_directories(root, if rest.ends_with('/') { Some(&path) } else { path.parent() })?;
            if rest.ends_with('/') {
                directories.push((path.clone(), metadata.clone()));
                return Ok(());
            }
            restore(transport, &target.with_key(key.clone()), &path, (jobs, None), progress).await?;
            give_back(&path, &metadata)
        };
        match outcome.await {
            Ok(()) => tally.done += 1,
            Err(error @ Error::Unreachable { .. }) => return Err(error),
            Err(error) => tally.failed.push((key, error.to_string())),
        }
    }
    // Last: a file made in a directory changes its time.
    for (path, metadata) in directories.iter().rev() {
        give_back(path, metadata)?;
    }
    Ok(tally)
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
            Ok(_) => return Err(Error::NotDone(format!("{} is in the way: it is no directory", at.display()))),
            Err(_) => fs::create_dir(&at).map_err(Error::io(&at, "cannot be made"))?,
        }
    }
    Ok(())
}

fn give_back(path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    if let Some(ns) = metadata.get(MTIME).and_then(|ns| ns.parse::<u64>().ok()) {
        let file = fs::File::open(path).map_err(Error::io(path, "cannot be opened"))?;
        file.set_modified(UNIX_EPOCH + Duration::from_nanos(ns)).map_err(Error::io(path, "cannot get its time"))?;
    }
    if let Some(mode) = metadata.get(MODE).and_then(|mode| u32::from_str_radix(mode, 8).ok()) {
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
