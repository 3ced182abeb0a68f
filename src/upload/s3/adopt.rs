//! Adoption: a new S3 upload takes over the store upload of an abandoned session of its target,
//! once a part proves that both send the same file.
//!
//! Guarantees: a create reads no session and waits for none; nothing changes for a predecessor
//! before the SHA-256 and length of a part of the new upload are those of one of its recorded
//! parts; an upload that has a part of its own takes over nothing any more. The claim in the
//! successor's root comes before the compare-and-swap of the predecessor's root to `superseded`,
//! which hands the store upload over, so whoever finds a claim can finish it, and of any number of
//! successors one wins. Ages are differences of two store times, never of wall clocks. Source:
//! docs/architecture.md#adoption, docs/architecture.md#handing-over-a-store-upload.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::error::{Error, Result};
use super::super::layout::{self, Layout};
use super::super::list::READ_AHEAD;
use super::super::manifest::{Destination, Root, S3Terms, Status};
use super::super::plan::{self, ChunkIndex};
use super::super::session::Session;
use super::super::uploads::Uploads;
use super::entries::PartClaim;
use super::parts::NewUpload;
use crate::names::{AccountName, BackupId};
use crate::store::{self, ListOptions, UploadTarget};

/// How long the first parts that prove that a session is the same file wait for it, while it still
/// seems alive: bytes of a killed client may be in the buffers of its machine when the client is
/// started again.
const ALIVE_WAIT: Duration = Duration::from_secs(5);
/// How long a part that an abandoned session lacks waits for another part to prove that it is the
/// same file: the parts that were in flight at a kill are missing among the first ones.
const GAP_WAIT: Duration = Duration::from_millis(400);
/// The first pause before a part looks again; each pause is twice as long as the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How many sessions of a key an upload may take over, the newest first, so that the cost is
/// bounded.
const MAX_PREDECESSORS: usize = 16;

/// How many predecessors are searched for a part (docs/architecture.md#candidates).
pub(super) const MAX_CANDIDATES: usize = 8;

/// What a look at the possible predecessors showed for one part.
enum Look {
    /// The session has recorded the same part, and is abandoned.
    Same(Arc<Root>),
    /// The session has recorded the same part, and still seems alive.
    Alive,
    /// An abandoned session lacks the part.
    Gap,
    Nothing,
}

impl Uploads {
    /// The sessions that a new upload may take over, the newest first.
    pub(in crate::upload) async fn possible_predecessors(
        &self,
        account: &AccountName,
        new: &NewUpload,
    ) -> Result<Vec<BackupId>> {
        if !self.shared.settings.resume.enabled {
            return Ok(Vec::new());
        }
        let newest = self.newest_of_key(account, &new.bucket, &new.key, MAX_PREDECESSORS).await?;
        Ok(newest.iter().filter_map(layout::session_of).collect())
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

    /// Looks for a session that `root` may take over, as the part proves.
    async fn look(&self, root: &Root, index: ChunkIndex, claim: &PartClaim) -> Result<Look> {
        let ids = root.s3.as_ref().map_or_else(Vec::new, |s3| s3.predecessors.clone());
        let (uploads, account) = (self.clone(), root.account.clone());
        let reads = stream::iter(ids).map(move |id| {
            let (uploads, account) = (uploads.clone(), account.clone());
            async move { uploads.root_of(&account, &id).await }
        });
        let roots: Vec<Option<Arc<Root>>> = reads.buffered(READ_AHEAD).try_collect().await?;
        let mut found = Look::Nothing;
        for mut other in roots.into_iter().flatten() {
            // It was cut off while it took over another one, which no index shows any more.
            if other.claim().is_some()
                && self.is_abandoned(&other).await?
                && let Some(session) = self.find(&other.account, &other.backup_id).await?
            {
                session.settle_claim_as(true).await?;
                other = session.root();
            }
            let can_be_taken = other.status.is_indexed_open()
                && has_same_terms(&other, root)
                && !other.is_undecided();
            if !can_be_taken {
                continue;
            }
            match self.recorded_part(&other, index, claim).await? {
                Some(false) => {}
                Some(true) if self.is_abandoned(&other).await? => return Ok(Look::Same(other)),
                Some(true) => found = Look::Alive,
                None if matches!(found, Look::Nothing) && self.is_abandoned(&other).await? => {
                    found = Look::Gap;
                }
                None => {}
            }
        }
        Ok(found)
    }

    /// Whether the newest record of the part in the store upload of a session has the declared
    /// bytes. None: there is no such part.
    async fn recorded_part(
        &self,
        root: &Root,
        index: ChunkIndex,
        claim: &PartClaim,
    ) -> Result<Option<bool>> {
        let candidates = root.s3.iter().flat_map(|s3| &s3.candidates);
        for id in std::iter::once(&root.backup_id).chain(candidates) {
            let Some(session) = self.find(&root.account, id).await? else { continue };
            let segment = session.segment(plan::segment_of(index)).await?;
            if let Some(record) = segment.chunks.get(&index) {
                return Ok(Some(claim.matches(record) && !record.etags.is_empty()));
            }
        }
        Ok(None)
    }
}

impl Session {
    /// For a part that the session does not know: takes over the predecessor that the part proves
    /// to be the same file, if there is one. Returns the root after that.
    pub(in crate::upload) async fn look_for_predecessor(
        &self,
        index: ChunkIndex,
        claim: &PartClaim,
    ) -> Result<Arc<Root>> {
        let Some(uploads) = Uploads::of(self) else { return Ok(self.root()) };
        let began = self.now();
        let deadline = *self.0.first_look.get_or_init(|| began) + ALIVE_WAIT;
        let mut pause = FIRST_PAUSE;
        while self.root().is_undecided() {
            let look = {
                // One at a time: the first parts come together, and one of them decides for all.
                let _looking = self.0.looking.lock().await;
                self.settle_claim().await?;
                let root = self.root();
                let look = uploads.look(&root, index, claim).await?;
                if let Look::Same(predecessor) = &look {
                    self.claim(&uploads, predecessor).await?;
                    continue;
                }
                look
            };
            let waits_until = match look {
                Look::Alive => deadline,
                Look::Gap => began + GAP_WAIT,
                Look::Same(_) | Look::Nothing => break,
            };
            let remaining = waits_until.saturating_sub(self.now());
            if remaining.is_zero() {
                break;
            }
            self.0.shared.documents.clock.pause(pause.min(remaining)).await;
            pause *= 2;
        }
        Ok(self.root())
    }

