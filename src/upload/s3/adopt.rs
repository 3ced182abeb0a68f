//! Adoption: a new S3 upload of a target takes over the store upload that a dead one left behind.
//!
//! Guarantees: of any number of creates one adopts (the predecessor's compare-and-swap to
//! `superseded` decides); the successor's root is written first, so a crash in between costs
//! nothing; an upload is adopted only with the very same creation headers, by the same account.
//! Ages are differences of two store times, never of wall clocks. A create looks at
//! [`MAX_LOOKED_AT`] sessions, asks each once for its age, and so makes about 150 calls at most.
//! It does not take any part for the successor's: each must be confirmed by its bytes' SHA-256.
//! Source: DESIGN §7, §12.2.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::super::error::{Error, Result};
use super::super::layout::Layout;
use super::super::list::is_of;
use super::super::manifest::{Root, Status};
use super::super::session::Session;
use super::super::uploads::Uploads;
use super::parts::NewUpload;
use crate::store::{self, Key, ListOptions};

/// How long a create waits for an upload of the same file that still seems alive: what a killed
/// client left in its machine's buffers may still be arriving when it is run again.
const LAST_BREATH: Duration = Duration::from_secs(10);
/// The first pause between two looks; each is twice as long as the one before.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// The sessions of a key that are looked at, the newest first: what a create costs does not grow
/// with the others.
const MAX_LOOKED_AT: usize = 16;

/// Sessions whose parts are looked through for one that fits; each is a dead run of the same
/// upload.
const MAX_CANDIDATES: usize = 8;

impl Uploads {
    /// The successor of a dead upload of the same target with the same terms; None where there is
    /// none.
    pub(in crate::upload) async fn adopt(
        &self,
        account: &str,
        new: &NewUpload,
    ) -> Result<Option<Session>> {
        if !self.shared.settings.resume.enabled {
            return Ok(None);
        }
        let clock = &self.documents().clock;
        let until = clock.monotonic() + LAST_BREATH;
        let newest = self.newest_of_key(account, &new.bucket, &new.key, MAX_LOOKED_AT).await?;
        let (mut dead, mut alive) = (Vec::new(), Vec::new());
        for (entry, root) in self.fitting(account, newest, new).await? {
            if self.is_dead(&root).await? {
                dead.push(root);
            } else if root.is_open() {
                alive.push(entry);
            }
        }
        let mut pause = LOOK_AGAIN;
        while dead.is_empty() && !alive.is_empty() {
            let left = until.saturating_sub(clock.monotonic());
            if left.is_zero() {
                break;
            }
            clock.pause(pause.min(left)).await;
            pause *= 2;
            let seen = self.fitting(account, std::mem::take(&mut alive), new).await?;
            for (entry, root) in seen {
                if has_just_died(&root) {
                    dead.push(root);
                } else if root.is_open() {
                    alive.push(entry);
                }
            }
        }
        for root in dead {
            if let Some(session) = self.succeed(&root, new).await? {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// The roots of those entries' sessions that were created with the same terms, in the same
    /// order.
    async fn fitting(
        &self,
        account: &str,
        entries: Vec<Key>,
        new: &NewUpload,
    ) -> Result<Vec<(Key, Arc<Root>)>> {
        let roots = self.roots(account, &entries).await?;
        let own = entries.into_iter().zip(roots).filter_map(|(entry, root)| {
            let root = root.filter(|root| is_of(root, &entry) && new.fits(root))?;
            Some((entry, root))
        });
        Ok(own.collect())
    }

    async fn is_dead(&self, root: &Root) -> Result<bool> {
        let resume = &self.shared.settings.resume;
        let left = root.s3.as_ref().is_some_and(|s3| s3.client_disconnected);
        match &root.status {
            Status::InProgress if left => Ok(true),
            Status::InProgress => Ok(self.age(root).await? >= resume.idle),
            Status::Aborted { kept: true, .. } => Ok(self.age(root).await? < resume.keep_aborted),
            Status::Aborted { .. }
            | Status::Finalizing { .. }
            | Status::Complete { .. }
            | Status::Superseded { .. } => Ok(false),
        }
    }

    /// Since when nothing was written of a session, by the store's own clock.
    pub(in crate::upload) async fn age(&self, root: &Root) -> Result<Duration> {
        let written = self.last_written(root).await?;
        Ok(written.and_then(|(newest, now)| now.duration_since(newest).ok()).unwrap_or_default())
    }

    /// When the newest record of a session was written, and what time it is, both by the store's
    /// own clock; None where it has no root.
    pub async fn last_written(&self, root: &Root) -> Result<Option<(SystemTime, SystemTime)>> {
        let layout = Layout::new(&root.account, &root.backup_id);
        let documents = self.documents();
        let head = match documents.store.head(&documents.bucket, &layout.root()).await {
            Ok(head) => head,
            Err(error) if error.kind() == store::Kind::NotFound => return Ok(None),
            Err(error) => return Err(Error::record("asking for the age of a session", error)),
        };
        let options = ListOptions { prefix: layout.segments().0, ..ListOptions::default() };
        let segments = documents.list(&options).await?.objects;
        let newest =
            segments.iter().map(|listed| listed.modified).fold(head.modified, std::cmp::max);
        Ok(Some((newest, head.date)))
    }

    /// Takes the store upload of `dead` over; None where someone else was first.
    async fn succeed(&self, dead: &Root, new: &NewUpload) -> Result<Option<Session>> {
        let Some(predecessor) = self.find(&dead.account, &dead.backup_id).await? else {
            return Ok(None);
        };
        if !predecessor.owns_upload(dead).await? {
            // Its creator died before the hand-over: the upload is another one's, who may be alive.
            return Ok(None);
        }
        let mut terms = new.terms();
        terms.candidates = std::iter::once(dead.backup_id.clone())
            .chain(dead.s3.iter().flat_map(|s3| s3.candidates.clone()))
            .take(MAX_CANDIDATES)
            .collect();
        let upload = (dead.destination.clone(), dead.upload_tag.clone());
        let successor = self.write_upload(&dead.account, new, terms, upload).await?;
        let (seen, by) = (dead.status.clone(), successor.root().backup_id.clone());
        let beats =
            |root: &Root| root.s3.as_ref().map(|s3| (s3.heartbeats, s3.client_disconnected));
        let handed_over = predecessor
            .change_root(|root| {
                let still_dead = root.status == seen && beats(root) == beats(dead);
                root.status = Status::Superseded { by: by.clone() };
                still_dead
            })
            .await;
        let handed_over = match handed_over {
            // It was ended and forgotten while this create was held up.
            Err(Error::NoSuchBackup(_)) => false,
            other => other?.is_ok(),
        };
        let documents = self.documents();
        if !handed_over {
            // It owns nothing, and nobody knows its id.
            documents.delete(&successor.root().open_entry()).await?;
            documents.delete(&Layout::new(&dead.account, &by).root()).await?;
            self.shared.quota.ended(&dead.account);
            return Ok(None);
        }
        documents.delete(&dead.open_entry()).await?;
        tracing::info!(backup = by, predecessor = dead.backup_id, "an upload is carried on");
        Ok(Some(successor))
    }
}

/// Whether a session that was alive a moment ago can be taken over now. Its age is not asked for:
/// it is young.
fn has_just_died(root: &Root) -> bool {
    match &root.status {
        Status::InProgress => root.s3.as_ref().is_some_and(|s3| s3.client_disconnected),
        Status::Aborted { kept, .. } => *kept,
        Status::Finalizing { .. } | Status::Complete { .. } | Status::Superseded { .. } => false,
    }
}
