//! Listing an account's sessions by target.
//!
//! Guarantees: open sessions first, then complete ones; a page costs at most [`MAX_ENTRIES`] reads
//! of roots, however few of them pass the filter; aborted sessions are not listed, because only
//! their roots are left. **Errors**: those of `records`.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::names::{AccountName, BackupId, Bucket, Key};
use crate::records::Snapshot;
use crate::store::ListOptions;

use super::error::{Error, Result};
use super::layout::{self, Index, Layout};
use super::manifest::{Root, Status};
use super::session::Session;
use super::uploads::Uploads;

/// The most accounts that one call looks at.
const MAX_ACCOUNTS: usize = 16;
/// The most entries that one call reads. So with a filter a page can be empty and still have a next
/// one.
const MAX_ENTRIES: usize = 1000;
/// Roots read at the same time.
pub(super) const READ_AHEAD: usize = 16;

/// Which sessions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    pub bucket: Option<Bucket>,
    /// Of the key. Without a bucket, all entries of the account are read.
    pub prefix: String,
    /// Exactly this key. With a bucket, only the sessions of this key are read.
    pub key: Option<Key>,
    pub file_id: Option<String>,
    /// A word of `Status::word`.
    pub status: Option<String>,
    /// `ListPage::next` of the previous page.
    pub after: Option<String>,
    /// In `[1, 1000]`.
    pub limit: usize,
}

/// A page of roots.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    pub roots: Vec<Arc<Root>>,
    pub next: Option<String>,
}

/// A page of roots, each with the account that its session belongs to.
#[derive(Clone, Debug, Default)]
pub struct SharedPage {
    pub roots: Vec<(AccountName, Arc<Root>)>,
    pub next: Option<String>,
}

impl Uploads {
    /// One page of the sessions of all accounts: those of `own` first, then by account, each in the
    /// order of `list`. It has nothing that the caller may not read only if the caller leaves it
    /// out.
    pub async fn list_shared(&self, own: &AccountName, query: &ListQuery) -> Result<SharedPage> {
        let limit = query.limit.clamp(1, MAX_ENTRIES);
        let accounts = self.accounts_beginning_with(own).await?;
        let mut page = SharedPage::default();
        // A cursor is `<account>:<cursor of its list>`.
        let cursor = query.after.as_deref().and_then(|after| after.split_once(':'));
        let start = cursor.and_then(|(name, after)| {
            let rank = accounts.iter().position(|account| account.as_str() == name)?;
            Some((rank, after.to_owned()))
        });
        let (rank, mut after) = start.map_or((0, None), |(rank, after)| (rank, Some(after)));
        for (looked_at, account) in accounts[rank..].iter().enumerate() {
            if looked_at == MAX_ACCOUNTS || page.roots.len() >= limit {
                page.next = Some(format!("{account}:"));
                break;
            }
            let limit = limit - page.roots.len();
            let query = ListQuery { after: after.take(), limit, ..query.clone() };
            let listed = self.list(account, &query).await?;
            page.roots.extend(listed.roots.into_iter().map(|root| (account.clone(), root)));
            if let Some(next) = listed.next {
                page.next = Some(format!("{account}:{next}"));
                break;
            }
        }
        Ok(page)
    }

    /// The session with this id: of `own`, or of another account whose root `sees` accepts.
    /// **Errors**: `NoSuchBackup`.
    pub async fn open_shared(
        &self,
        own: &AccountName,
        id: &BackupId,
        sees: impl Fn(&Root) -> bool,
    ) -> Result<(AccountName, Session)> {
        if let Some(session) = self.find(own, id).await? {
            return Ok((own.clone(), session));
        }
        for account in self.accounts_beginning_with(own).await?.into_iter().skip(1) {
            let found = self.find(&account, id).await?;
            if let Some(session) = found.filter(|session| sees(&session.root())) {
                return Ok((account, session));
            }
        }
        Err(Error::NoSuchBackup(id.clone()))
    }

    /// All accounts with sessions: `own`, and then the others by name.
    async fn accounts_beginning_with(&self, own: &AccountName) -> Result<Vec<AccountName>> {
        let mut accounts = self.accounts().await?;
        accounts.retain(|account| account != own);
        accounts.sort_unstable_by(|left, right| left.as_str().cmp(right.as_str()));
        accounts.insert(0, own.clone());
        Ok(accounts)
    }

