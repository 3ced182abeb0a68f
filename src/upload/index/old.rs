//! The index of open sessions as older gateways wrote it, moved to where it is now.
//!
//! Guarantees: an entry is written in its new place before it goes from its old one, so a session
//! that is open is found at any time after the first run; it can be cut off, repeated, and done by
//! several gateways at once. A session that ends meanwhile may leave an entry behind, which readers
//! pass over and gc sweeps. It leaves entries without a root alone: their create may be under way,
//! and gc sweeps them in their time.
//! **Layout**: `v1/<account>/index/<bucket>/<key>/<backupId>` and
//! `v1/<account>/index-hashed/<bucket>/<sha256>/<backupId>`.
//! **Errors**: the store's; start again.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::store::{Key, ListOptions};

use super::super::error::{Error, Kind, Result};
use super::super::layout;
use super::super::uploads::Uploads;

/// Entries that are moved at the same time.
const AT_ONCE: usize = 16;

impl Uploads {
    /// Moves what older gateways left; usually two empty listings per account. How many entries
    /// went from their old place. On a full disk they stay there until the next start, and only
    /// listings miss them.
    pub async fn move_old_index(&self) -> Result<u64> {
        let mut moved = 0;
        for account in self.accounts().await? {
            for prefix in layout::old_open_indexes(&account) {
                match self.move_entries(&account, prefix).await {
                    Ok(entries) => moved += entries,
                    Err(error) if error.kind() == Kind::StoreFull => {
                        tracing::warn!(account, %error, "old index entries stay where they are");
                        return Ok(moved);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(moved)
    }

    async fn move_entries(&self, account: &str, prefix: String) -> Result<u64> {
        let mut options = ListOptions { prefix, ..ListOptions::default() };
        let mut moved = 0;
        loop {
            let page = self.documents().list(&options).await?;
            let moves = page.objects.into_iter().map(|listed| self.move_entry(account, listed.key));
            let moves = stream::iter(moves).buffer_unordered(AT_ONCE);
            moved += moves
                .try_fold(0, |sum, moved| async move { Ok::<_, Error>(sum + u64::from(moved)) })
                .await?;
            if page.next.is_none() {
                return Ok(moved);
            }
            options.after = page.next;
        }
    }

    async fn move_entry(&self, account: &str, old: Key) -> Result<bool> {
        let id = layout::session_of(&old).unwrap_or_default();
        let Some(root) = self.root_of(account, id).await? else { return Ok(false) };
        if root.status.is_indexed_open() {
            self.documents().put_marker(&root.open_entry()).await?;
        }
        self.documents().delete(&old).await?;
        Ok(true)
    }
}
