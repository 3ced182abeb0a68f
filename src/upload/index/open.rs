//! The index of open sessions in its order: pages as S3 lists uploads, and the newest sessions of
//! one key.
//!
//! Guarantees: a page costs the listings and roots of what it shows and of the stale entries
//! between them, whatever else is open; a rolled-up group costs one seek; no call reads more than
//! [`MAX_ENTRIES`] entries: then the page ends early, and its markers continue after the last entry
//! that was read (docs/decisions/0019-an-ordered-index-of-open-sessions.md). Uploads are listed by
//! key in byte order, then by creation time; only keys that `ordered` cuts are listed in another
//! order among themselves. It knows no XML and no rights of accounts: `front/s3` does.
//! **Errors**: those of `records`. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>.

use std::sync::Arc;

use crate::names::{AccountName, Bucket, Key};
use crate::store::ListOptions;

use super::super::error::Result;
use super::super::layout::{self, IndexEntryKey, Layout};
use super::super::list::{READ_AHEAD, is_of};
use super::super::manifest::Root;
use super::super::uploads::Uploads;
use super::ordered::{self, AFTER_ALL};

/// The most entries that one page reads.
const MAX_ENTRIES: usize = 10_000;
/// The most keys of a store's page.
const MAX_LISTED: usize = 1000;
/// The most steps of the binary search for the time at which the newest sessions of a key begin:
/// enough for any 32-bit number of seconds.
const MAX_HALVINGS: usize = 32;
/// No gateway's clock is ahead by more than this, in seconds.
const DAY: u64 = 86_400;

/// Which page of open S3 uploads and backups to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenQuery {
    pub bucket: Bucket,
    pub prefix: String,
    /// Keys that contain it after the prefix are rolled up to its end.
    pub delimiter: Option<String>,
    /// The page begins after this key, or after all keys that are rolled up to it; empty: at the
    /// first key.
    pub key_marker: Key,
    /// The page begins after this upload of `key_marker`; after all uploads of the key if this one
    /// is not known.
    pub id_marker: Option<String>,
    /// Uploads and rolled-up prefixes together; 0: an empty page.
    pub limit: usize,
}

/// A page of open uploads.
#[derive(Clone, Debug, Default)]
pub struct OpenPage {
    pub uploads: Vec<Arc<Root>>,
    pub prefixes: Vec<String>,
    /// `key_marker` and `id_marker` of the next page; None on the last one.
    pub next: Option<(Key, String)>,
}

impl OpenQuery {
    /// The prefix to which a key is rolled up, if it is.
    fn rolled_up(&self, key: &Key) -> Option<String> {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
        let at = key.strip_prefix(&self.prefix)?.find(delimiter)?;
        Some(key[..self.prefix.len() + at + delimiter.len()].to_owned())
    }
}

impl Uploads {
    /// One page of the account's uploads that are in progress and that `visible` accepts.
    pub async fn open_uploads(
        &self,
        account: &AccountName,
        query: &OpenQuery,
        visible: impl Fn(&Root) -> bool + Send + Sync,
    ) -> Result<OpenPage> {
        if query.limit == 0 {
            return Ok(OpenPage::default());
        }
        let (page, last_marker) = Default::default();
        let mut walk =
            PageWalk { account, query, visible, page, entries_read: 0, last_marker, skip_to: None };
        let mut options = ListOptions {
            prefix: layout::open_of_prefix(account, &query.bucket, &query.prefix).0,
            after: self.start_after(account, query).await?,
            limit: (query.limit + 1).clamp(READ_AHEAD, MAX_LISTED),
            ..ListOptions::default()
        };
        loop {
            let listed = self.documents().list(&options).await?;
            let entries: Vec<Key> = listed.objects.into_iter().map(|object| object.key).collect();
            let full = self.take_entries(&mut walk, &entries).await?;
            let Some(next) = listed.next.filter(|_| !full) else { return Ok(walk.page) };
            match walk.skip_to.take().filter(|skip_to| *skip_to > next.after) {
                Some(skip_to) => (options.after, options.token) = (Some(skip_to), None),
                None => options.continue_at(next),
            }
        }
    }

    /// The entry after which a page begins.
    async fn start_after(
        &self,
        account: &AccountName,
        query: &OpenQuery,
    ) -> Result<Option<String>> {
        let OpenQuery { bucket, key_marker: key, .. } = query;
        if key.is_empty() {
            return Ok(None);
        }
        if let Some(id) = query.id_marker.as_deref() {
            let known = self
                .root_of(account, &id.into())
                .await?
                .filter(|root| root.bucket == *bucket && root.key == *key);
            if let Some(root) = known {
                return Ok(Some(root.index_entry().to_string()));
            }
            if let Some((created_at, id)) = layout::parse_time_and_id(id) {
                return Ok(Some(
                    Layout::new(account, &id.into()).open(bucket, key, created_at).to_string(),
                ));
            }
        }
        let group = query
            .rolled_up(key)
            .filter(|group| *key == group.as_str())
            .and_then(|_| end_of_group(account, bucket, key));
        Ok(Some(group.unwrap_or_else(|| layout::open_of_key(account, bucket, key) + AFTER_ALL)))
    }

