//! Finalize: from recorded chunks to the object.
//!
//! Guarantees: `complete` means that the object equals the acknowledged chunks, byte for byte, and
//! has the expected digest; any gateway carries a half-done finalize on; repeating it gives the
//! same answer; a finalize that fails for sure leaves the session open again. The root's
//! compare-and-swap is the only commit point: CompleteMultipartUpload may be repeated, lost or won
//! by another gateway, and the object's tag settles which. Source: DESIGN §6, §12.1, §12.3–5.

use crate::digest::{Expected, Kind as DigestKind};
use crate::store::{self, Body, ChosenPart, PutMode, PutOptions, Written};

use super::super::error::{Error, Result};
use super::super::manifest::{Checks, Destination, Finished, Root, Status};
use super::super::session::{Session, upload_of};
use super::super::uploads::TAG;
use super::inventory::Inventory;

/// How often parts may change under one finalize before it gives up and asks its client to come
/// again.
const ROUNDS: usize = 8;

/// How a round went.
pub(in crate::upload) enum Carried {
    Done(Finished),
    /// The ground moved: look at the root again.
    Again,
}

impl Session {
    /// Makes the object. Idempotent. **Durability**: on success the object is complete in the
    /// store.
    /// **Errors**: `Incomplete`, `DigestMismatch`, `NotOpen`, `BadRequest` (a digest that cannot be
    /// had), `Store…` (then the session may be `finalizing`; repeat the call).
    pub async fn finalize(&self, expected: Option<Expected>) -> Result<Finished> {
        self.finalize_as(Checks { expected, parts: None }).await
    }

    pub(in crate::upload) async fn finalize_as(&self, asked: Checks) -> Result<Finished> {
        let expected = asked.expected.as_ref();
        for _ in 0..ROUNDS {
            let root = self.current_root().await?.value;
            let checks = match &root.status {
                Status::Complete { object, .. } => return check_finished(object, expected),
                Status::Aborted { .. } | Status::Superseded { .. } => {
                    return Err(Self::not_open(&root));
                }
                Status::Finalizing { checks } => checks.clone(),
                Status::InProgress => {
                    self.require_obtainable(&root, expected).await?;
                    // Before the status changes: a call that comes too early must not disturb
                    // chunks in flight.
                    self.inventory(&asked).await?.require_all(&root, expected)?;
                    let to = Status::Finalizing { checks: asked.clone() };
                    if self
                        .change_status(|status| *status == Status::InProgress, to)
                        .await?
                        .is_err()
                    {
                        continue;
                    }
                    asked.clone()
                }
            };
            match self.carry(&checks).await {
                Ok(Carried::Done(object)) => return check_finished(&object, expected),
                Ok(Carried::Again) => {}
                // Another client's digest was wrong, not ours.
                Err(Error::DigestMismatch { .. }) if checks != asked => {}
                Err(error) => return Err(error),
            }
        }
        let what = "the parts keep changing while the backup is finalized".to_owned();
        Err(Error::Batch { kind: super::super::Kind::StoreUnavailable, what, retry_after: None })
    }

