//! Restores a backup to stdout, in order.

use std::path::Path;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncWriteExt;

use super::byte_range::{bytes_to_restore, clip};
use super::{RestoreOptions, RestoreReport};
use crate::api::ProblemType;
use crate::client::{
    Error, Progress, Result, Target, Transport,
    remote::{CompleteBackup, complete_backups_of_key, no_complete_backup},
};

/// Writes the newest backup whose object still exists to stdout.
pub async fn restore_to_stdout(
    transport: &Transport,
    target: &Target,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    for listed in complete_backups_of_key(transport, target).await? {
        let backup = CompleteBackup::load(transport, &listed).await?;
        match write(transport, &backup, options, progress).await {
            // An older backup can replace this one only while nothing of this one was written.
            Err(error)
                if error.is_problem(ProblemType::ObjectChanged) && progress.transferred() == 0 => {}
            Err(error) => return Err(error),
            Ok(()) => {
                return Ok(RestoreReport {
                    backup_id: backup.id().to_owned(),
                    bytes_read: progress.transferred(),
                    bytes_kept: 0,
                });
            }
        }
    }
    Err(no_complete_backup(target))
}

async fn write(
    transport: &Transport,
    backup: &CompleteBackup,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<()> {
    let chunking = backup.chunking();
    let range = bytes_to_restore(options.range, chunking.size())?;
    progress.add_expected(range.end - range.start);
    let range = &range;
    let fetches = stream::iter(chunking.chunks_of(range)).map(|index| async move {
        let chunk = backup.fetch(transport, index).await?;
        Ok::<_, Error>(clip(&chunk, chunking.offset_of(index), range))
    });
    let mut fetches = fetches.buffered(options.max_concurrent_chunks());
    let mut stdout = tokio::io::stdout();
    let failed = || Error::io(Path::new("-"), "cannot be written");
    while let Some(bytes) = fetches.try_next().await? {
        stdout.write_all(&bytes).await.map_err(failed())?;
        progress.add_transferred(bytes.len() as u64);
    }
    stdout.flush().await.map_err(failed())
}