    /// Adds entries of a listing until the page is full; true if it is.
    async fn take_entries<V>(&self, walk: &mut PageWalk<'_, V>, entries: &[Key]) -> Result<bool>
    where
        V: Fn(&Root) -> bool + Send + Sync,
    {
        let mut remaining = entries;
        let mut batch_size = walk.missing().min(READ_AHEAD);
        loop {
            let skipped = remaining.iter().take_while(|entry| walk.skips(entry)).count();
            let batch;
            (batch, remaining) =
                remaining[skipped..].split_at(batch_size.min(remaining.len() - skipped));
            if batch.is_empty() {
                return Ok(false);
            }
            let roots = self.roots(walk.account, batch).await?;
            for (entry, root) in batch.iter().zip(roots) {
                if !walk.skips(entry) && walk.take(entry, root) {
                    return Ok(true);
                }
            }
            // The page is not full, so many of these entries are stale.
            batch_size = (2 * batch_size).min(READ_AHEAD);
        }
    }

    /// Entries of the open sessions of exactly one key, the newest first; those of one second in no
    /// particular order. Costs one listing, and a few more if the key has more open sessions than a
    /// store's page.
    pub(in crate::upload) async fn newest_of_key(
        &self,
        account: &AccountName,
        bucket: &Bucket,
        key: &Key,
        max_entries: usize,
    ) -> Result<Vec<Key>> {
        let prefix = layout::open_of_key(account, bucket, key);
        let mut options =
            ListOptions { prefix: prefix.clone(), limit: MAX_LISTED, ..ListOptions::default() };
        let (mut found, mut later): (Vec<Key>, Vec<Key>) = Default::default();
        let (mut from, mut until) = (0, self.documents().clock.unix_seconds() + DAY);
        for _ in 0..MAX_HALVINGS {
            let page = self.documents().list(&options).await?;
            let keys: Vec<Key> = page.objects.into_iter().map(|object| object.key).collect();
            if page.next.is_some() {
                // More than a page follow: the newest are among the later ones.
                from = keys
                    .last()
                    .and_then(layout::parse_index_entry)
                    .map_or(until, |entry| entry.created_at);
                found = keys;
            } else if keys.len() >= max_entries || options.after.is_none() {
                (found, later) = (keys, Vec::new());
                break;
            } else {
                (later, until) = (keys, from + until.saturating_sub(from) / 2);
            }
            if until <= from + 1 {
                break;
            }
            let middle = from + (until - from) / 2;
            options.after = Some(format!("{prefix}{middle:012}"));
        }
        found.append(&mut later);
        Ok(found.into_iter().rev().take(max_entries).collect())
    }
}

/// A page while it is filled.
struct PageWalk<'a, V> {
    account: &'a AccountName,
    query: &'a OpenQuery,
    visible: V,
    page: OpenPage,
    entries_read: usize,
    /// Key marker and id marker of the last upload or prefix on the page.
    last_marker: (Key, String),
    /// Entries up to this key are skipped: their rolled-up prefix is already on the page.
    skip_to: Option<String>,
}

impl<V: Fn(&Root) -> bool> PageWalk<'_, V> {
    /// Uploads that are still missing on the page, and the one that shows that there are more.
    fn missing(&self) -> usize {
        (self.query.limit + 1).saturating_sub(self.page.uploads.len() + self.page.prefixes.len())
    }

    fn skips(&self, entry: &Key) -> bool {
        self.skip_to.as_ref().is_some_and(|last| entry.as_str() <= last.as_str())
    }

    /// Adds one entry to the page if it belongs there; true if the page is at its end.
    fn take(&mut self, entry: &Key, root: Option<Arc<Root>>) -> bool {
        self.entries_read += 1;
        let root = root.filter(|root| is_of(root, entry));
        let mut marker =
            root.as_ref().map_or_else(|| marker_without_root(entry), |root| Some(marker_of(root)));
        if let Some(root) = root.filter(|root| self.shows(root)) {
            let group = self.query.rolled_up(&root.key);
            let is_listed = group.as_ref().is_some_and(|group| self.has(group));
            if !is_listed && self.missing() == 1 {
                self.page.next = Some(std::mem::take(&mut self.last_marker));
                return true;
            }
            match group {
                Some(group) => {
                    self.skip_to = end_of_group(self.account, &self.query.bucket, &group);
                    let end = (Key::from(group.as_str()), String::new());
                    marker = Some(end.clone());
                    if !is_listed {
                        self.last_marker = end;
                        self.page.prefixes.push(group);
                    }
                }
                None => {
                    self.last_marker = marker_of(&root);
                    self.page.uploads.push(root);
                }
            }
        }
        // If no marker can be given for this entry, the page ends after the next one.
        self.page.next = marker.filter(|_| self.entries_read >= MAX_ENTRIES);
        self.page.next.is_some()
    }

    fn shows(&self, root: &Root) -> bool {
        root.is_open()
            && !root.is_given_up()
            && root.key.starts_with(&self.query.prefix)
            && (self.visible)(root)
    }

    /// Whether the group is on this page, or was on the previous one.
    fn has(&self, group: &String) -> bool {
        self.query.key_marker == group.as_str() || self.page.prefixes.contains(group)
    }
}

fn marker_of(root: &Root) -> (Key, String) {
    (root.key.clone(), root.backup_id.to_string())
}

/// The markers of an entry without a root. The time is before the id, because no root gives it.
fn marker_without_root(entry: &Key) -> Option<(Key, String)> {
    let IndexEntryKey { form, created_at, id } = layout::parse_index_entry(entry)?;
    Some((ordered::key_of(form)?.into(), format!("{created_at:012}-{id}")))
}

/// A key after all entries of a group; None if entries of other groups are among them.
fn end_of_group(account: &AccountName, bucket: &Bucket, group: &str) -> Option<String> {
    let (entries, is_whole) = layout::open_of_prefix(account, bucket, group);
    is_whole.then(|| entries + AFTER_ALL)
}
