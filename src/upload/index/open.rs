//! The index of open sessions, walked in its order: pages as S3 lists uploads, and the newest
//! sessions of one key.
//!
//! Guarantees: a page costs the listings and roots of what it shows and of the dead entries
//! between, whatever else is open; a rolled-up group costs one seek; no call looks at more than
//! [`MAX_ENTRIES`] entries: then the page ends early, and its markers go on behind the last entry
//! looked at. Uploads come by key in byte order, then by creation; only keys that `ordered` cuts
//! come in another order among themselves. It knows no XML and no account's rights: `front/s3`
//! does.
//! **Errors**: those of the records. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListMultipartUploads.html>.

use std::sync::Arc;

use crate::store::{Key, ListOptions};

use super::super::error::Result;
use super::super::layout::{self, Layout, OpenPlace};
use super::super::list::{READ_AHEAD, is_of};
use super::super::manifest::Root;
use super::super::uploads::Uploads;
use super::ordered::{self, BEHIND};

/// The most entries that one page looks at.
const MAX_ENTRIES: usize = 10_000;
/// The most keys of a store's page.
const MAX_LISTED: usize = 1000;
/// How often the time is halved in which the newest sessions of a key begin: enough for any 32-bit
/// number of seconds.
const MAX_HALVINGS: usize = 32;
/// No gateway's clock is ahead by more, in seconds.
const DAY: u64 = 86_400;

/// A page of open S3 uploads and backups is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenQuery {
    pub bucket: String,
    pub prefix: String,
    /// Keys that have it behind the prefix are rolled up to where it ends.
    pub delimiter: Option<String>,
    /// The page begins behind this key, or behind all keys that are rolled up to it; empty: at the
    /// first.
    pub key_marker: String,
    /// The page begins behind this upload of `key_marker`; behind the whole key where nothing is
    /// known of it.
    pub id_marker: Option<String>,
    /// Uploads and rolled-up prefixes together; 0: an empty page.
    pub limit: usize,
}

/// A page of them.
#[derive(Clone, Debug, Default)]
pub struct OpenPage {
    pub uploads: Vec<Arc<Root>>,
    pub prefixes: Vec<String>,
    /// `key_marker` and `id_marker` of the next page; None on the last one.
    pub next: Option<(String, String)>,
}

impl OpenQuery {
    fn rolled_up(&self, key: &str) -> Option<String> {
        let delimiter = self.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty())?;
        let at = key.strip_prefix(&self.prefix)?.find(delimiter)?;
        Some(key[..self.prefix.len() + at + delimiter.len()].to_owned())
    }
}

impl Uploads {
    /// One page of the account's uploads that are in progress and that `visible` lets pass.
    pub async fn open_uploads(
        &self,
        account: &str,
        query: &OpenQuery,
        visible: impl Fn(&Root) -> bool + Send + Sync,
    ) -> Result<OpenPage> {
        if query.limit == 0 {
            return Ok(OpenPage::default());
        }
        let (page, last) = Default::default();
        let mut walk = Walk { account, query, visible, page, looked_at: 0, last, place: None };
        let mut options = ListOptions {
            prefix: layout::open_of_prefix(account, &query.bucket, &query.prefix).0,
            after: self.first_place(account, query).await?,
            limit: (query.limit + 1).clamp(READ_AHEAD, MAX_LISTED),
            ..ListOptions::default()
        };
        loop {
            let listed = self.documents().list(&options).await?;
            let entries: Vec<Key> = listed.objects.into_iter().map(|object| object.key).collect();
            if self.take_entries(&mut walk, &entries).await? || listed.next.is_none() {
                return Ok(walk.page);
            }
            options.after = listed.next.max(walk.place.take());
        }
    }

    /// Behind which entry a page begins.
    async fn first_place(&self, account: &str, query: &OpenQuery) -> Result<Option<String>> {
        let OpenQuery { bucket, key_marker: key, .. } = query;
        if key.is_empty() {
            return Ok(None);
        }
        if let Some(id) = query.id_marker.as_deref() {
            let known = self
                .root_of(account, id)
                .await?
                .filter(|root| root.bucket == *bucket && root.key == *key);
            if let Some(root) = known {
                return Ok(Some(root.open_entry().0));
            }
            if let Some((created_at, id)) = layout::time_and_id(id) {
                return Ok(Some(Layout::new(account, id).open(bucket, key, created_at).0));
            }
        }
        let group = query
            .rolled_up(key)
            .filter(|group| group == key)
            .and_then(|_| behind_group(account, bucket, key));
        Ok(Some(group.unwrap_or_else(|| layout::open_of_key(account, bucket, key) + BEHIND)))
    }