    /// One page of the account's sessions, in the order of the index: open before complete, then by
    /// bucket and key.
    pub async fn list(&self, account: &AccountName, query: &ListQuery) -> Result<ListPage> {
        let limit = query.limit.clamp(1, MAX_ENTRIES);
        let mut entries_read = 0;
        let mut page = ListPage::default();
        let (prefixes, delimiter) = match (&query.bucket, &query.key) {
            (Some(bucket), Some(key)) => {
                (layout::key_prefixes(account, bucket, key), Some("/".to_owned()))
            }
            (bucket, _) => (layout::index_prefixes(account, bucket.as_ref(), &query.prefix), None),
        };
        let searched =
            prefixes.into_iter().filter(|(index, _)| may_hold(*index, query.status.as_deref()));
        // A cursor is `<rank>:<key>`: the prefix by its rank in this order, and the last entry that
        // was read.
        let (start_rank, start_after) = cursor(query.after.as_deref());
        for (rank, (index, prefix)) in searched.enumerate() {
            if rank < start_rank {
                continue;
            }
            let mut options =
                ListOptions { prefix, delimiter: delimiter.clone(), ..ListOptions::default() };
            // A cursor of another version, or of another query, begins at the first entry, so
            // nothing is left out.
            options.after = start_after
                .clone()
                .filter(|after| rank == start_rank && after.starts_with(&options.prefix));
            loop {
                // Every entry that is listed costs the read of a root.
                options.limit = (limit - page.roots.len()).max(READ_AHEAD);
                let listed = self.documents().list(&options).await?;
                let keys: Vec<Key> = listed.objects.into_iter().map(|object| object.key).collect();
                let roots = self.roots(account, &keys).await?;
                for (key, root) in keys.iter().zip(roots) {
                    entries_read += 1;
                    page.roots.extend(
                        root.filter(|root| is_of(root, key) && matches(root, index, query)),
                    );
                    if page.roots.len() >= limit || entries_read >= MAX_ENTRIES {
                        page.next = Some(format!("{rank}:{key}"));
                        return Ok(page);
                    }
                }
                let Some(next) = listed.next else {
                    break;
                };
                options.continue_at(next);
            }
        }
        Ok(page)
    }

    /// The roots that these entries name, in the same order.
    pub(super) async fn roots(
        &self,
        account: &AccountName,
        entries: &[Key],
    ) -> Result<Vec<Option<Arc<Root>>>> {
        let keys: Vec<Option<Key>> = entries
            .iter()
            .map(|entry| Some(Layout::new(account, &layout::session_of(entry)?).root()))
            .collect();
        let documents = self.documents().clone();
        let reads = stream::iter(keys).map(move |key| {
            let documents = documents.clone();
            async move {
                let Some(key) = key else { return Ok(None) };
                let root: Option<Snapshot<Root>> = documents.read(&key).await?;
                Ok(root.map(|root| root.value))
            }
        });
        reads.buffered(READ_AHEAD).try_collect().await
    }
}

fn cursor(after: Option<&str>) -> (usize, Option<String>) {
    let parsed = after
        .and_then(|after| after.split_once(':'))
        .and_then(|(rank, key)| Some((rank.parse().ok()?, key)));
    parsed.map_or((0, None), |(rank, key)| (rank, Some(key.to_owned())))
}

fn may_hold(index: Index, status: Option<&str>) -> bool {
    match (index, status) {
        (_, None) => true,
        (Index::Done, Some(word)) => word == "complete",
        (Index::Open, Some(word)) => word != "complete",
    }
}

/// Whether an index entry is the session's own: the entry of a create that failed has another
/// creation time.
pub(super) fn is_of(root: &Root, entry: &Key) -> bool {
    layout::parse_index_entry(entry).is_none() || root.index_entry() == *entry
}

fn matches(root: &Root, index: Index, query: &ListQuery) -> bool {
    // For a moment a session stands in both indexes, but it is listed from one of them only.
    let is_complete = matches!(root.status, Status::Complete { .. });
    let is_listed = is_complete || root.status.is_unfinished() || query.status.is_some();
    is_listed
        && is_complete == (index == Index::Done)
        && query.bucket.as_ref().is_none_or(|bucket| *bucket == root.bucket)
        && root.key.starts_with(&query.prefix)
        && query.key.as_ref().is_none_or(|key| *key == root.key)
        && query.file_id.as_ref().is_none_or(|id| *id == root.file_id)
        && query.status.as_deref().is_none_or(|word| word == root.status.word())
}
