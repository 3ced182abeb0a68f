//! Finalize: makes the object of the recorded chunks.
//!
//! Guarantees: `complete` means that the object equals the acknowledged chunks, byte for byte, and
//! has the expected digest; any gateway can continue an interrupted finalize; a repeated finalize
//! has the same result; a finalize that fails permanently reopens the session. The root's
//! compare-and-swap is the only commit point (docs/decisions/0001-the-root-is-the-commit-point.md):
//! CompleteMultipartUpload may be repeated, lost, or won by another gateway, and the upload tag of
//! the object decides which. Source: docs/architecture.md#finalize,
//! docs/architecture.md#a-failed-finalize-reopens-the-session, docs/architecture.md#upload-tag,
//! docs/architecture.md#read-back-of-sha256.

use crate::digest::{Expected, Kind as DigestKind};
use crate::store::{self, Body, ChosenPart, Completion, PutMode, PutOptions, Written};

use super::super::error::{Error, Result};
use super::super::manifest::{Checks, Destination, Finished, Root, Status};
use super::super::session::{Session, upload_of};
use super::checks::{condition_failed, is_unmet, not_computed, require_equal};
use super::inventory::Inventory;

/// How often one finalize begins again because parts changed, before it asks its client to retry.
const MAX_ROUNDS: usize = 8;

/// The result of one round of a finalize.
pub(in crate::upload) enum FinalizeStep {
    Done(Finished),
    /// Root or parts changed meanwhile: read the root again.
    Retry,
}

impl Session {
    /// Makes the object. Idempotent. **Durability**: on success the object is complete in the
    /// store.
    /// **Errors**: `Incomplete`, `DigestMismatch`, `NotOpen`, `DigestUnavailable` (it cannot be
    /// computed), `Store…` (then the session may be `finalizing`; repeat the call).
    pub async fn finalize(&self, expected: Option<Expected>) -> Result<Finished> {
        self.finalize_as(Checks { expected, ..Checks::default() }).await
    }

    pub(in crate::upload) async fn finalize_as(&self, requested: Checks) -> Result<Finished> {
        let expected = requested.expected.as_ref();
        for _ in 0..MAX_ROUNDS {
            let root = self.current_root().await?.value;
            let checks = match &root.status {
                Status::Complete { object, .. } => {
                    return self.check_finished(object, &requested);
                }
                Status::Aborted { .. } | Status::Superseded { .. } => {
                    return Err(Self::not_open(&root));
                }
                Status::Finalizing { checks } => checks.clone(),
                // Its first parts have not decided whose store upload is its own.
                Status::InProgress if root.is_undecided() => {
                    self.send_heartbeat().await?;
                    continue;
                }
                Status::InProgress => {
                    self.require_obtainable(&root, expected).await?;
                    // Before the status changes: a call that is too early must not stop chunks in
                    // flight.
                    self.inventory(&requested).await?.require_all(&root, expected)?;
                    let to = Status::Finalizing { checks: requested.clone() };
                    if self
                        .change_status(|status| *status == Status::InProgress, to)
                        .await?
                        .is_err()
                    {
                        continue;
                    }
                    requested.clone()
                }
            };
            match self.run_finalize(&checks).await {
                Ok(FinalizeStep::Done(object)) => return self.check_finished(&object, &requested),
                Ok(FinalizeStep::Retry) => {}
                // The digest or the condition of another client's finalize was wrong.
                Err(Error::DigestMismatch { .. } | Error::ConditionFailed { .. })
                    if checks != requested => {}
                Err(error) => return Err(error),
            }
        }
        let what = "the parts keep changing while the backup is finalized".to_owned();
        Err(Error::Batch { kind: super::super::Kind::StoreUnavailable, what, retry_after: None })
    }

    /// Completes a `finalizing` session, or reopens it where the finalize fails permanently.
    pub(in crate::upload) async fn run_finalize(&self, checks: &Checks) -> Result<FinalizeStep> {
        match self.finalize_round(checks).await {
            Err(error) if is_permanent(&error) => {
                // A lost swap means that another gateway changed the status, which is then the
                // right one.
                self.change_status(
                    |status| matches!(status, Status::Finalizing { .. }),
                    Status::InProgress,
                )
                .await?
                .ok();
                Err(error)
            }
            other => other,
        }
    }