    /// Takes entries of a listing until the page is full; true where it is.
    async fn take_entries<V>(&self, walk: &mut Walk<'_, V>, entries: &[Key]) -> Result<bool>
    where
        V: Fn(&Root) -> bool + Send + Sync,
    {
        let mut left = entries;
        let mut at_once = walk.wanted().min(READ_AHEAD);
        loop {
            let passed = left.iter().take_while(|entry| walk.passed(entry)).count();
            let now;
            (now, left) = left[passed..].split_at(at_once.min(left.len() - passed));
            if now.is_empty() {
                return Ok(false);
            }
            let roots = self.roots(walk.account, now).await?;
            for (entry, root) in now.iter().zip(roots) {
                if !walk.passed(entry) && walk.take(entry, root) {
                    return Ok(true);
                }
            }
            // Many dead ones lie here.
            at_once = (2 * at_once).min(READ_AHEAD);
        }
    }

    /// Entries of the open sessions of exactly one key, the newest first; those of one second in no
    /// order that matters. Costs one listing, and a few more where more than a store's page of them
    /// are open.
    pub(in crate::upload) async fn newest_of_key(
        &self,
        account: &str,
        bucket: &str,
        key: &str,
        most: usize,
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
                // More follow than fit a page: the newest are among the later ones.
                from = keys
                    .last()
                    .and_then(layout::open_place)
                    .map_or(until, |place| place.created_at);
                found = keys;
            } else if keys.len() >= most || options.after.is_none() {
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
        Ok(found.into_iter().rev().take(most).collect())
    }
}

/// A page as it grows.
struct Walk<'a, V> {
    account: &'a str,
    query: &'a OpenQuery,
    visible: V,
    page: OpenPage,
    looked_at: usize,
    /// Markers of what is shown last.
    last: (String, String),
    /// Entries up to here are passed over: their group is on the page.
    place: Option<String>,
}

impl<V: Fn(&Root) -> bool> Walk<'_, V> {
    /// Uploads that are still to be found, with the one that says that there are more.
    fn wanted(&self) -> usize {
        (self.query.limit + 1).saturating_sub(self.page.uploads.len() + self.page.prefixes.len())
    }

    fn passed(&self, entry: &Key) -> bool {
        self.place.as_ref().is_some_and(|place| entry.0 <= *place)
    }

    /// Looks at one entry; true where the page is at its end.
    fn take(&mut self, entry: &Key, root: Option<Arc<Root>>) -> bool {
        self.looked_at += 1;
        let root = root.filter(|root| is_of(root, entry));
        let mut marker = root.as_ref().map_or_else(|| gone(entry), |root| Some(marker_of(root)));
        if let Some(root) = root.filter(|root| self.shows(root)) {
            let group = self.query.rolled_up(&root.key);
            let known = group.as_ref().is_some_and(|group| self.has(group));
            if !known && self.wanted() == 1 {
                self.page.next = Some(std::mem::take(&mut self.last));
                return true;
            }
            match group {
                Some(group) => {
                    self.place = behind_group(self.account, &self.query.bucket, &group);
                    let end = (group.clone(), String::new());
                    marker = Some(end.clone());
                    if !known {
                        self.last = end;
                        self.page.prefixes.push(group);
                    }
                }
                None => {
                    self.last = marker_of(&root);
                    self.page.uploads.push(root);
                }
            }
        }
        // Where nothing can name the place, the next entry's is as good.
        self.page.next = marker.filter(|_| self.looked_at >= MAX_ENTRIES);
        self.page.next.is_some()
    }

    fn shows(&self, root: &Root) -> bool {
        root.is_open() && root.key.starts_with(&self.query.prefix) && (self.visible)(root)
    }

    /// Whether the group is on this page, or was on the one before.
    fn has(&self, group: &String) -> bool {
        *group == self.query.key_marker || self.page.prefixes.contains(group)
    }
}

fn marker_of(root: &Root) -> (String, String) {
    (root.key.clone(), root.backup_id.clone())
}

/// The markers of an entry without a root. Its id alone says nothing of its place.
fn gone(entry: &Key) -> Option<(String, String)> {
    let OpenPlace { form, created_at, id } = layout::open_place(entry)?;
    Some((ordered::key_of(form)?, format!("{created_at:012}-{id}")))
}

/// The place behind all entries of a group; None where those of other groups lie among them.
fn behind_group(account: &str, bucket: &str, group: &str) -> Option<String> {
    let (entries, whole) = layout::open_of_prefix(account, bucket, group);
    whole.then(|| entries + BEHIND)
}
