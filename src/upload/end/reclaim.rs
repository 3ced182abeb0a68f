//! What a sweep may look at and do: one page of the records, one session's end, one forgotten
//! entry.
//!
//! Guarantees: everything here can be cut off at any point and done again; a session's root says
//! that it is closed before anything of it is removed, and goes last. Ages are differences of two
//! store times. It decides nothing: `gc` does. **Layout**: see `layout`. **Errors**: the store's
//! own; go on with the next session.

use std::sync::Arc;
use std::time::SystemTime;

use crate::store::{self, GetRange, Key, ListOptions};

use super::super::codec::OpenEntry;
use super::super::documents::Doc;
use super::super::error::{Error, Result};
use super::super::layout::{self, Layout};
use super::super::list::is_of;
use super::super::manifest::{Root, Status};
use super::super::uploads::{TAG, Uploads};

/// How many successors are followed from a superseded session.
const MAX_SUCCESSORS: usize = 64;

/// The records of one session, as a listing has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecords {
    pub account: String,
    pub backup_id: String,
    /// The newest of them, by the store's clock.
    pub newest: SystemTime,
    /// Objects with chunks that are no part yet.
    pub staged: u64,
    pub staged_bytes: u64,
}

/// A page of traces.
#[derive(Clone, Debug, Default)]
pub struct SessionRecordsPage {
    pub sessions: Vec<SessionRecords>,
    /// Where the next page starts; None on the last one.
    pub next: Option<String>,
}

/// What a session's end hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    None,
    /// Superseded, and its records are what a successor that is still open knows its parts by.
    Successor,
    /// Complete, and its object is there unchanged.
    Object,
}

impl Uploads {
    /// The accounts that have records.
    pub async fn accounts(&self) -> Result<Vec<String>> {
        let mut options = ListOptions {
            prefix: "v1/".to_owned(),
            delimiter: Some("/".to_owned()),
            ..ListOptions::default()
        };
        let mut found = Vec::new();
        loop {
            let page = self.documents().list(&options).await?;
            let names = page
                .prefixes
                .iter()
                .filter_map(|prefix| prefix.strip_prefix("v1/")?.strip_suffix('/'));
            found.extend(names.map(str::to_owned));
            if page.next.is_none() {
                return Ok(found);
            }
            options.after = page.next;
        }
    }

    /// The store's clock.
    pub async fn store_time(&self) -> Result<SystemTime> {
        let documents = self.documents();
        let clock = Key("v1/leases/clock".to_owned());
        documents.mark(&clock).await?;
        let head = documents.store.head(&documents.bucket, &clock).await;
        head.map(|head| head.date)
            .map_err(|error| Error::record("asking the store for its time", error))
    }

    /// Sessions whose records come after `after` in the listing; a session's records are never on
    /// two pages.
    pub async fn session_records(
        &self,
        account: &str,
        after: Option<String>,
    ) -> Result<SessionRecordsPage> {
        let prefix = layout::sessions(account);
        let mut options = ListOptions { prefix: prefix.0.clone(), after, ..ListOptions::default() };
        let mut sessions: Vec<SessionRecords> = Vec::new();
        loop {
            let page = self.documents().list(&options).await?;
            for listed in &page.objects {
                let Some((id, what)) =
                    listed.key.0.strip_prefix(&prefix.0).and_then(|rest| rest.split_once('/'))
                else {
                    continue;
                };
                if sessions.last().is_none_or(|last| last.backup_id != id) {
                    sessions.push(SessionRecords {
                        account: account.to_owned(),
                        backup_id: id.to_owned(),
                        newest: listed.modified,
                        staged: 0,
                        staged_bytes: 0,
                    });
                }
                let Some(last) = sessions.last_mut() else { continue };
                last.newest = last.newest.max(listed.modified);
                if what.starts_with("staged/") {
                    last.staged += 1;
                    last.staged_bytes += listed.size_bytes;
                }
            }
            match page.next {
                None => return Ok(SessionRecordsPage { sessions, next: None }),
                // The last session may go on: it belongs to the next page, unless it is all there
                // is.
                Some(_) if sessions.len() > 1 => {
                    sessions.pop();
                    let next =
                        sessions.last().map(|last| format!("{}{}/~", prefix.0, last.backup_id));
                    return Ok(SessionRecordsPage { sessions, next });
                }
                next => options.after = next,
            }
        }
    }

    /// The root of a session; None where there is none.
    pub async fn root_of(&self, account: &str, backup_id: &str) -> Result<Option<Arc<Root>>> {
        let found: Option<Doc<Root>> =
            self.documents().read(&Layout::new(account, backup_id).root()).await?;
        Ok(found.map(|doc| doc.value))
    }

    /// Whether the records of a closed session are still good for something.
    pub async fn retention(&self, root: &Root) -> Result<Retention> {
        match &root.status {
            Status::InProgress | Status::Finalizing { .. } | Status::Aborted { .. } => {
                Ok(Retention::None)
            }
            Status::Superseded { by } => {
                self.retained_by_successor(&root.account, by.clone()).await
            }
            Status::Complete { .. } => self.retained_by_object(root).await,
        }
    }

