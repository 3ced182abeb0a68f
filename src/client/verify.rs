//! Verifies an object: reads every chunk of its backup, or the plain object, again and checks it.
//!
//! Guarantees: a chunk that cannot be read ends nothing, the others are read all the same; but if
//! one after the other cannot be read, the store is away, and that is said.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::remote::{Check, CompleteBackup, Current, MAX_LOOKS, PlainObject, Readable};
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
    /// None for an object that no backup made.
    pub backup_id: Option<String>,
    /// What the bytes were checked by, in words.
    pub checked_by: String,
    /// Bytes of the object.
    pub size: u64,
    /// How many chunks the backup has; of an object that no backup made, how often it was read.
    pub chunks: u64,
    /// The indexes of the chunks that are not as recorded or cannot be read, ascending.
    pub bad: Vec<u64>,
    /// What is wrong with each of them.
    pub reasons: BTreeMap<u64, String>,
    /// Whether the object has no checksum, so that only its length was checked.
    pub unchecked: bool,
}

/// Verifies the object that the target names, with `jobs` chunks at the same time. **Errors**: also
/// if it is damaged and has no record of chunks.
pub async fn verify(
    transport: &Transport,
    target: &Target,
    jobs: usize,
    progress: &Progress,
) -> Result<Verification> {
    let progress = &progress.only_file(&target.to_string());
    let current = Current::find(transport, target).await?;
    verify_current(transport, current, jobs, progress).await
}

/// The same for an object that was found.
pub(super) async fn verify_current(
    transport: &Transport,
    mut current: Current,
    jobs: usize,
    progress: &Progress,
) -> Result<Verification> {
    let mut looks = 1;
    loop {
        let outcome = match current.open(transport).await? {
            Readable::Backup(backup) => {
                verify_backup(transport, &current.target, &backup, jobs, progress).await
            }
            Readable::Plain(plain) => verify_plain(transport, &plain, jobs, progress).await,
        };
        match outcome {
            Err(error) if error.is_object_changed() && looks < MAX_LOOKS => {
                looks += 1;
                current = Current::find(transport, &current.target).await?;
            }
            outcome => return outcome,
        }
    }
}

/// Reads an object that no backup made. **Errors**: `CorruptObject`.
async fn verify_plain(
    transport: &Transport,
    plain: &PlainObject,
    jobs: usize,
    progress: &Progress,
) -> Result<Verification> {
    let chunking = plain.chunking();
    progress.add_expected(chunking.size());
    let fetches = stream::iter(0..chunking.count()).map(|index| plain.fetch(transport, index));
    let mut fetches = std::pin::pin!(fetches.buffered(jobs.max(1)));
    let mut checking = plain.check().start();
    while let Some(bytes) = fetches.try_next().await? {
        tokio::task::block_in_place(|| checking.update(&bytes));
        progress.add_transferred(bytes.len() as u64);
    }
    plain.require(checking)?;
    Ok(Verification {
        backup_id: None,
        checked_by: plain.check().to_string(),
        size: chunking.size(),
        chunks: chunking.count(),
        bad: Vec::new(),
        reasons: BTreeMap::new(),
        unchecked: *plain.check() == Check::Length,
    })
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
        match backup.read(transport, index, None, Some(MAX_REFUSED)).await {
            Ok(()) => {
                unreadable_in_a_row.store(0, Ordering::Relaxed);
                progress.add_transferred(backup.chunking().len_of(index));
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
    Ok(Verification {
        backup_id: Some(backup.id().to_owned()),
        checked_by: "SHA-256 of each chunk".to_owned(),
        size: backup.chunking().size(),
        chunks,
        bad,
        reasons,
        unchecked: false,
    })
}
