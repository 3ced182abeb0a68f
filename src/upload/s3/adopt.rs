//! Adoption: a new S3 upload takes over the store upload of an abandoned session of its target.
//!
//! Guarantees: of any number of creates one adopts (the compare-and-swap of the predecessor's root
//! to `superseded` decides); the successor's root is written first, so a crash in between loses
//! nothing; an upload is adopted only by the same account with equal creation headers. Ages are
//! differences of two store times, never of wall clocks. A create reads [`MAX_SESSIONS_OF_KEY`]
//! sessions and asks once for the age of each, so it makes about 150 calls at most. It records no
//! part for the successor: each must be confirmed by the SHA-256 of its bytes. Source:
//! docs/architecture.md#adoption, docs/architecture.md#handing-over-a-store-upload.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::error::{Error, Result};
use super::super::layout::Layout;
use super::super::list::is_of;
use super::super::manifest::{Root, Status};
use super::super::session::Session;
use super::super::uploads::Uploads;
use super::parts::NewUpload;
use crate::names::{AccountName, Key};
use crate::store::{self, ListOptions};

/// How long a create waits for a session of the same target that still seems alive: bytes of a
/// killed client may still be in the buffers of its machine when the client is started again.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The first pause before the sessions are read again; each pause is twice as long as the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How many sessions of a key a create reads, the newest first, so that its cost is bounded.
const MAX_SESSIONS_OF_KEY: usize = 16;

/// How many predecessors are searched for a part (docs/architecture.md#candidates).
const MAX_CANDIDATES: usize = 8;

