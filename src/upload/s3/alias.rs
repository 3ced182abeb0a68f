//! Aliases: the client of a superseded upload goes on, in the store upload of the successor.
//!
//! Guarantees: a part of an alias is acknowledged only while no successor has recorded other bytes
//! for its number, and never replaces a part of one; once an upload is complete, its aliases are
//! acknowledged exactly the parts that the object is made of. Each session records what its own
//! client was told. It does not store bytes: `chunk` does. Source: docs/architecture.md#aliases.

use super::super::chunk::Way;
use super::super::error::{Error, Result};
use super::super::manifest::{Change, Outcome, Record, Root, Status};
use super::super::plan::{self, ChunkIndex};
use super::super::session::Session;
use super::super::uploads::Uploads;
use super::entries::{PartClaim, PartEntry};
use super::parts::PartAdmission;
use crate::digest::Sha256;

/// How many successors of a superseded session are followed.
const MAX_SUCCESSORS: usize = 64;

/// What becomes of the parts that the client of a session sends.
pub(in crate::upload) enum Standing {
    /// The session's own store upload takes them.
    Own,
    /// The store upload of the last of these successors takes them; the nearest is the first.
    Alias(Vec<Session>),
    /// The object is there, made of the parts that this session has recorded.
    Finished(Session),
}

impl Session {
    /// What becomes of the parts that the session's client sends. **Errors**: `NotOpen`, `Busy`.
    pub(in crate::upload) async fn standing(&self, root: &Root) -> Result<Standing> {
        match &root.status {
            Status::InProgress => Ok(Standing::Own),
            Status::Superseded { alias: true, .. } => self.standing_of_alias(root).await,
            Status::Complete { of: Some(maker), .. } => {
                let maker = match Uploads::of(self) {
                    Some(uploads) => uploads.find(&root.account, maker).await?,
                    None => None,
                };
                maker.map(Standing::Finished).ok_or_else(|| Self::not_open(root))
            }
            Status::Finalizing { .. }
            | Status::Complete { .. }
            | Status::Aborted { .. }
            | Status::Superseded { .. } => Err(Self::not_open(root)),
        }
    }

    async fn standing_of_alias(&self, root: &Root) -> Result<Standing> {
        let successors = self.successors(root).await?;
        let owner = successors.last().ok_or_else(|| Self::not_open(root))?;
        let maker = match &owner.root().status {
            Status::InProgress => return Ok(Standing::Alias(successors)),
            Status::Finalizing { .. } => return Err(Error::Busy(root.backup_id.clone())),
            Status::Complete { of: None, .. } => owner.clone(),
            Status::Complete { of: Some(maker), .. } if *maker != root.backup_id => {
                let uploads = Uploads::of(self).ok_or_else(|| Self::not_open(root))?;
                uploads.open(&root.account, maker).await?
            }
            // The client has completed it.
            Status::Complete { .. } | Status::Aborted { .. } | Status::Superseded { .. } => {
                return Err(Self::not_open(root));
            }
        };
        Ok(Standing::Finished(maker))
    }

    /// The sessions that a superseded one was handed over to, one after the other; the last one
    /// owns the store upload. Empty where one of them is gone.
    pub(in crate::upload) async fn successors(&self, root: &Root) -> Result<Vec<Self>> {
        let Some(uploads) = Uploads::of(self) else { return Ok(Vec::new()) };
        let (mut found, mut status) = (Vec::new(), root.status.clone());
        while let Status::Superseded { by, .. } = status {
            let next = uploads.find(&root.account, &by).await?;
            let Some(next) = next.filter(|_| found.len() < MAX_SUCCESSORS) else {
                return Ok(Vec::new());
            };
            status = next.root().status.clone();
            found.push(next);
        }
        Ok(found)
    }

    /// What the newest record of a successor of an alias says, read from the store: its bytes must
    /// not be replaced.
    pub(in crate::upload) async fn record_of_successors(
        &self,
        index: ChunkIndex,
    ) -> Result<Option<Record>> {
        newest_current_record(&self.successors(&self.root()).await?, index).await
    }

    /// Decides whether the body of a part of an alias is needed.
    pub(in crate::upload) async fn admit_alias_part(
        &self,
        successors: &[Self],
        index: ChunkIndex,
        claim: &PartClaim,
    ) -> Result<PartAdmission> {
        let newest = newest_record(successors, index).await?;
        let known = match newest {
            Some(record) if claim.is_known(&record, &self.root()) => Some(record),
            Some(record) if claim.is_of_other_bytes(&record) => {
                self.part_ways().await?;
                return Err(Self::not_open(&self.root()));
            }
            Some(_) => None,
            None => {
                let segment = self.segment(plan::segment_of(index)).await?;
                let is_known = |record: &&Record| claim.is_known(record, &self.root());
                segment.stored(index).filter(is_known).cloned()
            }
        };
        let owner = successors.last().ok_or_else(|| Self::not_open(&self.root()))?;
        match known {
            Some(record) => Ok(PartAdmission::Known(self.acknowledge(index, &record).await?)),
            None => {
                let permit = owner
                    .permit(index, claim.sha256, claim.len_bytes)
                    .with_checksum_of_client(claim.algorithm);
                Ok(PartAdmission::Wanted(permit.by(Way::Alias(self.clone()))))
            }
        }
    }

