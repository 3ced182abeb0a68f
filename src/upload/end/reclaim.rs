//! The operations of a sweep: reads pages of the documents, ends sessions, removes what is left of
//! them and of entries that name no session.
//!
//! Guarantees: everything here can be interrupted at any point and repeated; the root of a session
//! says that it is closed before anything of it is removed, and is removed last. Ages are
//! differences of two store times. It decides nothing: `gc` does. **Layout**: see `layout`.
//! **Errors**: those of the store; continue with the next session.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::names::{AccountName, BackupId, Key};
use crate::records::Snapshot;
use crate::store::{self, GetRange, ListOptions, UploadId};

use super::super::codec::OpenEntry;
use super::super::error::{Error, Result};
use super::super::layout::{self, Layout};
use super::super::list::{READ_AHEAD, is_of};
use super::super::manifest::{Root, Status};
use super::super::uploads::{TAG, Uploads};

/// How many successors of a superseded session are followed.
const MAX_SUCCESSORS: usize = 64;

/// The documents of one session, as a listing shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecords {
    pub account: AccountName,
    pub backup_id: BackupId,
    /// When the newest document was written, by the store's clock.
    pub newest: SystemTime,
    /// Staged chunks.
    pub staged: u64,
    pub staged_bytes: u64,
}

/// A page of sessions.
#[derive(Clone, Debug, Default)]
pub struct SessionRecordsPage {
    pub sessions: Vec<SessionRecords>,
    /// Where the next page starts; None on the last one.
    pub next: Option<String>,
}

/// Why the documents of a closed session are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    None,
    /// Superseded, and a successor that is still open may confirm parts by its records.
    Successor,
    /// Complete, and its object is unchanged.
    Object,
}

