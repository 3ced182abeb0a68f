//! Task of a sweep: the sessions of an account, page by page.
//!
//! Guarantees: a session that is too young costs no read; one that fails is logged and skipped; the
//! age of a session is read again before it is ended. What becomes of a session is decided in
//! `decide`, how it is ended in `upload`.

use std::time::Duration;

use super::decide::{ReclaimAction, reclaim_action};
use super::report::ReclaimedSession;
use super::staged_chunks;
use super::sweep::{LeaseState, Result, Sweep};
use crate::names::{AccountName, Bucket, Key};
use crate::upload::{Error, Retention, Root, SessionRecords};

/// `Lost` ends the sweep.
pub(super) async fn sweep_account(
    sweep: &mut Sweep<'_>,
    account: &AccountName,
) -> Result<LeaseState> {
    let mut after = sweep.start_after(account);
    loop {
        let page = sweep.uploads.session_records(account, after.clone()).await?;
        for records in &page.sessions {
            sweep_session(sweep, records).await;
            // The recorded position is the start of this page: a session that is already
            // reclaimed costs little when the next holder of the lease looks at it again.
            if sweep.renew_if_due(account, after.as_deref()).await? == LeaseState::Lost {
                return Ok(LeaseState::Lost);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(LeaseState::Held);
        }
        if sweep.renew(account, after.as_deref()).await? == LeaseState::Lost {
            return Ok(LeaseState::Lost);
        }
    }
}

async fn sweep_session(sweep: &mut Sweep<'_>, records: &SessionRecords) {
    sweep.report.seen += 1;
    let idle = sweep.now.duration_since(records.newest).unwrap_or_default();
    if idle < sweep.limits.min_age() {
        return;
    }
    // From here on the session costs reads.
    sweep.keep_pace().await;
    match reclaim(sweep, records, idle).await {
        // The session is gone: this sweep was delayed for so long that another one removed it.
        Ok(None) | Err(Error::NoSuchBackup(_)) => {}
        Ok(Some(reclaimed)) => sweep.reclaimed(&reclaimed),
        Err(error) => {
            sweep.report.failed += 1;
            tracing::warn!(account = records.account.as_str(), backup = records.backup_id.as_str(), %error, "a session was not swept");
        }
    }
}

/// Decides about one session and acts. None if nothing was reclaimed.
async fn reclaim(
    sweep: &Sweep<'_>,
    records: &SessionRecords,
    idle: Duration,
) -> Result<Option<ReclaimedSession>> {
    let Some(root) = sweep.uploads.root_of(&records.account, &records.backup_id).await? else {
        return reclaim_without_root(sweep, records, idle).await;
    };
    // Only the documents of an old session may be removed, so only those are asked about.
    let retention = if idle >= sweep.limits.expire_after {
        sweep.uploads.retention(&root).await?
    } else {
        Retention::Successor
    };
    let action = reclaim_action(&root.status, idle, retention, sweep.limits);
    let (word, frees_parts) = match action {
        ReclaimAction::Keep if staged_chunks::are_left_over(records, &root) => ("unstage", false),
        ReclaimAction::Keep => return Ok(None),
        ReclaimAction::Expire => ("expire", true),
        ReclaimAction::Free => ("free", true),
        ReclaimAction::Forget => ("forget", false),
    };
    let part_bytes = if frees_parts { sweep.uploads.part_bytes(&root).await? } else { 0 };
    let reclaimed = ReclaimedSession {
        account: root.account.clone(),
        backup_id: root.backup_id.clone(),
        bucket: root.bucket.clone(),
        key: root.key.clone(),
        action: word,
        idle,
        bytes: part_bytes + records.staged_bytes,
    };
    if !sweep.is_dry() && !act(sweep, &root, action).await? {
        return Ok(None);
    }
    Ok(Some(reclaimed))
}

/// False if the session was used in the meantime, or has parts left.
async fn act(sweep: &Sweep<'_>, root: &Root, action: ReclaimAction) -> Result<bool> {
    match action {
        ReclaimAction::Keep => staged_chunks::remove(sweep, root).await.map(|()| true),
        ReclaimAction::Free => sweep.uploads.free(root).await,
        ReclaimAction::Forget => sweep.uploads.forget(root).await.map(|()| true),
        ReclaimAction::Expire => expire(sweep, root).await,
    }
}

/// Ends a session, unless it was written to in the meantime.
async fn expire(sweep: &Sweep<'_>, root: &Root) -> Result<bool> {
    let limits = sweep.limits;
    let limit = if root.status.is_unfinished() { limits.expire_after } else { limits.keep_aborted };
    let Some((newest, store_time)) = sweep.uploads.last_written(root).await? else {
        return Ok(false);
    };
    let idle = sweep.trusted_time(store_time).duration_since(newest).unwrap_or_default();
    if idle < limit {
        return Ok(false);
    }
    let reason = format!("idle for {} s", limit.as_secs());
    match sweep.uploads.expire(root, &reason).await {
        // It was completed or taken over at the last moment.
        Err(Error::NotOpen { .. }) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Documents without a root: what a late writer added to a session whose documents were removed.
async fn reclaim_without_root(
    sweep: &Sweep<'_>,
    records: &SessionRecords,
    idle: Duration,
) -> Result<Option<ReclaimedSession>> {
    if idle < sweep.limits.expire_after {
        return Ok(None);
    }
    if !sweep.is_dry() {
        sweep.uploads.forget_records(&records.account, &records.backup_id).await?;
    }
    Ok(Some(ReclaimedSession {
        account: records.account.clone(),
        backup_id: records.backup_id.clone(),
        bucket: Bucket::default(),
        key: Key::default(),
        action: "orphan",
        idle,
        bytes: records.staged_bytes,
    }))
}
