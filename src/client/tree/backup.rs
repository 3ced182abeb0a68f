//! Backs up a directory and everything below it.

use std::fs;
use std::path::{Path, PathBuf};

use futures_util::{StreamExt, stream};

use super::TreeReport;
use crate::client::{
    BackupOptions, Error, Progress, Result, Target, Transport,
    attributes::attributes_of,
    uploader::{backup_directory, backup_file},
};

/// A file or a directory below the root.
struct Entry {
    path: PathBuf,
    /// The key of a directory ends in `/`.
    key: String,
    /// Bytes; 0 for a directory.
    size: u64,
}

/// Backs up every regular file and directory below `root` under the target's prefix.
pub async fn backup_tree(
    transport: &Transport,
    root: &Path,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<TreeReport> {
    let mut report = TreeReport::default();
    let mut entries = Vec::new();
    find_entries(root, &target.key, &mut entries, &mut report);
    let (small, large): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.size <= options.chunk_size);
    for (entries, max_concurrent) in [(small, options.jobs.max(1)), (large, 1)] {
        let backups = stream::iter(entries).map(|entry| async move {
            let outcome = backup_entry(transport, &entry, target, options, progress).await;
            (entry, outcome)
        });
        let mut backups = std::pin::pin!(backups.buffer_unordered(max_concurrent));
        while let Some((entry, outcome)) = backups.next().await {
            report.add(entry.path.display().to_string(), outcome)?;
        }
    }
    (report.bytes_moved, report.bytes_skipped) = (progress.transferred(), progress.skipped());
    Ok(report)
}

async fn backup_entry(
    transport: &Transport,
    entry: &Entry,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<()> {
    let meta = fs::metadata(&entry.path)
        .map_err(Error::io(&entry.path, "its attributes cannot be read"))?;
    let mut options = BackupOptions { metadata: attributes_of(&meta), ..options.clone() };
    let target = target.with_key(entry.key.clone());
    if meta.is_dir() {
        // A directory is backed up again when its metadata changed: it has no other content.
        options.file_id = Some(format!("{:?}", options.metadata));
        return backup_directory(transport, &target, &options, progress).await.map(drop);
    }
    backup_file(transport, &entry.path, &target, &options, progress).await.map(drop)
}

/// Finds everything below `dir`, in order of names; a directory comes after what it contains.
fn find_entries(dir: &Path, prefix: &str, entries: &mut Vec<Entry>, report: &mut TreeReport) {
    let children = match fs::read_dir(dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>) {
        Ok(children) => children,
        Err(error) => return report.failed.push((dir.display().to_string(), error.to_string())),
    };
    let mut children: Vec<_> =
        children.into_iter().map(|child| (child.file_name(), child.path())).collect();
    children.sort();
    for (name, path) in children {
        let meta = fs::symlink_metadata(&path);
        match (name.to_str(), meta) {
            (Some(name), Ok(meta)) if meta.is_dir() => {
                let key = format!("{prefix}{name}/");
                find_entries(&path, &key, entries, report);
                entries.push(Entry { path, key, size: 0 });
            }
            (Some(name), Ok(meta)) if meta.is_file() => {
                entries.push(Entry { key: format!("{prefix}{name}"), size: meta.len(), path });
            }
            (_, Err(error)) => report.failed.push((path.display().to_string(), error.to_string())),
            (_, Ok(_)) => report.left_out.push(path.display().to_string()),
        }
    }
}
