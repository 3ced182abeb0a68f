//! Moves the index of open sessions that older gateways wrote to the keys that are used now.
//!
//! Guarantees: the new entry is written before the old one is removed, so an open session is found
//! at any time after the first run; it can be interrupted, repeated, and done by several gateways
//! at once. A session that ends meanwhile may leave an entry behind, which readers skip and gc
//! removes. Entries without a root are left alone: their create may be under way, and gc removes
//! them later.
//! **Layout**: `v1/<account>/index/<bucket>/<key>/<backupId>` and
//! `v1/<account>/index-hashed/<bucket>/<sha256>/<backupId>`.
//! **Errors**: the store's; repeat the call.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::names::{AccountName, Key};
use crate::store::ListOptions;

use super::super::error::{Error, Kind, Result};
use super::super::layout;
use super::super::uploads::Uploads;

/// Entries that are moved at the same time.
const MAX_CONCURRENT_MOVES: usize = 16;

impl Uploads {
    /// Moves the entries of older gateways; usually that costs two empty listings per account.
    /// Returns how many were moved. On a full disk they stay until the next start, and are only
    /// missing from listings.
    pub async fn move_old_index(&self) -> Result<u64> {
        let mut moved = 0;
        for account in self.accounts().await? {
            for prefix in layout::old_open_indexes(&account) {
                match self.move_entries(&account, prefix).await {
                    Ok(entries) => moved += entries,
                    Err(error) if error.kind() == Kind::StoreFull => {
                        tracing::warn!(account = account.as_str(), %error, "old index entries were not moved");
                        return Ok(moved);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(moved)
    }

    async fn move_entries(&self, account: &AccountName, prefix: String) -> Result<u64> {
        let mut options = ListOptions { prefix, ..ListOptions::default() };
        let mut moved = 0;
        loop {
            let page = self.documents().list(&options).await?;
            let moves = page.objects.into_iter().map(|listed| self.move_entry(account, listed.key));
            let moves = stream::iter(moves).buffer_unordered(MAX_CONCURRENT_MOVES);
            moved += moves
                .try_fold(0, |sum, moved| async move { Ok::<_, Error>(sum + u64::from(moved)) })
                .await?;
            let Some(next) = page.next else {
                return Ok(moved);
            };
            options.continue_at(next);
        }
    }

    async fn move_entry(&self, account: &AccountName, old: Key) -> Result<bool> {
        let id = layout::session_of(&old).unwrap_or_default();
        let Some(root) = self.root_of(account, &id).await? else { return Ok(false) };
        if root.status.is_indexed_open() {
            self.documents().put_marker(&root.index_entry()).await?;
        }
        self.documents().delete(&old).await?;
        Ok(true)
    }
}