    /// Decides about a part of a session whose object was made of the parts of `maker`.
    pub(in crate::upload) async fn admit_finished_part(
        &self,
        maker: &Self,
        index: ChunkIndex,
        claim: &PartClaim,
    ) -> Result<PartAdmission> {
        let segment = maker.segment(plan::segment_of(index)).await?;
        match segment.stored(index) {
            Some(record) if claim.is_known(record, &self.root()) => {
                Ok(PartAdmission::Known(self.acknowledge(index, record).await?))
            }
            Some(record) if !claim.is_of_other_bytes(record) => {
                let permit = self
                    .permit(index, claim.sha256, claim.len_bytes)
                    .with_checksum_of_client(claim.algorithm);
                Ok(PartAdmission::Wanted(permit.by(Way::Compare(maker.clone()))))
            }
            Some(_) | None => Err(final_refusal(&self.root())),
        }
    }

    /// Records a part whose bytes another session of the same store upload has recorded.
    pub(in crate::upload) async fn acknowledge(
        &self,
        index: ChunkIndex,
        record: &Record,
    ) -> Result<PartEntry> {
        let (digests, part) = (record.digests.clone(), record.part.clone());
        let change = match record.etags.first().cloned() {
            Some(etag) if record.unhashed => {
                Change::Unhashed { index, digests, etag, part, replaces: None }
            }
            etag => Change::Chunk { index, digests, etag, known: true, part, replaces: None },
        };
        match self.commit(plan::segment_of(index), change).await? {
            Outcome::Recorded | Outcome::Replaced | Outcome::Known => {
                Ok(PartEntry::new(index, record))
            }
            Outcome::Conflict { stored } => Err(Error::ChecksumConflict {
                index: u64::from(index),
                stored,
                offered: record.digests.sha256,
            }),
        }
    }

    /// After a part was recorded: whether it counts, where the session is not open itself any more.
    /// **Errors**: `NotOpen`, `Busy`.
    pub(in crate::upload) async fn require_agreement(
        &self,
        index: ChunkIndex,
        sha256: Sha256,
    ) -> Result<()> {
        let root = self.root();
        let other = match self.standing(&root).await? {
            Standing::Own => return Ok(()),
            Standing::Alias(successors) => {
                let owner = successors.last().ok_or_else(|| Self::not_open(&root))?;
                let newest = newest_current_record(&successors, index).await?;
                let owner_root = owner.current_root().await?.value;
                if !owner_root.is_open() {
                    return Err(Error::Busy(root.backup_id.clone()));
                }
                newest.is_some_and(|record| record.digests.sha256 != sha256)
            }
            Standing::Finished(maker) => {
                let segment = maker.segment(plan::segment_of(index)).await?;
                segment.stored(index).is_none_or(|record| record.digests.sha256 != sha256)
            }
        };
        if !other {
            return Ok(());
        }
        self.part_ways().await?;
        Err(final_refusal(&self.root()))
    }

    /// Ends the alias: its client sends other bytes than a successor, or gave up.
    pub(in crate::upload) async fn part_ways(&self) -> Result<()> {
        let changed = self.change_root(|root| match &mut root.status {
            Status::Superseded { alias, .. } => std::mem::take(alias),
            Status::Complete { of, .. } => of.take().is_some(),
            Status::InProgress | Status::Finalizing { .. } | Status::Aborted { .. } => false,
        });
        // Refused: it is none.
        changed.await.map(drop)
    }

    /// Before the successor of an alias stores a part: aliases that recorded other bytes end.
    pub(in crate::upload) async fn part_from_aliases(
        &self,
        index: ChunkIndex,
        sha256: Sha256,
    ) -> Result<()> {
        let root = self.root();
        let Some(uploads) = Uploads::of(self) else { return Ok(()) };
        for id in root.s3.iter().flat_map(|s3| &s3.candidates) {
            let Some(session) = uploads.find(&root.account, id).await? else { continue };
            if !matches!(session.root().status, Status::Superseded { alias: true, .. }) {
                continue;
            }
            let segment = session.segment(plan::segment_of(index)).await?;
            if segment.stored(index).is_some_and(|record| record.digests.sha256 != sha256) {
                session.part_ways().await?;
            }
        }
        Ok(())
    }

    /// Whether a predecessor's client may still go on in this session's store upload.
    pub(in crate::upload) async fn has_alias(&self, root: &Root) -> Result<bool> {
        let Some(uploads) = Uploads::of(self) else { return Ok(false) };
        for id in root.s3.iter().flat_map(|s3| &s3.candidates) {
            let session = uploads.find(&root.account, id).await?;
            let is_alias = |session: Self| {
                matches!(session.root().status, Status::Superseded { alias: true, .. })
            };
            if session.is_some_and(is_alias) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The refusal of a client whose bytes are not those of the object.
pub(super) fn final_refusal(root: &Root) -> Error {
    Error::NotOpen { id: root.backup_id.clone(), status: root.status.word().to_owned() }
}

/// The record that says what the store holds: that of the last successor that has one.
async fn newest_record(successors: &[Session], index: ChunkIndex) -> Result<Option<Record>> {
    for session in successors.iter().rev() {
        let segment = session.segment(plan::segment_of(index)).await?;
        if let Some(record) = segment.stored(index) {
            return Ok(Some(record.clone()));
        }
    }
    Ok(None)
}

/// As `newest_record`, from the store.
async fn newest_current_record(
    successors: &[Session],
    index: ChunkIndex,
) -> Result<Option<Record>> {
    for session in successors.iter().rev() {
        session.current_segment(plan::segment_of(index)).await?;
    }
    newest_record(successors, index).await
}
