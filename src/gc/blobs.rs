//! Task of a sweep: blobs and recipes of the layout `content`, in front of an S3 store.
//!
//! Guarantees: an account that fails is logged and skipped. What is removed, and why nothing that
//! is needed can be, is `content`'s matter. It does not renew the lease: two sweeps at once do no
//! harm.

use super::sweep::{Result, Sweep};
use crate::content::{Content, SweepLimits, Swept};
use crate::names::AccountName;

pub(super) async fn sweep_account(
    sweep: &mut Sweep<'_>,
    content: &Content,
    account: &AccountName,
) -> Result<()> {
    let limits = SweepLimits {
        now: sweep.now,
        keep_unused: sweep.limits.expire_after,
        open_uploads: sweep.uploads.store_uploads_in_use(account).await?,
        dry: sweep.is_dry(),
    };
    match content.sweep(account, &limits).await {
        Ok(Swept { recipes, blobs, bytes }) => {
            sweep.report.recipes += recipes;
            sweep.report.blobs += blobs;
            sweep.report.bytes += bytes;
        }
        Err(error) => {
            sweep.report.failed += 1;
            tracing::warn!(account = account.as_str(), %error, "the blobs of an account were not swept");
        }
    }
    Ok(())
}