    /// Claims an abandoned session, and takes it over unless somebody else is first or it is in use
    /// again.
    async fn claim(&self, uploads: &Uploads, predecessor: &Root) -> Result<()> {
        let id = predecessor.backup_id.clone();
        let owns = match uploads.find(&predecessor.account, &id).await? {
            Some(session) => session.owns_upload(predecessor).await?,
            None => false,
        };
        let changed = self
            .change_root(|root| {
                let may_claim = root.is_open() && root.is_undecided() && root.claim().is_none();
                if let Some(s3) = &mut root.s3 {
                    match owns {
                        true => s3.claim = Some(id.clone()),
                        // Its store upload belongs to another session, which may be alive.
                        false => s3.predecessors.retain(|other| *other != id),
                    }
                }
                may_claim
            })
            .await?;
        match changed {
            Err(root) if !root.value.is_open() => Err(Self::not_open(&root.value)),
            Ok(_) | Err(_) => self.settle_claim().await,
        }
    }

    /// Finishes the claim in the root, if there is one: hands the store upload over, or drops the
    /// claim. May be done by several gateways at once.
    pub(in crate::upload) async fn settle_claim(&self) -> Result<()> {
        self.settle_claim_as(false).await
    }

    /// As `settle_claim`; `abandoned`: the session was found so, and this write does not make it
    /// look alive.
    async fn settle_claim_as(&self, abandoned: bool) -> Result<()> {
        let root = self.current_root().await?.value;
        let (Some(id), Some(uploads)) = (root.claim(), Uploads::of(self)) else { return Ok(()) };
        let predecessor = match uploads.find(&root.account, id).await? {
            Some(session) => session.hand_over(&uploads, &root.backup_id).await?,
            None => None,
        };
        let changed = self
            .change_root(|root| {
                let is_claimed = root.claim() == Some(id);
                root.end_claim(id, predecessor.as_deref());
                if let Some(s3) = root.s3.as_mut().filter(|_| abandoned) {
                    s3.client_disconnected = true;
                }
                is_claimed
            })
            .await?;
        let Some(predecessor) = predecessor else { return Ok(()) };
        uploads.documents().delete(&predecessor.index_entry()).await?;
        if changed.is_ok() {
            tracing::info!(
                backup = root.backup_id.as_str(),
                predecessor = id.as_str(),
                "an upload adopts an abandoned one"
            );
        }
        if let Err(error) = self.abort_spare(&self.root()).await {
            tracing::debug!(backup = root.backup_id.as_str(), %error, "the store upload that an adoption replaced is left for the end of its session");
        }
        Ok(())
    }