    async fn finalize_round(&self, checks: &Checks) -> Result<FinalizeStep> {
        let root = self.root();
        let inventory = self.settled_inventory(checks).await?;
        let expected = checks.expected.as_ref();
        inventory.require_all(&root, expected)?;
        let staged = inventory.rows.iter().filter(|row| row.etags.is_empty());
        let mut assembled = false;
        for row in staged {
            self.assemble(row.slot, row.end).await?;
            assembled = true;
        }
        if assembled {
            return Ok(FinalizeStep::Retry);
        }
        let recorder = self.recorder_of(checks).await?;
        let Some(chosen) = self.verified_parts(&root, &inventory, &recorder).await? else {
            return self.resolve_missing_upload().await;
        };
        let mut digests = inventory.digests.clone();
        let read_back =
            self.check_before(&root, expected, &inventory, &chosen, &mut digests).await?;
        // Before the root says `complete`: after a crash a listing of complete backups must not
        // miss it.
        let documents = &self.0.shared.documents;
        let done = self.0.layout.done(&root.bucket, &root.key);
        let known = root
            .offers_known_parts(inventory.size_bytes, self.0.shared.documents.store.limits())
            .then(|| self.0.layout.known(&root.bucket, root.created_at));
        let entries = [Some(done), known].into_iter().flatten();
        let writes = entries.map(|entry| async move { documents.put_marker(&entry).await });
        futures_util::future::try_join_all(writes).await?;
        let written = match root.destination {
            Destination::Parts(_) => {
                let completion =
                    Completion { size_bytes: inventory.size_bytes, mode: checks.put_mode() };
                self.complete(&root, &chosen, &completion).await?
            }
            Destination::Whole => self.put_empty(&root, checks).await?,
        };
        let Some(written) = written else { return Ok(FinalizeStep::Retry) };
        let condition = checks.condition.clone();
        let finished = Finished { digests, condition, ..inventory.finished(&root, &written) };
        self.record_completion(&root, written, finished, read_back.as_ref()).await
    }

    /// Checks the expected digest as far as it is known before the object exists. Returns the
    /// digest for which the object must be read back.
    async fn check_before(
        &self,
        root: &Root,
        expected: Option<&Expected>,
        inventory: &Inventory,
        chosen: &[ChosenPart],
        digests: &mut Vec<Expected>,
    ) -> Result<Option<Expected>> {
        let Some(expected) = expected else { return Ok(None) };
        if expected.kind != DigestKind::Sha256 {
            let found =
                inventory.digest(expected.kind).ok_or_else(|| not_computed(expected.kind))?;
            return require_equal(expected, found).map(|()| None);
        }
        let running = self.0.whole_sha256.value(inventory.chunks);
        let target = root.target();
        let found = match running {
            Some(sha256) => Some(sha256),
            None => {
                let parts = self
                    .0
                    .shared
                    .documents
                    .store
                    .read_parts(upload_of(root, &target)?, chosen)
                    .await;
                match parts.map_err(|error| Error::store("reading the parts back", error))? {
                    Some(body) => Some(super::verify::hash(body).await?),
                    None => None,
                }
            }
        };
        let Some(found) = found else { return Ok(Some(expected.clone())) };
        let found = Expected { kind: DigestKind::Sha256, hex: found.hex() };
        require_equal(expected, &found)?;
        digests.push(found);
        Ok(None)
    }

    /// Fails where the digest cannot be computed. To be called before anything changes.
    async fn require_obtainable(&self, root: &Root, expected: Option<&Expected>) -> Result<()> {
        let Some(expected) = expected else { return Ok(()) };
        match expected.kind {
            DigestKind::Sha256Chunks => Ok(()),
            DigestKind::Blake3 | DigestKind::Crc64Nvme if root.digest == Some(expected.kind) => {
                Ok(())
            }
            DigestKind::Blake3 | DigestKind::Crc64Nvme => Err(not_computed(expected.kind)),
            DigestKind::Sha256 => self.require_read_back(root).await,
        }
    }

