//! Abort: ends a session without an object; what an end frees.
//!
//! Guarantees: idempotent, also after a crash in the middle; the root says `aborted` before
//! anything is removed, so that a late writer finds the session closed; a finalize in progress is
//! completed first (docs/architecture.md#a-failed-finalize-reopens-the-session). The root stays as
//! a tombstone.

use crate::records::Snapshot;
use crate::store;

use super::super::error::{Error, Kind, Result};
use super::super::layout::Layout;
use super::super::manifest::{Root, Status};
use super::super::session::Session;

/// How often a store upload is aborted again because parts that were in flight still turn up.
const MAX_ABORTS: usize = 4;

impl Session {
    /// Ends the session and frees what it holds. **Errors**: `NotOpen` where it is complete or
    /// superseded; `Store…` (repeat the call, which frees the rest).
    pub async fn abort(&self, reason: &str) -> Result<()> {
        self.abort_as(reason, false).await
    }

    /// As `abort`, but keeps the parts, so that a later upload of the target can adopt them.
    pub async fn abort_and_keep(&self, reason: &str) -> Result<()> {
        self.abort_as(reason, true).await
    }

    async fn abort_as(&self, reason: &str, kept: bool) -> Result<()> {
        loop {
            let root = self.current_root().await?.value;
            match &root.status {
                _ if root.claim().is_some() => self.settle_claim().await?,
                Status::Superseded { alias: true, .. } | Status::Complete { of: Some(_), .. } => {
                    return self.part_ways().await;
                }
                Status::Aborted { kept: true, .. } if kept => return Ok(()),
                Status::Aborted { kept: false, .. } => return self.free(&root).await.map(drop),
                Status::Aborted { reason, kept: true, .. } => {
                    let from = root.status.clone();
                    let freed =
                        Status::Aborted { reason: reason.clone(), kept: false, freed: false };
                    // A lost swap: a successor adopts the parts, or another sweep frees them.
                    self.change_status(|status| *status == from, freed).await?.ok();
                }
                Status::Complete { .. } | Status::Superseded { .. } => {
                    return Err(Self::not_open(&root));
                }
                Status::Finalizing { checks } => {
                    let finalized = self.run_finalize(checks).await;
                    // If it is complete, the loop returns that. If it failed permanently, it is
                    // open again and can be aborted.
                    if let Err(error) = finalized
                        && matches!(
                            error.kind(),
                            Kind::StoreUnavailable | Kind::SlowDown | Kind::Denied | Kind::Internal
                        )
                    {
                        return Err(error);
                    }
                }
                // Its client gives it up, but that of an alias may go on.
                Status::InProgress if kept && self.has_alias(&root).await? => {
                    let changed = self.change_root(|root| {
                        let is_open = root.is_open();
                        root.s3.as_mut().is_some_and(|s3| {
                            (s3.given_up, s3.client_disconnected) = (true, true);
                            is_open
                        })
                    });
                    if changed.await?.is_ok() {
                        return Ok(());
                    }
                }
                Status::InProgress => {
                    let aborted = Status::Aborted { reason: reason.to_owned(), kept, freed: false };
                    // A lost swap: the loop reads the new status.
                    let changed = self.change_root(|root| {
                        let may_abort = root.is_open() && root.claim().is_none();
                        root.status = aborted.clone();
                        may_abort
                    });
                    changed.await?.ok();
                }
            }
        }
    }

    /// Frees what an aborted session holds. False: parts that were in flight still turn up.
    pub(in crate::upload) async fn free(&self, root: &Root) -> Result<bool> {
        let documents = &self.0.shared.documents;
        let target = root.target();
        let upload = match root.upload_at(&target) {
            Some(upload) if self.owns_upload(root).await? => Some(upload),
            Some(_) | None => None,
        };
        let mut empty = upload.is_none();
        for upload in upload.into_iter().cycle().take(MAX_ABORTS) {
            // A part that was in flight can arrive after the abort: repeat until none is listed.
            match documents.store.abort(upload).await {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        store::Kind::NoSuchUpload | store::Kind::NoSuchBucket
                    ) => {}
                Err(error) => return Err(Error::own("aborting the store's upload", error)),
            }
            empty = self.listed_parts(root).await?.is_none_or(|parts| parts.is_empty());
            if empty {
                break;
            }
        }
        self.abort_spare(root).await?;
        documents.delete_all(&self.0.layout.staged_prefix()).await?;
        documents.delete_all(&self.0.layout.segments()).await?;
        documents.delete(&root.index_entry()).await?;
        documents.delete(&self.0.layout.done(&root.bucket, &root.key)).await?;
        Ok(empty)
    }

    /// Removes what a complete session no longer needs. A sweep removes what is left after a
    /// failure.
    pub(in crate::upload) async fn clean_up_after_complete(&self, root: &Root) {
        let documents = &self.0.shared.documents;
        let cleanup = async {
            if root.plan.slot(0).is_none_or(|slot| slot.chunks > 1) || root.plan.size.is_none() {
                documents.delete_all(&self.0.layout.staged_prefix()).await?;
            }
            documents.delete(&root.index_entry()).await?;
            self.abort_spare(root).await
        };
        if let Err(error) = cleanup.await {
            tracing::warn!(backup = root.backup_id.as_str(), %error, "documents of a complete backup are not removed");
        }
    }

    /// Whether the session owns its store upload. A create that ended before the hand-over left a
    /// root whose store upload still belongs to the predecessor
    /// (docs/architecture.md#handing-over-a-store-upload).
    pub(in crate::upload) async fn owns_upload(&self, root: &Root) -> Result<bool> {
        let Some(predecessor) = root.s3.as_ref().and_then(|s3| s3.candidates.first()) else {
            return Ok(true);
        };
        let layout = Layout::new(&root.account, predecessor);
        let found: Option<Snapshot<Root>> = self.0.shared.documents.read(&layout.root()).await?;
        // A predecessor without a root owns nothing any more.
        Ok(found.is_none_or(|doc| {
            matches!(&doc.value.status, Status::Superseded { by, .. } if *by == root.backup_id)
        }))
    }
}
