//! Verifies a backup: reads every chunk again and checks it.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::remote::{CompleteBackup, complete_backups_of_key, no_complete_backup};
use super::{Error, Progress, Result, Target, Transport};

/// The result of a verification.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Verification {
    /// How many chunks the backup has.
    pub chunks: u64,
    /// The indexes of the chunks whose bytes are not the recorded ones, ascending.
    pub bad: Vec<u64>,
}

/// Verifies the newest complete backup of the target's key, with `jobs` chunks at the same time.
pub async fn verify(
    transport: &Transport,
    target: &Target,
    jobs: usize,
    progress: &Progress,
) -> Result<Verification> {
    let backups = complete_backups_of_key(transport, target).await?;
    let newest = backups.first().ok_or_else(|| no_complete_backup(target))?;
    let backup = CompleteBackup::load(transport, newest).await?;
    progress.add_expected(backup.chunking().size());
    let backup = &backup;
    let indexes: Vec<u64> = backup.checksums().map(|(index, _)| index).collect();
    let chunks = indexes.len() as u64;
    let checks = stream::iter(indexes).map(|index| async move {
        match backup.fetch(transport, index).await {
            Ok(bytes) => {
                progress.add_transferred(bytes.len() as u64);
                Ok(None)
            }
            Err(Error::CorruptChunk { .. }) => Ok(Some(index)),
            Err(error) => Err(error),
        }
    });
    let bad: Vec<Option<u64>> = checks.buffer_unordered(jobs.max(1)).try_collect().await?;
    let mut bad: Vec<u64> = bad.into_iter().flatten().collect();
    bad.sort_unstable();
    Ok(Verification { chunks, bad })
}
