//! Adoption: a new S3 upload of a target takes over the store upload that a dead one left behind.
//!
//! Guarantees: of any number of creates one adopts (the predecessor's compare-and-swap to `superseded` decides); the
//! successor's root is written first, so a crash in between costs nothing; an upload is adopted only with the very
//! same creation headers, by the same account. Ages are differences of two store times, never of wall clocks.
//! It does not take any part for the successor's: each must be confirmed by its bytes' SHA-256. Source: DESIGN §7, §12.2.

use std::time::{Duration, SystemTime};

use super::error::{Error, Result};
use super::layout::{Index, Layout, key_prefixes};
use super::manifest::{Root, Status};
use super::parts::NewUpload;
use super::session::Session;
use super::uploads::Uploads;
use crate::store::{self, Key, ListOptions};

/// How long a create waits for an upload of the same file that still seems alive: what a killed client left in its
/// machine's buffers may still be arriving when it is run again.
const LAST_BREATH: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Sessions whose parts are looked through for one that fits; each is a dead run of the same upload.
const MOST_CANDIDATES: usize = 8;

impl Uploads {
    /// The successor of a dead upload of the same target with the same terms; None where there is none.
    pub(super) async fn adopt(&self, account: &str, new: &NewUpload) -> Result<Option<Session>> {
        if !self.shared.settings.resume.enabled {
            return Ok(None);
        }
        let clock = &self.documents().clock;
        let until = clock.monotonic() + LAST_BREATH;
        let mut dead = loop {
            let (mut dead, mut alive) = (Vec::new(), false);
            for root in self.of_target(account, new).await?.into_iter().filter(|root| new.fits(root)) {
                if self.is_dead(&root).await? {
                    dead.push(root);
                } else {
                    alive |= root.is_open();
                }
            }
            if !dead.is_empty() || !alive || clock.monotonic() >= until {
                break dead;
            }
            clock.pause(LOOK_AGAIN).await;
        };
        dead.sort_by_key(|root| std::cmp::Reverse(root.created_at));
        for root in dead {
            if let Some(session) = self.succeed(&root, new).await? {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }

    /// The sessions that the index of open ones has for exactly this target.
    async fn of_target(&self, account: &str, new: &NewUpload) -> Result<Vec<std::sync::Arc<Root>>> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, prefix) in key_prefixes(account, &new.bucket, &new.key) {
            if index == Index::Open {
                let options = ListOptions { prefix, delimiter: Some("/".to_owned()), ..ListOptions::default() };
                keys.extend(self.documents().list(&options).await?.objects.into_iter().map(|object| object.key));
            }
        }
        let roots = self.roots(account, &keys).await?.into_iter().flatten();
        Ok(roots.filter(|root| root.bucket == new.bucket && root.key == new.key).collect())
    }

    async fn is_dead(&self, root: &Root) -> Result<bool> {
        let resume = &self.shared.settings.resume;
        let left = root.s3.as_ref().is_some_and(|s3| s3.left);
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
    pub(super) async fn age(&self, root: &Root) -> Result<Duration> {
        let written = self.last_written(root).await?;
        Ok(written.and_then(|(newest, now)| now.duration_since(newest).ok()).unwrap_or_default())
    }

    /// When the newest record of a session was written, and what time it is, both by the store's own clock; None
    /// where it has no root.
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
        let newest = segments.iter().map(|listed| listed.modified).fold(head.modified, std::cmp::max);
        Ok(Some((newest, head.date)))
    }

    /// Takes the store upload of `dead` over; None where someone else was first.
    async fn succeed(&self, dead: &Root, new: &NewUpload) -> Result<Option<Session>> {
        let Some(predecessor) = self.find(&dead.account, &dead.backup_id).await? else { return Ok(None) };
        if !predecessor.owns_upload(dead).await? {
            // Its creator died before the hand-over: the upload is another one's, who may be alive.
            return Ok(None);
        }
        let mut terms = new.terms();
        terms.candidates = std::iter::once(dead.backup_id.clone())
            .chain(dead.s3.iter().flat_map(|s3| s3.candidates.clone()))
            .take(MOST_CANDIDATES)
            .collect();
        let upload = (dead.store_upload.clone(), dead.upload_tag.clone());
        let successor = self.write_upload(&dead.account, new, terms, upload).await?;
        let (seen, by) = (dead.status.clone(), successor.root().backup_id.clone());
        let beats = |root: &Root| root.s3.as_ref().map(|s3| (s3.beats, s3.left));
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
        let index =
            |root: &Root| Layout::new(&root.account, &root.backup_id).indexed(Index::Open, &root.bucket, &root.key);
        if !handed_over {
            // It owns nothing, and nobody knows its id.
            documents.delete(&index(&successor.root())).await?;
            documents.delete(&Layout::new(&dead.account, &by).root()).await?;
            return Ok(None);
        }
        documents.delete(&index(dead)).await?;
        tracing::info!(backup = by, predecessor = dead.backup_id, "an upload is carried on");
        Ok(Some(successor))
    }
}
