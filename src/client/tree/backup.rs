//! Backs up a directory and everything below it.

use std::path::Path;

use futures_util::{StreamExt, stream};

use super::TreeReport;
use super::walk::{Entry, walk};
use crate::client::{
    BackupOptions, Progress, Result, Target, Transport,
    attributes::shown,
    remote::Occupied,
    uploader::{Place, backup_path},
};

/// So many files of this part of a chunk, or less, take the place of one chunk in memory.
const SMALLEST: u64 = 8;

/// Backs up everything below `root` under the target's prefix.
pub async fn backup_tree(
    transport: &Transport,
    root: &Path,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<TreeReport> {
    let mut report = TreeReport::default();
    let entries = walk(root, &target.key, &mut report);
    let occupied = &match Occupied::list(transport, target).await {
        Ok(occupied) => occupied,
        Err(error) => {
            report.add(target.to_string(), Err(error));
            report.not_tried = entries.len() as u64;
            return Ok(report);
        }
    };
    let jobs = options.jobs.max(1);
    for (entries, max_concurrent) in by_size(entries, options.chunk_size, jobs) {
        let backups = stream::iter(entries).map(|entry| async move {
            let target = target.with_key(entry.key.clone());
            let Entry { hard_link, name, .. } = entry;
            let (at_target, entries) = (occupied.at(&target.key), &occupied.entries);
            let place = Place { target: &target, at_target, entries, hard_link, name };
            let outcome = backup_path(transport, &entry.path, place, options, progress).await;
            (entry.path, outcome.map(drop))
        });
        let mut backups = std::pin::pin!(backups.buffer_unordered(max_concurrent));
        while let Some((path, outcome)) = backups.next().await {
            report.add(shown(&path), outcome);
        }
    }
    (report.bytes_moved, report.bytes_skipped) = (progress.transferred(), progress.skipped());
    Ok(report)
}

/// Entries of a similar size, with how many of them are backed up at the same time.
fn by_size(entries: Vec<Entry>, chunk_size: u64, jobs: usize) -> [(Vec<Entry>, usize); 3] {
    let (small, large): (Vec<Entry>, Vec<Entry>) =
        entries.into_iter().partition(|entry| entry.size <= chunk_size);
    let (smallest, small): (Vec<Entry>, Vec<Entry>) =
        small.into_iter().partition(|entry| entry.size <= chunk_size / SMALLEST);
    [(smallest, SMALLEST as usize * jobs), (small, jobs), (large, 1)]
}
