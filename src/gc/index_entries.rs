//! Task of a sweep: entries of the index of open sessions, and open entries, that name no open
//! session.
//!
//! Guarantees: an entry that is younger than `expire_after` stays, because the create that wrote it
//! may still be under way. It does not renew the lease: if a large index takes longer than the
//! lease, another gateway starts a sweep too, which does no harm.

use std::time::SystemTime;

use super::sweep::{Result, Sweep};
use crate::names::AccountName;

pub(super) async fn sweep_account(sweep: &mut Sweep<'_>, account: &AccountName) -> Result<()> {
    let written_before =
        sweep.now.checked_sub(sweep.limits.expire_after).unwrap_or(SystemTime::UNIX_EPOCH);
    let (uploads, is_dry) = (sweep.uploads, sweep.is_dry());
    sweep.report.entries += uploads.reclaim_entries(account, written_before, is_dry).await?;
    Ok(())
}
