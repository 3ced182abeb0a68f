//! The course of a backup, from creating it to finalizing it.

use std::collections::BTreeMap;

use super::send::{ChunkOutcome, LocalDigests};
use super::{BackupOptions, BackupReport, Known};
use crate::api::{CreateBackup, Finalized, ProblemType, Summary};
use crate::client::{
    Error, Progress, Result, Target, Transport,
    remote::{AtTarget, CompleteBackup, RemoteBackup},
    source::FileSource,
    transport::ApiRequest,
    verify::verify_backup,
};

/// The parameters of one backup.
pub(super) struct Upload<'a> {
    pub transport: &'a Transport,
    pub progress: &'a Progress,
    pub options: &'a BackupOptions,
    pub target: &'a Target,
    pub chunk_size: u64,
    /// Bytes of the whole source; None for stdin.
    pub size: Option<u64>,
    pub file_id: String,
}

/// Backs up the bytes of a source that has some. **Errors**: `SourceChanged`, `Problem`,
/// `Unreachable`; running the command again continues where it failed.
pub(in crate::client) async fn backup_source(
    transport: &Transport,
    source: &FileSource,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
    at_target: AtTarget<'_>,
) -> Result<BackupReport> {
    let chunking = source.chunking();
    let mut upload = Upload {
        transport,
        progress,
        options,
        target,
        chunk_size: chunking.chunk_size(),
        size: Some(chunking.size()),
        file_id: options.file_id.clone().unwrap_or_default(),
    };
    progress.add_expected(chunking.size());
    if upload.fits_one_request(chunking.count())
        && let Some(report) = upload.back_up_in_one_request(source, at_target).await?
    {
        return Ok(report);
    }
    if options.file_id.is_none() {
        upload.file_id = source.file_id().await?;
    }
    match options.known {
        Known::Replace => upload.renew_file_id(),
        Known::Keep | Known::Check => {
            if let Some((completed, summary)) = upload.find_complete(source).await? {
                match upload.count_bad_chunks(&summary).await? {
                    0 => return Ok(completed),
                    bad => {
                        progress.print(&format!(
                            "{bad} of {} chunks of {target} damaged: sending the file again",
                            chunking.count()
                        ));
                        upload.renew_file_id();
                        progress.add_expected(chunking.size());
                    }
                }
            }
        }
    }
    for is_fresh in [false, true] {
        if is_fresh {
            upload.use_fresh_file_id();
        }
        let (remote, local) = (upload.create().await?, LocalDigests::default());
        match upload.send_missing(source, &remote, &local, 0..chunking.count()).await? {
            ChunkOutcome::ContentDiffers => continue,
            ChunkOutcome::Recorded | ChunkOutcome::BackupNotOpen => {}
        }
        match upload.finalize(&remote, &local, Some(source)).await {
            Err(error) if error.is_problem(ProblemType::NotOpen) && !is_fresh => {}
            outcome => return outcome,
        }
    }
    Err(Error::NotDone(format!(
        "another client changed the backup of {target} twice; find out who else writes there, then \
         run the command again"
    )))
}

impl Upload<'_> {
    fn renew_file_id(&mut self) {
        self.file_id = format!("{}-{}", self.file_id, self.transport.clock().random_id());
    }

    /// How many chunks of a complete backup are bad, if that is to be checked.
    async fn count_bad_chunks(&self, completed: &Summary) -> Result<usize> {
        if self.options.known != Known::Check {
            return Ok(0);
        }
        let backup = CompleteBackup::load(self.transport, completed).await?;
        let jobs = self.options.max_concurrent_chunks();
        let checking = &self.progress.checking(&self.target.to_string());
        let verification =
            verify_backup(self.transport, self.target, &backup, jobs, checking).await?;
        for reason in verification.reasons.values() {
            self.progress.print(reason);
        }
        Ok(verification.bad.len())
    }

    /// Makes the next `create` begin another backup instead of returning the existing one.
    pub fn use_fresh_file_id(&mut self) {
        self.renew_file_id();
        self.progress.begin_again();
        self.progress.print(&format!(
            "the recorded backup is of other content, or another client ended it: beginning a \
             fresh backup of {}",
            self.target
        ));
    }

    /// Creates the backup, or finds the open one of the same content.
    pub async fn create(&self) -> Result<RemoteBackup> {
        let create = CreateBackup {
            bucket: self.target.bucket.clone(),
            key: self.target.key.clone(),
            chunk_size: self.chunk_size,
            size: self.size,
            file_id: self.file_id.clone(),
            digest: Some(self.options.digest.name().to_owned()),
            metadata: self.options.metadata.clone(),
            content_type: None,
            layout: self.options.layout.clone(),
        };
        let created: Summary =
            self.transport.send_for_json(&ApiRequest::post("/backups", &create)).await?;
        RemoteBackup::load(self.transport, &created).await
    }

    pub fn report(
        &self,
        id: &str,
        object: Finalized,
        metadata: BTreeMap<String, String>,
    ) -> BackupReport {
        BackupReport {
            backup_id: id.to_owned(),
            bucket: self.target.bucket.clone(),
            key: self.target.key.clone(),
            object,
            metadata,
            bytes_sent: self.progress.transferred(),
            bytes_skipped: self.progress.skipped(),
        }
    }
}
