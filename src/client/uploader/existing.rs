//! Finds out that the same content is already backed up to the target.
//!
//! Guarantees: the content counts as the same only if every local chunk has the recorded SHA-256
//! and the object still exists.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::BackupReport;
use super::send::LocalDigests;
use super::upload::Upload;
use crate::api::Summary;
use crate::client::{
    Result,
    remote::{RemoteBackup, complete_backups_of_file, current_etag},
    source::FileSource,
};

impl Upload<'_> {
    /// The newest complete backup of the same content at the target, if there is one.
    pub async fn find_complete(
        &self,
        source: &FileSource,
    ) -> Result<Option<(BackupReport, Summary)>> {
        let list = complete_backups_of_file(self.transport, self.target, &self.file_id).await;
        let backups = match list {
            Ok(backups) => backups,
            // A missing bucket may be created, and a missing right is reported better, by the
            // request that creates the backup.
            Err(error) if error.is_missing_bucket() || error.is_forbidden() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_same =
            |backup: &&Summary| backup.size == self.size && backup.chunk_size == self.chunk_size;
        let newest = backups.iter().filter(is_same).max_by_key(|backup| backup.completed_at);
        let Some((newest, object)) =
            newest.and_then(|newest| Some((newest, newest.object.as_ref()?)))
        else {
            return Ok(None);
        };
        if !self.has_same_chunks((newest, &object.etag), source).await? {
            return Ok(None);
        }
        self.progress.add_known(self.size.unwrap_or(0));
        let report = self.report(&newest.backup_id, object.clone(), newest.metadata.clone());
        Ok(Some((report, newest.clone())))
    }

    /// Whether a complete backup has exactly the chunks of the file, and its object still exists.
    async fn has_same_chunks(
        &self,
        (backup, etag): (&Summary, &String),
        source: &FileSource,
    ) -> Result<bool> {
        let remote = RemoteBackup::load(self.transport, backup).await?;
        let local = LocalDigests::default();
        let count = source.chunking().count();
        if !(0..count).all(|index| remote.checksum_of(index).is_some()) {
            return Ok(false);
        }
        let comparisons =
            stream::iter(0..count).map(|index| self.compare(&remote, &local, source, index));
        let mut comparisons = comparisons.buffer_unordered(self.options.max_concurrent_chunks());
        while let Some(equal_bytes) = comparisons.try_next().await? {
            if equal_bytes.is_none() {
                return Ok(false);
            }
        }
        drop(comparisons);
        source.require_unchanged()?;
        // The object may have been replaced since by something other than a backup.
        Ok(current_etag(self.transport, self.target).await?.as_ref() == Some(etag))
    }
}
