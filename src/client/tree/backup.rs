//! Backs up a directory and everything below it.

use futures_util::{StreamExt, stream};

use super::delete::Extra;
use super::walk::{Entry, walk};
use super::{Delete, Sources, TreeOptions, TreeReport, by_size};
use crate::client::{
    BackupOptions, Progress, Result, Target, Transport,
    attributes::shown,
    remote::{Occupied, make_bucket},
    uploader::{Place, backup_path},
};

/// Backs up what the sources are under the target's prefix, and then deletes there what they do not
/// have, if that is wanted.
pub async fn backup_tree(
    transport: &Transport,
    sources: &Sources,
    target: &Target,
    options: &BackupOptions,
    tree: &TreeOptions,
    progress: &Progress,
) -> Result<TreeReport> {
    let mut report = TreeReport::naming(progress);
    let entries = walk(sources, &target.key, &tree.filter, &mut report, progress);
    let extra = Extra::new(sources, target, &entries, tree);
    if tree.delete == Delete::Show {
        extra.delete(transport, progress, &mut report).await;
        return Ok(report);
    }
    let occupied = &match Occupied::list(transport, target).await {
        Ok(occupied) => occupied,
        Err(error) => {
            report.add(target.to_string(), Err(error));
            report.not_tried = entries.len() as u64;
            return Ok(report);
        }
    };
    if occupied.bucket_is_missing {
        // Otherwise several files would be sent, and refused, before one of them makes it. Why it
        // cannot be made is said by the first of them.
        make_bucket(transport, &target.bucket).await.ok();
    }
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
    extra.delete(transport, progress, &mut report).await;
    report.add_progress(progress);
    Ok(report)
}
