//! Listing an account's sessions by target.
//!
//! Guarantees: open ones first, then complete ones; a page costs at most [`MAX_ENTRIES`] root
//! reads, whatever the filter leaves of it; aborted ones are not listed (they have no target any
//! more, only a tombstone). Errors: those of the records.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::records::Snapshot;
use crate::store::{Key, ListOptions};

use super::error::Result;
use super::layout::{self, Index, Layout};
use super::manifest::{Root, Status};
use super::uploads::Uploads;

/// The most entries that one call looks at; with a filter a page can be empty and still have a next
/// one.
const MAX_ENTRIES: usize = 1000;
/// Roots read at the same time.
pub(super) const READ_AHEAD: usize = 16;

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    pub bucket: Option<String>,
    /// Of the key; only together with a bucket.
    pub prefix: String,
    /// Exactly this key, instead of a prefix; only together with a bucket. Costs what its own
    /// sessions cost.
    pub key: Option<String>,
    pub file_id: Option<String>,
    /// A word of `Status::word`.
    pub status: Option<String>,
    /// `ListPage::next` of the page before.
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

impl Uploads {
    /// One page of the account's sessions, in the order of the index: open before complete, then by
    /// bucket and key.
    pub async fn list(&self, account: &str, query: &ListQuery) -> Result<ListPage> {
        let limit = query.limit.clamp(1, MAX_ENTRIES);
        let mut looked_at = 0;
        let mut page = ListPage::default();
        let prefixes = match (&query.bucket, &query.key) {
            (Some(bucket), Some(key)) => layout::key_prefixes(account, bucket, key),
            (bucket, _) => layout::index_prefixes(account, bucket.as_deref(), &query.prefix),
        };
        let delimiter = query.key.as_ref().map(|_| "/".to_owned());
        let wanted =
            prefixes.into_iter().filter(|(index, _)| may_hold(*index, query.status.as_deref()));
        for (rank, (index, prefix)) in wanted.enumerate() {
            // The cursor is the place in this order and the last entry looked at: `<rank>:<key>`.
            let (at, after) = cursor(query.after.as_deref());
            if rank < at {
                continue;
            }
            let mut options =
                ListOptions { prefix, delimiter: delimiter.clone(), ..ListOptions::default() };
            // A cursor of another version, or of another query, begins at the front: nothing is
            // left out.
            options.after = after.filter(|after| rank == at && after.starts_with(&options.prefix));
            loop {
                let listed = self.documents().list(&options).await?;
                let keys: Vec<Key> = listed.objects.into_iter().map(|object| object.key).collect();
                let roots = self.roots(account, &keys).await?;
                for (key, root) in keys.iter().zip(roots) {
                    looked_at += 1;
                    page.roots.extend(
                        root.filter(|root| is_of(root, key) && matches(root, index, query)),
                    );
                    if page.roots.len() >= limit || looked_at >= MAX_ENTRIES {
                        page.next = Some(format!("{rank}:{key}"));
                        return Ok(page);
                    }
                }
                if listed.next.is_none() {
                    break;
                }
                options.after = listed.next;
            }
        }
        Ok(page)
    }

    pub(super) async fn roots(
        &self,
        account: &str,
        entries: &[Key],
    ) -> Result<Vec<Option<Arc<Root>>>> {
        let keys: Vec<Option<Key>> = entries
            .iter()
            .map(|entry| Some(Layout::new(account, layout::session_of(entry)?).root()))
            .collect();
        let documents = self.documents().clone();
        let reads = stream::iter(keys).map(move |key| {
            let documents = documents.clone();
            async move {
                let Some(key) = key else { return Ok(None) };
                let doc: Option<Snapshot<Root>> = documents.read(&key).await?;
                Ok(doc.map(|doc| doc.value))
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

/// Whether an index entry is the session's own: that of a create that died has another time.
pub(super) fn is_of(root: &Root, entry: &Key) -> bool {
    layout::open_place(entry).is_none() || root.open_entry() == *entry
}

fn matches(root: &Root, index: Index, query: &ListQuery) -> bool {
    // Each session is shown in one index only, though for a moment it stands in both.
    let complete = matches!(root.status, Status::Complete { .. });
    let shown = complete || root.status.is_unfinished() || query.status.is_some();
    shown
        && complete == (index == Index::Done)
        && query.bucket.as_ref().is_none_or(|bucket| *bucket == root.bucket)
        && root.key.starts_with(&query.prefix)
        && query.key.as_ref().is_none_or(|key| *key == root.key)
        && query.file_id.as_ref().is_none_or(|id| *id == root.file_id)
        && query.status.as_deref().is_none_or(|word| word == root.status.word())
}