    /// Hands the store upload to `successor`, if the session is abandoned. None: it is not, or
    /// another successor was first.
    async fn hand_over(
        &self,
        uploads: &Uploads,
        successor: &BackupId,
    ) -> Result<Option<Arc<Root>>> {
        let judged = match self.current_root().await {
            Ok(root) => root.value,
            Err(Error::NoSuchBackup(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        if judged.is_superseded_by(successor) {
            return Ok(Some(judged));
        }
        let is_abandoned = uploads.is_abandoned(&judged).await?;
        if !judged.status.is_indexed_open() {
            return Ok(None);
        }
        let changed = self
            .change_root(|root| {
                let is_denied = root.denies(successor);
                if is_abandoned {
                    let is_unchanged =
                        root.status == judged.status && root.use_count() == judged.use_count();
                    let alias = root.is_open() && !root.is_given_up();
                    root.status = Status::Superseded { by: successor.clone(), alias };
                    return is_unchanged && !is_denied;
                }
                // Another gateway may judge otherwise a moment later, after the claim was dropped.
                root.deny(successor);
                root.status.is_indexed_open() && !is_denied
            })
            .await;
        match changed {
            Ok(Ok(now)) if is_abandoned => Ok(Some(now.value)),
            Ok(Ok(_)) => Ok(None),
            Ok(Err(now)) if now.value.is_superseded_by(successor) => Ok(Some(now.value)),
            Ok(Err(now)) if now.value.denies(successor) => Ok(None),
            // It was used or ended meanwhile: judge it again.
            Ok(Err(_)) => Box::pin(self.hand_over(uploads, successor)).await,
            // It was ended and removed meanwhile.
            Err(Error::NoSuchBackup(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Aborts the store upload that the session had before it took over another one.
    pub(in crate::upload) async fn abort_spare(&self, root: &Root) -> Result<()> {
        let Some(spare) = root.s3.as_ref().and_then(|s3| s3.spare.as_ref()) else { return Ok(()) };
        let (bucket, key) = root.target();
        let target = UploadTarget { bucket: &bucket, key: &key, upload: spare };
        match self.0.shared.documents.store.abort(target).await {
            Ok(()) => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    store::Kind::NoSuchUpload | store::Kind::NoSuchBucket
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(Error::own("aborting a store upload that is not used", error)),
        }
    }
}

impl Root {
    fn is_superseded_by(&self, successor: &BackupId) -> bool {
        matches!(&self.status, Status::Superseded { by, .. } if by == successor)
    }

    fn denies(&self, successor: &BackupId) -> bool {
        self.s3.as_ref().is_some_and(|s3| s3.denied.contains(successor))
    }

    fn deny(&mut self, successor: &BackupId) {
        let Some(s3) = &mut self.s3 else { return };
        s3.denied.insert(0, successor.clone());
        s3.denied.truncate(MAX_CANDIDATES);
    }

    /// What changes when the session is used.
    fn use_count(&self) -> Option<(u64, bool)> {
        self.s3.as_ref().map(|s3| (s3.heartbeats, s3.client_disconnected))
    }

    /// Ends the claim of `id`: with the store upload of the predecessor, where it was handed over.
    fn end_claim(&mut self, id: &BackupId, predecessor: Option<&Root>) {
        let Some(s3) = &mut self.s3 else { return };
        s3.claim = None;
        let Some(predecessor) = predecessor else {
            s3.predecessors.retain(|other| other != id);
            return;
        };
        s3.predecessors.clear();
        s3.candidates = std::iter::once(id.clone())
            .chain(predecessor.s3.iter().flat_map(|s3| s3.candidates.clone()))
            .take(MAX_CANDIDATES)
            .collect();
        let own = std::mem::replace(&mut self.destination, predecessor.destination.clone());
        if let Destination::Parts(upload) = own {
            s3.spare = Some(upload);
        }
        self.upload_tag.clone_from(&predecessor.upload_tag);
    }
}

/// Whether two sessions were created with the same headers.
fn has_same_terms(one: &Root, other: &Root) -> bool {
    let are_same = |(one, other): (&S3Terms, &S3Terms)| {
        one.headers == other.headers && one.checksum == other.checksum && one.tags == other.tags
    };
    one.s3.as_ref().zip(other.s3.as_ref()).is_some_and(are_same)
        && one.content_type == other.content_type
        && one.metadata == other.metadata
}