    async fn require_read_back(&self, root: &Root) -> Result<()> {
        let chunks = match root.plan.chunks() {
            Some(chunks) => chunks,
            None => self.inventory(&Checks::default()).await?.chunks,
        };
        if self.0.whole_sha256.value(chunks).is_some() {
            return Ok(());
        }
        let store = &self.0.shared.documents.store;
        let target = root.target();
        let failed = |error| Error::store("finding out how the object can be read back", error);
        if store.read_parts(upload_of(root, &target)?, &[]).await.map_err(failed)?.is_some() {
            return Ok(());
        }
        if store.keeps_versions(&target.0).await.map_err(failed)? {
            return Ok(());
        }
        let what = "a sha256: digest of chunks that did not come in order requires reading the object back, which requires a \
                    bucket that keeps versions; use blake3, crc64nvme or sha256-chunks, or turn versioning on";
        Err(Error::DigestUnavailable(what.to_owned()))
    }

    /// Completes the store upload. None: the parts changed, read the root again.
    async fn complete(
        &self,
        root: &Root,
        chosen: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Option<Written>> {
        let target = root.target();
        let completed = self
            .0
            .shared
            .documents
            .store
            .complete(upload_of(root, &target)?, chosen, completion)
            .await;
        match completed {
            Ok(written) => Ok(Some(written)),
            Err(error) => self.after_failed_complete(root, completion, error).await,
        }
    }

    /// Puts the object of an empty file. None: root or object changed, read the root again.
    ///
    /// A put may be repeated, and unlike a Complete it may arrive late: after another gateway
    /// completed this backup, it could replace the object of a newer backup. So it replaces only
    /// the object that was there while this backup was not complete yet. A directory (a key that
    /// ends in `/`) replaces no bytes and needs no condition: SeaweedFS lists directories that
    /// nobody put, with an ETag that it then refuses.
    async fn put_empty(&self, root: &Root, checks: &Checks) -> Result<Option<Written>> {
        let (bucket, key) = root.target();
        let store = &self.0.shared.documents.store;
        let mode = if checks.condition.is_some() {
            checks.put_mode()
        } else if root.key.ends_with('/') {
            PutMode::Overwrite
        } else {
            match store.head(&bucket, &key).await {
                Ok(head) => PutMode::IfMatch(head.etag),
                Err(error) if error.kind() == store::Kind::NotFound => PutMode::CreateOnly,
                Err(error) => {
                    return Err(Error::store(
                        "reading the head of the object that an empty object replaces",
                        error,
                    ));
                }
            }
        };
        if self.current_root().await?.value.status != root.status {
            return Ok(None);
        }
        let options = PutOptions { mode, attributes: root.attributes(), ..PutOptions::default() };
        match store.put(&bucket, &key, Body::empty(), options).await {
            Ok(written) => Ok(Some(written)),
            Err(error) if checks.condition.is_some() && is_unmet(&error) => {
                let own = self.tagged_object(root).await?;
                own.map_or_else(|| Err(condition_failed(&error)), |written| Ok(Some(written)))
            }
            Err(error)
                if matches!(error.kind(), store::Kind::Precondition | store::Kind::Conflict) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::store("putting an empty object", error)),
        }
    }

    /// After a failed Complete: an object with the session's upload tag shows that it succeeded all
    /// the same. None: the parts changed, read the root again. **Errors**: the failure itself.
    async fn after_failed_complete(
        &self,
        root: &Root,
        completion: &Completion,
        error: store::Error,
    ) -> Result<Option<Written>> {
        // Before the condition: the object that does not fit it may be the session's own, made by a
        // Complete whose response was lost.
        if let Some(written) = self.tagged_object(root).await? {
            return Ok(Some(written));
        }
        if completion.mode != PutMode::Overwrite && is_unmet(&error) {
            return Err(condition_failed(&error));
        }
        if matches!(error.kind(), store::Kind::InvalidPart | store::Kind::NoSuchUpload) {
            return Ok(None);
        }
        Err(Error::store("completing the store's upload", error))
    }

