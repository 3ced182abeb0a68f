//! Backs up what has no bytes: an empty file, a directory, a special file.
//!
//! Guarantees: of several backups of one key the last one is the newest by its time, which has
//! whole seconds: nothing else tells empty objects apart.

use std::time::Duration;

use bytes::Bytes;

use super::send::LocalDigests;
use super::upload::Upload;
use super::{BackupOptions, BackupReport};
use crate::client::{
    Progress, Result, Target, Transport,
    remote::{AtTarget, Current, complete_backups, current_etag, single_newest},
};
use crate::digest::Sha256;

/// The unit of `completedAt`.
const SECOND: Duration = Duration::from_secs(1);
/// How often an object is made again whose time is that of an older one.
const MAX_REPEATS: usize = 3;

/// Backs up an empty object with the metadata of the options.
pub(super) async fn backup_empty(
    transport: &Transport,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
    at_target: AtTarget<'_>,
) -> Result<BackupReport> {
    let named = format!("{:?}", options.metadata);
    let mut upload = Upload {
        transport,
        progress,
        options,
        target,
        chunk_size: options.chunk_size.max(1),
        size: Some(0),
        file_id: Sha256::of(named.as_bytes()).hex(),
    };
    if let AtTarget::Listed(current) = at_target
        && let Some(report) = upload.back_up_nothing_at_once(current).await?
    {
        return Ok(report);
    }
    let earlier = match complete_backups(transport, target).await {
        Ok(earlier) => earlier,
        // A missing bucket may be created, and a missing right is reported better, by the request
        // that creates the backup.
        Err(error) if error.is_missing_bucket() || error.is_forbidden() => Vec::new(),
        Err(error) => return Err(error),
    };
    if let Some(newest) = single_newest(&earlier)
        && newest.metadata == options.metadata
        && let Some(object) = newest.object.as_ref().filter(|object| object.size == 0)
        && current_etag(transport, target).await?.as_deref() == Some(object.etag.as_str())
    {
        progress.add_known(0);
        return Ok(upload.report(&newest.backup_id, object.clone(), newest.metadata.clone()));
    }
    let mut report = upload.back_up_nothing().await?;
    if earlier.is_empty() {
        return Ok(report);
    }
    for _ in 0..MAX_REPEATS {
        let all = complete_backups(transport, target).await?;
        if single_newest(&all).is_some_and(|newest| newest.backup_id == report.backup_id) {
            break;
        }
        transport.clock().pause(SECOND).await;
        upload.file_id = transport.clock().random_id();
        report = upload.back_up_nothing().await?;
    }
    Ok(report)
}

impl Upload<'_> {
    /// Makes the first backup of a key in one request, or finds the same one. None: it is not that
    /// simple.
    async fn back_up_nothing_at_once(
        &self,
        current: Option<&Current>,
    ) -> Result<Option<BackupReport>> {
        let Some(current) = current else {
            return self.put_whole(Bytes::new(), Sha256::of(b""), None).await;
        };
        let same = current.backup.as_ref().filter(|backup| {
            current.is_newest && current.size == 0 && backup.metadata == self.options.metadata
        });
        let same = same.and_then(|same| Some((same, same.object.clone()?)));
        if same.is_some() {
            self.progress.add_known(0);
        }
        Ok(same.map(|(same, object)| self.report(&same.backup_id, object, same.metadata.clone())))
    }

    async fn back_up_nothing(&self) -> Result<BackupReport> {
        let remote = self.create().await?;
        self.finalize(&remote, &LocalDigests::default(), None).await
    }
}
