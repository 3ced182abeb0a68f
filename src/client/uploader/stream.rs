//! Backs up what can be read only once: stdin, or the output of a command.
//!
//! Guarantees: the output of a command is complete only if the command ended with exit code 0.

use futures_util::{StreamExt, TryStreamExt};
use tokio::io::AsyncRead;

use super::send::{ChunkOutcome, LocalDigests};
use super::upload::Upload;
use super::{BackupOptions, BackupReport};
use crate::client::{
    Error, Progress, Result, Target, Transport,
    remote::RemoteBackup,
    source::{RunningCommand, chunks_of},
};
use crate::digest::Sha256;

/// Backs up stdin. **Errors**: as for `backup_file`. Stdin cannot be read a second time, so a chunk
/// that differs from its record is an error at once.
pub async fn backup_stdin(
    transport: &Transport,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupReport> {
    let file_id = options.file_id.clone().unwrap_or_else(|| "stdin".to_owned());
    let upload = of_unknown_size(transport, target, options, progress, file_id);
    let (remote, local) = (upload.create().await?, LocalDigests::default());
    if upload.send_all(tokio::io::stdin(), &remote, &local).await? {
        return upload.finalize(&remote, &local, None).await;
    }
    Err(Error::NotDone(format!(
        "another backup of {target} from stdin has other content; run the command again with a \
         --file-id of its own"
    )))
}

/// Backs up what a command writes to its stdout. If an open backup of the same command has other
/// content, the command is run a second time for a fresh backup.
pub async fn backup_command(
    transport: &Transport,
    command: &str,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupReport> {
    let of_command = || format!("command-{}", Sha256::of(command.as_bytes()).hex());
    let file_id = options.file_id.clone().unwrap_or_else(of_command);
    let mut upload = of_unknown_size(transport, target, options, progress, file_id);
    for is_fresh in [false, true] {
        if is_fresh {
            upload.use_fresh_file_id();
        }
        let (remote, local) = (upload.create().await?, LocalDigests::default());
        let (running, output) = RunningCommand::start(command)?;
        if upload.send_all(output, &remote, &local).await? {
            // Before the finalize: output that broke off must never be a complete backup.
            running.require_success().await?;
            return upload.finalize(&remote, &local, None).await;
        }
    }
    Err(Error::NotDone(format!(
        "another client changed the backup of {target}; find out who else writes there, then run \
         the command again"
    )))
}

fn of_unknown_size<'a>(
    transport: &'a Transport,
    target: &'a Target,
    options: &'a BackupOptions,
    progress: &'a Progress,
    file_id: String,
) -> Upload<'a> {
    progress.without_total();
    let chunk_size = options.chunk_size.max(1);
    Upload { transport, progress, options, target, chunk_size, size: None, file_id }
}

impl Upload<'_> {
    /// Sends all that can be read. Returns whether the backup is of this content.
    async fn send_all(
        &self,
        reader: impl AsyncRead + Unpin,
        remote: &RemoteBackup,
        local: &LocalDigests,
    ) -> Result<bool> {
        let sends = chunks_of(reader, self.chunk_size)?.map(|chunk| async {
            let chunk = chunk?;
            self.progress.add_expected(chunk.bytes.len() as u64);
            self.send_chunk(remote, local, chunk).await
        });
        let sends = sends.buffer_unordered(self.options.max_concurrent_chunks());
        let mut outcomes = std::pin::pin!(sends);
        while let Some(outcome) = outcomes.try_next().await? {
            match outcome {
                ChunkOutcome::Recorded => {}
                ChunkOutcome::ContentDiffers | ChunkOutcome::BackupNotOpen => return Ok(false),
            }
        }
        Ok(true)
    }
}
