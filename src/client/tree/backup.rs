//! Backs up a directory and everything below it.

use std::path::Path;

use futures_util::{StreamExt, stream};

use super::walk::{Entry, walk};
use super::{TreeReport, by_size};
use crate::client::{
    BackupOptions, Progress, Result, Target, Transport,
    attributes::shown,
    remote::Occupied,
    uploader::{Place, backup_path},
};

/// Backs up everything below `root` under the target's prefix.
pub async fn backup_tree(
    transport: &Transport,
    root: &Path,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<TreeReport> {
    let mut report = TreeReport::default();
    let entries = walk(root, &target.key, &mut report, progress);
    let occupied = &match Occupied::list(transport, target).await {
        Ok(occupied) => occupied,
        Err(error) => {
            report.add(target.to_string(), Err(error));
            report.not_tried = entries.len() as u64;
            return Ok(report);
        }
    };
    let jobs = options.jobs.max(1);
    for (entries, max_concurrent) in by_size(entries, options.chunk_size, jobs, |entry| entry.size)
    {
        let backups = stream::iter(entries).map(|entry| async move {
            let target = target.with_key(entry.key.clone());
            let Entry { hard_link, name, .. } = entry;
            let place = Place { target: &target, occupied, hard_link, name };
            let progress = &progress.file(&shown(&entry.path), entry.size);
            let outcome = backup_path(transport, &entry.path, place, options, progress).await;
            (entry.path, outcome.map(drop))
        });
        let mut backups = std::pin::pin!(backups.buffer_unordered(max_concurrent));
        while let Some((path, outcome)) = backups.next().await {
            report.add(shown(&path), outcome);
        }
    }
    report.add_progress(progress);
    Ok(report)
}
