//! Verifies a backup: reads every chunk again and checks it.
//!
//! Guarantees: a chunk that cannot be read ends nothing, the others are read all the same; but if
//! one after the other cannot be read, the store is away, and that is said.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::remote::{CompleteBackup, complete_backups_of_key, no_complete_backup};
use super::{Error, Progress, Result, Target, Transport};
use crate::escape::error_chain;

/// How long a chunk is asked for again that the gateway says it cannot read.
const MAX_REFUSED: Duration = Duration::from_secs(30);
/// As many chunks that cannot be read, with none between that can, are no damage but an outage.
const MAX_UNREADABLE_IN_A_ROW: usize = 16;

/// The result of a verification.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    pub backup_id: String,
    /// How many chunks the backup has.
    pub chunks: u64,
    /// The indexes of the chunks that are not as recorded or cannot be read, ascending.
    pub bad: Vec<u64>,
    /// What is wrong with each of them.
    pub reasons: BTreeMap<u64, String>,
}

/// Verifies the newest complete backup of the target's key whose object still exists, with `jobs`
/// chunks at the same time.
pub async fn verify(
    transport: &Transport,
    target: &Target,
    jobs: usize,
    progress: &Progress,
) -> Result<Verification> {
    for listed in complete_backups_of_key(transport, target).await? {
        let backup = CompleteBackup::load(transport, &listed).await?;
        match verify_backup(transport, target, &backup, jobs, progress).await {
            Err(error) if error.is_object_changed() => {}
            outcome => return outcome,
        }
    }
    Err(no_complete_backup(target))
}

/// Verifies one backup. **Errors**: also if its object was replaced.
pub(super) async fn verify_backup(
    transport: &Transport,
    target: &Target,
    backup: &CompleteBackup,
    jobs: usize,
    progress: &Progress,
) -> Result<Verification> {
    backup.require_current(transport, target).await?;
    progress.add_expected(backup.chunking().size());
    let indexes: Vec<u64> = backup.checksums().map(|(index, _)| index).collect();
    let chunks = indexes.len() as u64;
    let unreadable_in_a_row = &AtomicUsize::new(0);
    let checks = stream::iter(indexes).map(|index| async move {
        match backup.fetch_within(transport, index, Some(MAX_REFUSED)).await {
            Ok(bytes) => {
                unreadable_in_a_row.store(0, Ordering::Relaxed);
                progress.add_transferred(bytes.len() as u64);
                Ok(None)
            }
            Err(error @ Error::CorruptChunk { .. }) => Ok(Some((index, error_chain(&error)))),
            Err(error @ Error::UnreadableChunk { .. }) => {
                let before = unreadable_in_a_row.fetch_add(1, Ordering::Relaxed);
                if before + 1 < MAX_UNREADABLE_IN_A_ROW {
                    Ok(Some((index, error_chain(&error))))
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    });
    let bad: Vec<Option<(u64, String)>> =
        checks.buffer_unordered(jobs.max(1)).try_collect().await?;
    let reasons: BTreeMap<u64, String> = bad.into_iter().flatten().collect();
    let bad = reasons.keys().copied().collect();
    Ok(Verification { backup_id: backup.id().to_owned(), chunks, bad, reasons })
}