    async fn retained_by_successor(&self, account: &str, mut by: String) -> Result<Retention> {
        for _ in 0..MAX_SUCCESSORS {
            let Some(heir) = self.root_of(account, &by).await? else { return Ok(Retention::None) };
            match &heir.status {
                Status::Superseded { by: next } => by.clone_from(next),
                Status::InProgress
                | Status::Finalizing { .. }
                | Status::Aborted { kept: true, .. } => {
                    return Ok(Retention::Successor);
                }
                Status::Complete { .. } | Status::Aborted { kept: false, .. } => {
                    return Ok(Retention::None);
                }
            }
        }
        Ok(Retention::Successor)
    }

    async fn retained_by_object(&self, root: &Root) -> Result<Retention> {
        let (bucket, key) = root.target();
        match self.store().get(&bucket, &key, GetRange::Head, store::GetOptions::default()).await {
            Ok((head, _)) if head.attributes.user.get(TAG) == Some(&root.upload_tag) => {
                Ok(Retention::Object)
            }
            Ok(_) => Ok(Retention::None),
            Err(error)
                if matches!(error.kind(), store::Kind::NotFound | store::Kind::NoSuchBucket) =>
            {
                Ok(Retention::None)
            }
            Err(error) => {
                Err(Error::own(format!("looking at the object of {}", root.backup_id), error))
            }
        }
    }

    /// Bytes of parts that the store holds for a session.
    pub async fn part_bytes(&self, root: &Root) -> Result<u64> {
        let Some(session) = self.find(&root.account, &root.backup_id).await? else { return Ok(0) };
        let parts = session.listed_parts(root).await?.unwrap_or_default();
        Ok(parts.values().flatten().map(|part| part.size_bytes).sum())
    }

    /// Ends an open or kept session and frees what it holds. **Errors**: `NotOpen` where it has
    /// become complete or superseded meanwhile.
    pub async fn expire(&self, root: &Root, reason: &str) -> Result<()> {
        match self.find(&root.account, &root.backup_id).await? {
            Some(session) => session.abort(reason).await,
            None => Ok(()),
        }
    }

    /// Frees what is left of an aborted session and says so in its root; false where parts still
    /// turn up.
    pub async fn free(&self, root: &Root) -> Result<bool> {
        let Some(session) = self.find(&root.account, &root.backup_id).await? else {
            return Ok(true);
        };
        let Status::Aborted { reason, kept: false, freed: false } = root.status.clone() else {
            return Ok(true);
        };
        let empty = session.free(root).await?;
        if empty {
            let freed = Status::Aborted { reason, kept: false, freed: true };
            // Lost: another sweep has said so.
            session.change_status(|status| *status == root.status, freed).await?.ok();
        }
        Ok(empty)
    }

    /// Removes the staged chunks of a closed session.
    pub async fn delete_staged(&self, root: &Root) -> Result<()> {
        self.documents()
            .delete_all(&Layout::new(&root.account, &root.backup_id).staged_prefix())
            .await
    }

    /// Removes all records of a closed session, the root last.
    pub async fn forget(&self, root: &Root) -> Result<()> {
        let layout = Layout::new(&root.account, &root.backup_id);
        for entry in [root.open_entry(), layout.done(&root.bucket, &root.key)] {
            self.documents().delete(&entry).await?;
        }
        self.forget_records(&root.account, &root.backup_id).await?;
        self.documents().delete(&layout.root()).await
    }

    /// Removes the records of a session that has no root.
    pub async fn forget_records(&self, account: &str, backup_id: &str) -> Result<()> {
        let layout = Layout::new(account, backup_id);
        self.documents().delete_all(&layout.staged_prefix()).await?;
        self.documents().delete_all(&layout.segments()).await
    }

    /// Entries of the open index, and of what is open for which target, that nothing was written to
    /// since `before` and that name no open session; removed unless `dry`. How many there were.
    pub async fn reclaim_entries(
        &self,
        account: &str,
        before: SystemTime,
        dry: bool,
    ) -> Result<u64> {
        let mut swept = 0;
        for prefix in layout::entry_prefixes(account) {
            let mut options = ListOptions { prefix, ..ListOptions::default() };
            loop {
                let page = self.documents().list(&options).await?;
                for listed in page.objects.iter().filter(|listed| listed.modified < before) {
                    if self.names_open(account, &listed.key).await? {
                        continue;
                    }
                    swept += 1;
                    if !dry {
                        self.documents().delete(&listed.key).await?;
                    }
                }
                if page.next.is_none() {
                    break;
                }
                options.after = page.next;
            }
        }
        Ok(swept)
    }

    async fn names_open(&self, account: &str, entry: &Key) -> Result<bool> {
        let id = if layout::is_open_entry(entry) {
            let Some(found): Option<Doc<OpenEntry>> = self.documents().read(entry).await? else {
                return Ok(false);
            };
            found.value.backup_id.clone()
        } else {
            layout::session_of(entry).unwrap_or_default().to_owned()
        };
        let root = self.root_of(account, &id).await?;
        Ok(root.is_some_and(|root| root.status.is_indexed_open() && is_of(&root, entry)))
    }
}