impl Uploads {
    /// Adopts an abandoned session of the same target with the same creation headers. None: there
    /// is none.
    pub(in crate::upload) async fn adopt(
        &self,
        account: &AccountName,
        new: &NewUpload,
    ) -> Result<Option<Session>> {
        if !self.shared.settings.resume.enabled {
            return Ok(None);
        }
        let clock = &self.documents().clock;
        let deadline = clock.monotonic() + MAX_WAIT;
        let newest =
            self.newest_of_key(account, &new.bucket, &new.key, MAX_SESSIONS_OF_KEY).await?;
        let (mut abandoned, mut alive) = (Vec::new(), Vec::new());
        for (entry, root) in self.matching_sessions(account, newest, new).await? {
            if self.is_abandoned(&root).await? {
                abandoned.push(root);
            } else if root.is_open() {
                alive.push(entry);
            }
        }
        let mut pause = FIRST_PAUSE;
        while abandoned.is_empty() && !alive.is_empty() {
            let remaining = deadline.saturating_sub(clock.monotonic());
            if remaining.is_zero() {
                break;
            }
            clock.pause(pause.min(remaining)).await;
            pause *= 2;
            let sessions = self.matching_sessions(account, std::mem::take(&mut alive), new).await?;
            for (entry, root) in sessions {
                if can_be_adopted_at_once(&root) {
                    abandoned.push(root);
                } else if root.is_open() {
                    alive.push(entry);
                }
            }
        }
        for root in abandoned {
            if let Some(session) = self.take_over(&root, new).await? {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// The entries and roots of the sessions that were created with the same headers, in the order
    /// of `entries`.
    async fn matching_sessions(
        &self,
        account: &AccountName,
        entries: Vec<Key>,
        new: &NewUpload,
    ) -> Result<Vec<(Key, Arc<Root>)>> {
        let roots = self.roots(account, &entries).await?;
        let matching = entries.into_iter().zip(roots).filter_map(|(entry, root)| {
            let root = root.filter(|root| is_of(root, &entry) && new.matches(root))?;
            Some((entry, root))
        });
        Ok(matching.collect())
    }

    async fn is_abandoned(&self, root: &Root) -> Result<bool> {
        let resume = &self.shared.settings.resume;
        let disconnected = root.s3.as_ref().is_some_and(|s3| s3.client_disconnected);
        match &root.status {
            Status::InProgress if disconnected => Ok(true),
            Status::InProgress => Ok(self.age(root).await? >= resume.idle),
            Status::Aborted { kept: true, .. } => Ok(self.age(root).await? < resume.keep_aborted),
            Status::Aborted { .. }
            | Status::Finalizing { .. }
            | Status::Complete { .. }
            | Status::Superseded { .. } => Ok(false),
        }
    }

    /// How long ago a session was written, by the store's clock.
    pub(in crate::upload) async fn age(&self, root: &Root) -> Result<Duration> {
        let written = self.last_written(root).await?;
        Ok(written.and_then(|(newest, now)| now.duration_since(newest).ok()).unwrap_or_default())
    }

    /// When the newest document of a session was written, and the current time, both by the store's
    /// clock. None where the session has no root.
    pub async fn last_written(&self, root: &Root) -> Result<Option<(SystemTime, SystemTime)>> {
        let layout = Layout::new(&root.account, &root.backup_id);
        let documents = self.documents();
        let head = match documents.store.head(&documents.bucket, &layout.root()).await {
            Ok(head) => head,
            Err(error) if error.kind() == store::Kind::NotFound => return Ok(None),
            Err(error) => return Err(Error::record("reading the age of a session", error)),
        };
        let options =
            ListOptions { prefix: layout.segments().to_string(), ..ListOptions::default() };
        let segments = documents.list(&options).await?.objects;
        let newest =
            segments.iter().map(|listed| listed.modified).fold(head.modified, std::cmp::max);
        Ok(Some((newest, head.date)))
    }

    /// Takes over the store upload of `abandoned`. None: another create was first.
    async fn take_over(&self, abandoned: &Root, new: &NewUpload) -> Result<Option<Session>> {
        let Some(predecessor) = self.find(&abandoned.account, &abandoned.backup_id).await? else {
            return Ok(None);
        };
        if !predecessor.owns_upload(abandoned).await? {
            // Its create ended before the hand-over: the store upload belongs to another session,
            // which may be alive.
            return Ok(None);
        }
        let mut terms = new.terms();
        terms.candidates = std::iter::once(abandoned.backup_id.clone())
            .chain(abandoned.s3.iter().flat_map(|s3| s3.candidates.clone()))
            .take(MAX_CANDIDATES)
            .collect();
        let upload = (abandoned.destination.clone(), abandoned.upload_tag.clone());
        let successor = self.write_upload(&abandoned.account, new, terms, upload).await?;
        let (status, by) = (abandoned.status.clone(), successor.root().backup_id.clone());
        let heartbeats =
            |root: &Root| root.s3.as_ref().map(|s3| (s3.heartbeats, s3.client_disconnected));
        let handed_over = predecessor
            .change_root(|root| {
                let unchanged = root.status == status && heartbeats(root) == heartbeats(abandoned);
                root.status = Status::Superseded { by: by.clone() };
                unchanged
            })
            .await;
        let handed_over = match handed_over {
            // It was ended and removed while this create was delayed.
            Err(Error::NoSuchBackup(_)) => false,
            other => other?.is_ok(),
        };
        let documents = self.documents();
        if !handed_over {
            // The successor owns nothing, and no client knows its id.
            documents.delete(&successor.root().index_entry()).await?;
            documents.delete(&Layout::new(&abandoned.account, &by).root()).await?;
            self.shared.quota.session_ended(&abandoned.account);
            return Ok(None);
        }
        documents.delete(&abandoned.index_entry()).await?;
        tracing::info!(
            backup = by.as_str(),
            predecessor = abandoned.backup_id.as_str(),
            "an upload adopts an abandoned one"
        );
        Ok(Some(successor))
    }
}

/// Whether a session that was just alive can be adopted now. Its age is not read, as it is known to
/// be young.
fn can_be_adopted_at_once(root: &Root) -> bool {
    match &root.status {
        Status::InProgress => root.s3.as_ref().is_some_and(|s3| s3.client_disconnected),
        Status::Aborted { kept, .. } => *kept,
        Status::Finalizing { .. } | Status::Complete { .. } | Status::Superseded { .. } => false,
    }
}