impl Uploads {
    /// The accounts that have documents.
    pub async fn accounts(&self) -> Result<Vec<AccountName>> {
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
            found.extend(names.map(AccountName::from));
            let Some(next) = page.next else {
                return Ok(found);
            };
            options.continue_at(next);
        }
    }

    /// The time of the store.
    pub async fn store_time(&self) -> Result<SystemTime> {
        let documents = self.documents();
        let clock = Key::from("v1/leases/clock");
        documents.put_marker(&clock).await?;
        let head = documents.store.head(&documents.bucket, &clock).await;
        head.map(|head| head.date)
            .map_err(|error| Error::record("asking the store for its time", error))
    }

    /// A page of the sessions after `after` in the listing. A session is never on two pages.
    pub async fn session_records(
        &self,
        account: &AccountName,
        after: Option<String>,
    ) -> Result<SessionRecordsPage> {
        let prefix = layout::sessions(account);
        let mut options =
            ListOptions { prefix: prefix.to_string(), after, ..ListOptions::default() };
        let mut sessions: Vec<SessionRecords> = Vec::new();
        loop {
            let page = self.documents().list(&options).await?;
            for listed in &page.objects {
                let Some((id, what)) =
                    listed.key.strip_prefix(prefix.as_str()).and_then(|rest| rest.split_once('/'))
                else {
                    continue;
                };
                if sessions.last().is_none_or(|last| last.backup_id != id) {
                    sessions.push(SessionRecords {
                        account: account.clone(),
                        backup_id: id.into(),
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
                // The last session may continue on the next page and belongs there, unless it is
                // the only one.
                Some(_) if sessions.len() > 1 => {
                    sessions.pop();
                    let next = sessions
                        .last()
                        .map(|last| format!("{}{}/~", prefix.as_str(), last.backup_id));
                    return Ok(SessionRecordsPage { sessions, next });
                }
                Some(next) => options.continue_at(next),
            }
        }
    }

    /// The root of a session; None where there is none.
    pub async fn root_of(
        &self,
        account: &AccountName,
        backup_id: &BackupId,
    ) -> Result<Option<Arc<Root>>> {
        let found: Option<Snapshot<Root>> =
            self.documents().read(&Layout::new(account, backup_id).root()).await?;
        Ok(found.map(|doc| doc.value))
    }

    /// Why the documents of a closed session must be kept.
    pub async fn retention(&self, root: &Root) -> Result<Retention> {
        match &root.status {
            Status::InProgress | Status::Finalizing { .. } | Status::Aborted { .. } => {
                Ok(Retention::None)
            }
            Status::Superseded { by, .. } => {
                self.retained_by_successor(&root.account, by.clone()).await
            }
            Status::Complete { .. } => self.retained_by_object(root).await,
        }
    }

    async fn retained_by_successor(
        &self,
        account: &AccountName,
        mut by: BackupId,
    ) -> Result<Retention> {
        for _ in 0..MAX_SUCCESSORS {
            let Some(successor) = self.root_of(account, &by).await? else {
                return Ok(Retention::None);
            };
            match &successor.status {
                Status::Superseded { by: next, .. } => by.clone_from(next),
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
            Err(error) => Err(Error::own(
                format!("reading the head of the object of {}", root.backup_id),
                error,
            )),
        }
    }

    /// The size of the parts that the store holds for a session. **Unit**: bytes.
    pub async fn part_bytes(&self, root: &Root) -> Result<u64> {
        let Some(session) = self.find(&root.account, &root.backup_id).await? else { return Ok(0) };
        let parts = session.listed_parts(root).await?.unwrap_or_default();
        Ok(parts.values().flatten().map(|part| part.size_bytes).sum())
    }

    /// Ends an open or kept session and frees what it holds. **Errors**: `NotOpen` where it became
    /// complete or superseded meanwhile.
    pub async fn expire(&self, root: &Root, reason: &str) -> Result<()> {
        match self.find(&root.account, &root.backup_id).await? {
            Some(session) => session.abort(reason).await,
            None => Ok(()),
        }
    }

    /// Frees what is left of an aborted session and records that in its root. False: parts still
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
            // A lost swap: another sweep recorded it.
            session.change_status(|status| *status == root.status, freed).await?.ok();
        }
        Ok(empty)
    }

    /// Removes the staged chunks of a closed session.
    pub async fn delete_staged(&self, root: &Root) -> Result<()> {
        let staged = Layout::new(&root.account, &root.backup_id).staged_prefix();
        Ok(self.documents().delete_all(&staged).await?)
    }

    /// Removes all documents of a closed session, the root last.
    pub async fn forget(&self, root: &Root) -> Result<()> {
        if let Some(session) = self.find(&root.account, &root.backup_id).await? {
            session.abort_spare(root).await?;
        }
        let layout = Layout::new(&root.account, &root.backup_id);
        let known =
            root.has_parts_of_its_chunks().then(|| layout.known(&root.bucket, root.created_at));
        let entries = [Some(root.index_entry()), known, Some(layout.done(&root.bucket, &root.key))];
        for entry in entries.into_iter().flatten() {
            self.documents().delete(&entry).await?;
        }
        self.forget_records(&root.account, &root.backup_id).await?;
        Ok(self.documents().delete(&layout.root()).await?)
    }

    /// Removes the documents of a session that has no root.
    pub async fn forget_records(&self, account: &AccountName, backup_id: &BackupId) -> Result<()> {
        let layout = Layout::new(account, backup_id);
        self.documents().delete_all(&layout.staged_prefix()).await?;
        Ok(self.documents().delete_all(&layout.segments()).await?)
    }

    /// Removes entries of the index of open sessions, and open entries, that were not written since
    /// `before` and that name no open session; with `dry` it only counts them. Returns how many.
    pub async fn reclaim_entries(
        &self,
        account: &AccountName,
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
                let Some(next) = page.next else {
                    break;
                };
                options.continue_at(next);
            }
        }
        Ok(swept)
    }

    /// The store uploads of all open sessions of an account, and of those that were aborted and are
    /// kept for a successor.
    pub async fn store_uploads_in_use(&self, account: &AccountName) -> Result<HashSet<UploadId>> {
        let prefix = layout::open_index(account);
        let mut options = ListOptions { prefix, ..ListOptions::default() };
        let mut in_use = HashSet::new();
        loop {
            let page = self.documents().list(&options).await?;
            let ids = page.objects.iter().filter_map(|entry| layout::session_of(&entry.key));
            let reads: Vec<_> =
                ids.map(|id| async move { self.root_of(account, &id).await }).collect();
            let mut roots = stream::iter(reads).buffer_unordered(READ_AHEAD);
            while let Some(root) = roots.try_next().await? {
                let Some(root) = root else { continue };
                let spare = root.s3.as_ref().and_then(|terms| terms.spare.clone());
                in_use.extend(spare);
                let target = root.target();
                in_use.extend(root.upload_at(&target).map(|target| target.upload.clone()));
            }
            let Some(next) = page.next else { return Ok(in_use) };
            options.continue_at(next);
        }
    }

    async fn names_open(&self, account: &AccountName, entry: &Key) -> Result<bool> {
        let id = if layout::is_open_entry(entry) {
            let Some(found): Option<Snapshot<OpenEntry>> = self.documents().read(entry).await?
            else {
                return Ok(false);
            };
            found.value.backup_id.clone()
        } else {
            layout::session_of(entry).unwrap_or_default()
        };
        let root = self.root_of(account, &id).await?;
        Ok(root.is_some_and(|root| root.status.is_indexed_open() && is_of(&root, entry)))
    }
}
