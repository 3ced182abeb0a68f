//! Complete of an S3 upload, and its repetition.
//!
//! Guarantees: Complete takes exactly the parts that its client lists, and only as they are
//! recorded; repeated, it succeeds only with the parts that made the object, with what is true of
//! them, and with the condition that the object was made with. Source:
//! docs/architecture.md#complete-takes-the-listed-parts, docs/architecture.md#aliases,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use super::super::error::{Error, Result};
use super::super::manifest::{Checks, Finished, Root, Status, TargetCondition};
use super::super::plan::{ChunkRange, Shape};
use super::super::session::Session;
use super::alias::final_refusal;
use super::complete_checks::ObjectClaim;
use super::entries::ChosenEntry;
use crate::digest::{Expected, Kind as DigestKind, RunningSha256};

impl Session {
    /// As `complete_claimed`, with nothing stated and without a condition.
    pub async fn complete_parts(&self, chosen: &[ChosenEntry]) -> Result<Finished> {
        self.complete_claimed(chosen, &ObjectClaim::default(), None).await
    }

    /// Makes the object of the parts that its client lists, ascending, if the object at the target
    /// is as the condition demands. Before anything changes, what the client states of the object
    /// is compared with the records. **Errors**: `InvalidPart`, `PartTooSmall`, `ConditionFailed`
    /// (the upload stays open), those of `ObjectClaim::check` and of `finalize`.
    pub async fn complete_claimed(
        &self,
        chosen: &[ChosenEntry],
        claim: &ObjectClaim,
        condition: Option<TargetCondition>,
    ) -> Result<Finished> {
        let root = self.current_root().await?.value;
        if let Status::Complete { .. } | Status::Superseded { .. } = &root.status {
            return self.complete_again(&root, chosen, claim, condition).await;
        }
        let content = self.chosen_content(chosen, claim).await?;
        if root.plan.shape == Shape::Chunks {
            // All chunks of the plan are parts of the object.
            return self.finalize_as(Checks { condition, ..Checks::default() }).await;
        }
        let invalid = |number: u16| Error::InvalidPart { id: root.backup_id.clone(), number };
        let parts = Some(chosen.iter().map(|entry| entry.number.get()).collect());
        // With the digest, because by number alone a part that is put again before the root says
        // `finalizing` would be accepted.
        match self.finalize_as(Checks { expected: content, parts, condition, of: None }).await {
            Err(Error::Incomplete { missing }) => Err(invalid(first_of(&missing))),
            Err(Error::DigestMismatch { .. }) => {
                self.chosen_content(chosen, claim).await?;
                Err(invalid(chosen.first().map_or(0, |entry| entry.number.get())))
            }
            other => other,
        }
    }

    /// As `complete_claimed`, where the object may be there already, or is to be made in the store
    /// upload of a successor.
    async fn complete_again(
        &self,
        root: &Root,
        chosen: &[ChosenEntry],
        claim: &ObjectClaim,
        condition: Option<TargetCondition>,
    ) -> Result<Finished> {
        let invalid = |number: u16| Error::InvalidPart { id: root.backup_id.clone(), number };
        let first = chosen.first().map_or(0, |entry| entry.number.get());
        let expected = self.chosen_content(chosen, claim).await?;
        let owner = match &root.status {
            Status::Superseded { .. } => {
                self.successors(root).await?.pop().ok_or_else(|| Self::not_open(root))?
            }
            Status::InProgress
            | Status::Finalizing { .. }
            | Status::Complete { .. }
            | Status::Aborted { .. } => self.clone(),
        };
        let owner_root = owner.current_root().await?.value;
        let parts = Some(chosen.iter().map(|entry| entry.number.get()).collect());
        let of = Some(root.backup_id.clone());
        let checks = Checks { expected, parts, condition, of };
        let finished = match &owner_root.status {
            Status::Complete { object, of, .. } => {
                if checks.expected.is_none() {
                    return Err(invalid(0));
                }
                // Its own client completed it with other parts, or an alias with other bytes.
                let own = of.is_none() && owner_root.backup_id == root.backup_id;
                owner.check_finished(object, &checks).map_err(|error| {
                    let is_content = matches!(error, Error::DigestMismatch { .. });
                    if own && is_content { invalid(first) } else { final_refusal(root) }
                })?
            }
            Status::InProgress
            | Status::Finalizing { .. }
            | Status::Aborted { .. }
            | Status::Superseded { .. } => {
                if !root.status.is_usable() {
                    return Err(Self::not_open(root));
                }
                match owner.finalize_as(checks).await {
                    Err(Error::Incomplete { missing }) => return Err(invalid(first_of(&missing))),
                    Err(Error::DigestMismatch { .. }) => return Err(invalid(first)),
                    // Meanwhile another session took it over, and owns the store upload now.
                    Err(Error::NotOpen { .. })
                        if matches!(owner.root().status, Status::Superseded { .. }) =>
                    {
                        return Err(Error::Busy(root.backup_id.clone()));
                    }
                    other => other?,
                }
            }
        };
        // The client is told: from now on the upload is as complete as any other.
        self.part_ways().await?;
        Ok(finished)
    }

    /// The digest over the parts that a client lists; None where it lists none. **Errors**:
    /// `InvalidPart` where a part is not as recorded, `PartTooSmall`.
    async fn chosen_content(
        &self,
        chosen: &[ChosenEntry],
        claim: &ObjectClaim,
    ) -> Result<Option<Expected>> {
        let entries = self.part_entries().await?;
        claim.check(&self.root(), chosen, &entries)?;
        let min_bytes = self.0.shared.documents.store.limits().min_part_bytes;
        let mut content = RunningSha256::default();
        for (at, listed) in chosen.iter().enumerate() {
            let number = listed.number.get();
            let found = entries
                .binary_search_by_key(&number, |entry| entry.number)
                .ok()
                .map(|found| &entries[found]);
            let invalid = || Error::InvalidPart { id: self.root().backup_id.clone(), number };
            let entry = found.filter(|entry| entry.etag == listed.etag).ok_or_else(invalid)?;
            if entry.size_bytes < min_bytes && at + 1 < chosen.len() {
                return Err(Error::PartTooSmall {
                    number,
                    size_bytes: entry.size_bytes,
                    least: min_bytes,
                });
            }
            content.update(&entry.sha256().0);
        }
        let content = Expected { kind: DigestKind::Sha256Chunks, hex: content.finish().hex() };
        Ok(Some(content).filter(|_| !chosen.is_empty()))
    }
}

/// The number of the first part of the missing ones.
fn first_of(missing: &[ChunkRange]) -> u16 {
    missing.first().map_or(0, |range| u16::try_from(range.first + 1).unwrap_or(u16::MAX))
}