    /// Finds out whether a store upload that is gone was completed or lost
    /// (docs/architecture.md#upload-tag), and changes the root accordingly.
    pub(in crate::upload) async fn resolve_missing_upload(&self) -> Result<FinalizeStep> {
        let root = self.current_root().await?.value;
        let checks = match &root.status {
            Status::Complete { object, .. } => return Ok(FinalizeStep::Done(object.clone())),
            Status::Aborted { .. } | Status::Superseded { .. } => {
                return Err(Self::not_open(&root));
            }
            Status::Finalizing { checks } => checks.clone(),
            Status::InProgress => Checks::default(),
        };
        if let Some(written) = self.object_of_gone_upload(&root, &checks).await? {
            let finished = self.inventory(&checks).await?.finished(&root, &written);
            let finished = Finished { condition: checks.condition, ..finished };
            let read_back = checks.expected.filter(|expected| expected.kind == DigestKind::Sha256);
            return self.record_completion(&root, written, finished, read_back.as_ref()).await;
        }
        let reason = "the store's upload is gone and no object of this backup is there".to_owned();
        let aborted = Status::Aborted { reason, kept: false, freed: false };
        match self.change_status(Status::is_unfinished, aborted).await? {
            Ok(doc) => Err(Self::not_open(&doc.value)),
            Err(_) => Ok(FinalizeStep::Retry),
        }
    }

    /// Resolves a missing store upload for the writer of a chunk. Returns why the chunk cannot be
    /// stored.
    pub(in crate::upload) async fn missing_upload_error(&self) -> Error {
        match Box::pin(self.resolve_missing_upload()).await {
            Ok(FinalizeStep::Done(_) | FinalizeStep::Retry) => Self::refused(&self.root()),
            Err(error) => error,
        }
    }

    /// Records in the root that the object is there, after the digest that needs a read-back is
    /// checked.
    async fn record_completion(
        &self,
        root: &Root,
        written: Written,
        mut finished: Finished,
        read_back: Option<&Expected>,
    ) -> Result<FinalizeStep> {
        if written.etag.0.is_empty() {
            let object = self.tagged_object(root).await?;
            finished.etag = object.map(|object| object.etag).unwrap_or(written.etag.clone());
        }
        if let Some(expected) = read_back {
            match self.check_object(root, &written, expected).await? {
                Ok(found) => finished.digests.push(found),
                Err(mismatch) => return Err(mismatch),
            }
        }
        let completed_at = self.0.shared.documents.clock.unix_seconds();
        let of = root.alias_that_completes();
        let complete = Status::Complete { object: finished.clone(), completed_at, of };
        // Also from `in_progress`: a finalize at another gateway may have reopened the session
        // because a part changed, but here the parts agreed, and the object is there.
        let object = match self.change_status(Status::is_unfinished, complete).await? {
            Ok(_) => finished,
            Err(doc) => {
                let Status::Complete { object, .. } = &doc.value.status else {
                    return Err(Self::not_open(&doc.value));
                };
                object.clone()
            }
        };
        self.clean_up_after_complete(root).await;
        self.0.shared.known.changed(&root.account, &root.bucket);
        Ok(FinalizeStep::Done(object))
    }
}

/// Whether a finalize with this error would fail again if it were repeated unchanged, so that the
/// session must be open for a correction.
fn is_permanent(error: &Error) -> bool {
    use super::super::Kind;
    match error.kind() {
        Kind::BadRequest
        | Kind::NoSuchChunk
        | Kind::Incomplete
        | Kind::DigestMismatch
        | Kind::DigestUnavailable
        | Kind::ChunkSizeMismatch
        | Kind::ChecksumMismatch
        | Kind::ChecksumConflict
        | Kind::StoreFull
        | Kind::InvalidPart
        | Kind::PartTooSmall
        | Kind::ConditionFailed
        | Kind::NoSuchBucket => true,
        Kind::NoSuchBackup
        | Kind::BackupConflict
        | Kind::NotOpen
        | Kind::ObjectChanged
        | Kind::QuotaExceeded
        | Kind::BodyBroken
        | Kind::SlowDown
        | Kind::StoreUnavailable
        | Kind::Denied
        | Kind::Internal => false,
    }
}