    /// Carries a `finalizing` session to its end, or back to `in_progress` where it fails for sure.
    pub(in crate::upload) async fn carry(&self, checks: &Checks) -> Result<Carried> {
        match self.round(checks).await {
            Err(error) if fails_for_sure(&error) => {
                // Whoever moved it meanwhile knows better: either way it is not ours to hold any
                // more.
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

    async fn round(&self, checks: &Checks) -> Result<Carried> {
        let root = self.root();
        let survey = self.inventory(checks).await?;
        let expected = checks.expected.as_ref();
        survey.require_all(&root, expected)?;
        let loose = survey.rows.iter().filter(|row| row.etags.is_empty());
        let mut assembled = false;
        for row in loose {
            self.assemble(row.slot, row.end).await?;
            assembled = true;
        }
        if assembled {
            return Ok(Carried::Again);
        }
        let Some(chosen) = self.verified_parts(&root, &survey).await? else {
            return self.after_gone().await;
        };
        let mut digests = survey.digests.clone();
        let read_back = self.check_before(&root, expected, &survey, &chosen, &mut digests).await?;
        // Before the root says complete: a listing of complete backups must not miss it after a
        // crash.
        let documents = &self.0.shared.documents;
        documents.mark(&self.0.layout.done(&root.bucket, &root.key)).await?;
        let done = match root.destination {
            Destination::Parts(_) => self.complete(&root, &chosen, survey.size_bytes).await?,
            Destination::EmptyObject => self.put_empty(&root).await?,
        };
        let Some(done) = done else { return Ok(Carried::Again) };
        let finished = Finished { digests, ..survey.finished(&root, &done) };
        self.conclude(&root, done, finished, read_back.as_ref()).await
    }

    /// Checks the expected digest as far as it can be known before the object exists. What must be
    /// read back from the object is returned.
    async fn check_before(
        &self,
        root: &Root,
        checks: Option<&Expected>,
        survey: &Inventory,
        chosen: &[ChosenPart],
        digests: &mut Vec<Expected>,
    ) -> Result<Option<Expected>> {
        let Some(expected) = checks else { return Ok(None) };
        if expected.kind != DigestKind::Sha256 {
            let found = survey.digest(expected.kind).ok_or_else(|| not_computed(expected.kind))?;
            return same(expected, found).map(|()| None);
        }
        let running = self.0.whole_sha256.value(survey.chunks);
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
        same(expected, &found)?;
        digests.push(found);
        Ok(None)
    }

    /// Whether the digest can be had at all, before anything changes.
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
        let failed = |error| Error::store("asking how the object can be read back", error);
        if store.read_parts(upload_of(root, &target)?, &[]).await.map_err(failed)?.is_some() {
            return Ok(());
        }
        if store.keeps_versions(&target.0).await.map_err(failed)? {
            return Ok(());
        }
        let what = "a sha256: digest of chunks that did not come in order needs the object read back, and that needs a \
                    bucket that keeps versions; use blake3, crc64nvme or sha256-chunks, or turn versioning on";
        Err(Error::BadRequest(what.to_owned()))
    }

    /// None: the parts changed, look again.
    async fn complete(
        &self,
        root: &Root,
        chosen: &[ChosenPart],
        size_bytes: u64,
    ) -> Result<Option<Written>> {
        let target = root.target();
        let completed = self
            .0
            .shared
            .documents
            .store
            .complete(upload_of(root, &target)?, chosen, size_bytes)
            .await;
        match completed {
            Ok(written) => Ok(Some(written)),
            Err(error) => self.after_failed_complete(root, error).await,
        }
    }

    /// Puts the object of an empty file. None: the ground moved, look again.
    ///
    /// A put can be repeated, and unlike a Complete it can come late: over the object of a backup
    /// that was made after another gateway had carried this one to its end. So it goes over what
    /// was there while this one was not yet complete, and over nothing else. A directory replaces
    /// no bytes and does without: SeaweedFS shows one that came of itself, under a tag that it then
    /// refuses.
    async fn put_empty(&self, root: &Root) -> Result<Option<Written>> {
        let (bucket, key) = root.target();
        let store = &self.0.shared.documents.store;
        let mode = if root.key.ends_with('/') {
            PutMode::Overwrite
        } else {
            match store.head(&bucket, &key).await {
                Ok(head) => PutMode::IfMatch(head.etag),
                Err(error) if error.kind() == store::Kind::NotFound => PutMode::CreateOnly,
                Err(error) => {
                    return Err(Error::store(
                        "looking at what an empty object is to replace",
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
            Err(error)
                if matches!(error.kind(), store::Kind::Precondition | store::Kind::Conflict) =>
            {
                Ok(None)
            }
            Err(error) => Err(Error::store("putting an empty object", error)),
        }
    }

    /// After any failed Complete: the object that carries our tag tells that it happened all the
    /// same. None: the parts changed, look again. **Errors**: the failure itself.
    async fn after_failed_complete(
        &self,
        root: &Root,
        error: store::Error,
    ) -> Result<Option<Written>> {
        if let Some(written) = self.tagged_object(root).await? {
            return Ok(Some(written));
        }
        if matches!(error.kind(), store::Kind::InvalidPart | store::Kind::NoSuchUpload) {
            return Ok(None);
        }
        Err(Error::store("completing the store's upload", error))
    }

    /// The object at the target, if it is this session's.
    pub(in crate::upload) async fn tagged_object(&self, root: &Root) -> Result<Option<Written>> {
        let (bucket, key) = root.target();
        let mut backoff = self.0.shared.documents.backoff();
        loop {
            match self.0.shared.documents.store.head(&bucket, &key).await {
                Ok(head) if head.attributes.user.get(TAG) == Some(&root.upload_tag) => {
                    return Ok(Some(Written { etag: head.etag, version: head.version }));
                }
                Ok(_) => return Ok(None),
                Err(error)
                    if matches!(
                        error.kind(),
                        store::Kind::NotFound | store::Kind::NoSuchBucket
                    ) =>
                {
                    return Ok(None);
                }
                Err(error) => {
                    self.0
                        .shared
                        .documents
                        .pause(&mut backoff, Error::own("looking at the object", error))
                        .await?;
                }
            }
        }
    }

    /// The store's upload is gone: completed by someone, or lost. Settles which (DESIGN §12.4).
    pub(in crate::upload) async fn after_gone(&self) -> Result<Carried> {
        let root = self.current_root().await?.value;
        let checks = match &root.status {
            Status::Complete { object, .. } => return Ok(Carried::Done(object.clone())),
            Status::Aborted { .. } | Status::Superseded { .. } => {
                return Err(Self::not_open(&root));
            }
            Status::Finalizing { checks } => checks.clone(),
            Status::InProgress => Checks::default(),
        };
        if let Some(written) = self.tagged_object(&root).await? {
            let finished = self.inventory(&checks).await?.finished(&root, &written);
            let read_back = checks.expected.filter(|expected| expected.kind == DigestKind::Sha256);
            return self.conclude(&root, written, finished, read_back.as_ref()).await;
        }
        let reason = "the store's upload is gone and no object of this backup is there".to_owned();
        let aborted = Status::Aborted { reason, kept: false, freed: false };
        match self.change_status(Status::is_unfinished, aborted).await? {
            Ok(doc) => Err(Self::not_open(&doc.value)),
            Err(_) => Ok(Carried::Again),
        }
    }

    /// `after_gone` for a writer of parts: why its chunk cannot be stored.
    pub(in crate::upload) async fn settle_gone(&self) -> Error {
        match Box::pin(self.after_gone()).await {
            Ok(Carried::Done(_) | Carried::Again) => Self::not_open(&self.root()),
            Err(error) => error,
        }
    }

    /// The object is there: checks what only it can show, then makes it official.
    async fn conclude(
        &self,
        root: &Root,
        written: Written,
        mut finished: Finished,
        read_back: Option<&Expected>,
    ) -> Result<Carried> {
        if written.etag.0.is_empty() {
            let again = self.tagged_object(root).await?;
            finished.etag = again.map(|object| object.etag).unwrap_or(written.etag.clone());
        }
        if let Some(expected) = read_back {
            match self.check_object(root, &written, expected).await? {
                Ok(found) => finished.digests.push(found),
                Err(mismatch) => return Err(mismatch),
            }
        }
        let completed_at = self.0.shared.documents.clock.unix_seconds();
        let complete = Status::Complete { object: finished.clone(), completed_at };
        // Also over `in_progress`: a finalize elsewhere that saw a part change gave up, but this
        // one's parts had agreed, and the object is there.
        let object = match self.change_status(Status::is_unfinished, complete).await? {
            Ok(_) => finished,
            Err(doc) => {
                let Status::Complete { object, .. } = &doc.value.status else {
                    return Err(Self::not_open(&doc.value));
                };
                object.clone()
            }
        };
        self.tidy_after_complete(root).await;
        Ok(Carried::Done(object))
    }

    /// Removes what a complete session no longer needs. What stays behind costs little and is swept
    /// with the session.
    async fn tidy_after_complete(&self, root: &Root) {
        let documents = &self.0.shared.documents;
        let tidied = async {
            if root.plan.slot(0).is_none_or(|slot| slot.chunks > 1) || root.plan.size.is_none() {
                documents.delete_all(&self.0.layout.staged_prefix()).await?;
            }
            documents.delete(&root.open_entry()).await
        };
        if let Err(error) = tidied.await {
            tracing::warn!(backup = root.backup_id, %error, "a complete backup left records behind");
        }
    }
}

/// Whether repeating the finalize unchanged would fail again, so that the session must be open for
/// a remedy.
fn fails_for_sure(error: &Error) -> bool {
    use super::super::Kind;
    match error.kind() {
        Kind::BadRequest
        | Kind::Incomplete
        | Kind::DigestMismatch
        | Kind::ChunkSizeMismatch
        | Kind::ChecksumMismatch
        | Kind::ChecksumConflict
        | Kind::StoreFull
        | Kind::InvalidPart
        | Kind::PartTooSmall
        | Kind::NoSuchBucket => true,
        Kind::NoSuchBackup
        | Kind::BackupConflict
        | Kind::NotOpen
        | Kind::ObjectChanged
        | Kind::QuotaExceeded
        | Kind::BodyBroken
        | Kind::SlowDown
        | Kind::StoreUnavailable
        | Kind::Internal => false,
    }
}

fn check_finished(object: &Finished, expected: Option<&Expected>) -> Result<Finished> {
    if let Some(expected) = expected {
        let found = object.digests.iter().find(|digest| digest.kind == expected.kind);
        same(expected, found.ok_or_else(|| not_computed(expected.kind))?)?;
    }
    Ok(object.clone())
}

pub(in crate::upload) fn same(expected: &Expected, found: &Expected) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::DigestMismatch { expected: expected.clone(), found: found.clone() })
}

fn not_computed(kind: DigestKind) -> Error {
    let what =
        format!("the digest {kind} was not named when the backup was created, and is not computed");
    Error::BadRequest(what)
}
