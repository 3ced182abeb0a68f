//! Repairs a backup whose object is damaged, from the file that it was made of.
//!
//! Guarantees: a file that is not the backed-up one repairs nothing and changes nothing; the
//! damaged object is replaced only by one whose digest the gateway confirmed. Chunks that are not
//! damaged are copied inside the store where it can, and not sent.

use std::path::Path;

use super::attributes::AttributeEntries;
use super::remote::{CompleteBackup, Current, Readable};
use super::source::FileSource;
use super::uploader::backup_again;
use super::verify::verify_backup;
use super::{
    BackupOptions, BackupReport, Error, Progress, Result, Target, Transport, Verification,
};
use crate::digest::Kind;

/// The result of a repair.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Repair {
    #[serde(flatten)]
    pub found: Verification,
    /// The backup that took the place of the damaged one; None if nothing was damaged.
    pub repaired: Option<BackupReport>,
}

/// Verifies the object that the target names, and sends the bad chunks again.
pub async fn verify_and_repair(
    transport: &Transport,
    target: &Target,
    path: &Path,
    jobs: usize,
    progress: &Progress,
) -> Result<Repair> {
    let current = Current::find(transport, target).await?;
    let (Readable::Backup(backup), Some(summary)) =
        (current.open(transport).await?, &current.backup)
    else {
        return Err(Error::NotDone(format!(
            "no backup made {target}, so nothing says whether {} is the same file; `ratchet backup` \
             replaces the object",
            path.display()
        )));
    };
    let source = FileSource::open(path, backup.chunking().chunk_size())?;
    let found = verify_backup(transport, target, &backup, jobs, progress).await?;
    if found.bad.is_empty() {
        return Ok(Repair { found, repaired: None });
    }
    if source.chunking() != backup.chunking() || digests_differ(&source, &backup).await? {
        return Err(Error::NotDone(format!(
            "{} is not the file that was backed up to {target}, of which {} chunks are bad; nothing \
             was changed",
            path.display(),
            found.bad.len()
        )));
    }
    let entries = AttributeEntries::of_key(transport, target).await?;
    let attributes = entries.attributes_of(transport, summary).await?;
    let digest = backup.summary().digest.as_deref().and_then(|name| name.parse().ok());
    let options = BackupOptions {
        jobs,
        chunk_size: backup.chunking().chunk_size(),
        digest: digest.unwrap_or(BackupOptions::default().digest),
        ..BackupOptions::default()
    };
    let progress = &progress.only_file(&path.display().to_string());
    let repaired = backup_again(transport, &source, target, attributes, &options, progress).await?;
    Ok(Repair { found, repaired: Some(repaired) })
}

/// Whether the file has other bytes than were backed up.
async fn digests_differ(source: &FileSource, backup: &CompleteBackup) -> Result<bool> {
    for (index, checksum) in backup.checksums() {
        if source.digests(index, Kind::Sha256Chunks).await?.sha256 != *checksum {
            return Ok(true);
        }
    }
    Ok(false)
}
