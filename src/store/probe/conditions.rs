//! Which conditions of clients a store decides together with the change.
//!
//! Guarantees: a condition that is passed over once, or that two writers win at once, counts as not
//! decided; the gateway then refuses it. Source: docs/backends.md#the-start-up-probe.

use std::time::SystemTime;

use futures_util::future::join_all;

use super::super::{
    Attributes, Body, ChosenPart, Completion, DeleteConditions, DeleteOptions, Deleted, ETag,
    Error, Key, Kind, PartNumber, PartTarget, PutMode, Result, TagCondition, UploadId,
    UploadTarget,
};
use super::{Check, Outcome, Probe, WRITERS, text};
use crate::digest::Sha256;

/// A server whose Completes are not atomic may happen to do those of one race one after the other.
const RACES: usize = 5;

/// The checks that decide which conditions of clients are passed to the store.
pub(super) const DELETE_BY_TAG: &str = "If-Match decides a deletion";
pub(super) const DELETE_BY_TIME: &str = "x-amz-if-match-last-modified-time decides a deletion";
pub(super) const DELETE_BY_SIZE: &str = "x-amz-if-match-size decides a deletion";
pub(super) const CONDITIONAL_COMPLETE: &str = "of Completes under a condition one wins";

/// The conditions of changes that a store decides together with the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decides {
    /// `If-Match` on a deletion.
    pub delete_by_tag: bool,
    /// `x-amz-if-match-last-modified-time`.
    pub delete_by_time: bool,
    /// `x-amz-if-match-size`.
    pub delete_by_size: bool,
    /// `If-Match` and `If-None-Match` on CompleteMultipartUpload.
    pub complete: bool,
}

impl Decides {
    /// As the embedded store does.
    pub const ALL: Self =
        Self { delete_by_tag: true, delete_by_time: true, delete_by_size: true, complete: true };

    /// What a probe found.
    pub fn found(checks: &[Check]) -> Self {
        let passed = |name| checks.iter().all(|check| check.passed || check.name != name);
        Self {
            delete_by_tag: passed(DELETE_BY_TAG),
            delete_by_time: passed(DELETE_BY_TIME),
            delete_by_size: passed(DELETE_BY_SIZE),
            complete: passed(CONDITIONAL_COMPLETE),
        }
    }
}

/// A condition on a time at which no object of the probe was modified.
pub(super) fn by_time() -> DeleteConditions {
    DeleteConditions { modified: Some(SystemTime::UNIX_EPOCH), ..DeleteConditions::default() }
}

/// A condition on a size that no object of the probe has.
pub(super) fn by_size() -> DeleteConditions {
    DeleteConditions { size_bytes: Some(999), ..DeleteConditions::default() }
}

fn by_tag(if_match: TagCondition) -> DeleteConditions {
    DeleteConditions { if_match: Some(if_match), ..DeleteConditions::default() }
}

/// An ETag that no object of the probe has.
fn other_tag() -> ETag {
    ETag::from("00000000000000000000000000000000")
}

impl Probe {
    pub(super) async fn delete(&self, name: &str, conditions: DeleteConditions) -> Result<Deleted> {
        let options = DeleteOptions { conditions, ..DeleteOptions::default() };
        self.store.delete(&self.bucket, &self.key(name), &options).await
    }

    /// Whether a deletion under a condition that does not hold is refused, and deletes nothing.
    pub(super) async fn delete_by(&self, conditions: DeleteConditions) -> Outcome {
        self.put("deleted", "1", PutMode::Overwrite).await.map_err(text)?;
        match self.delete("deleted", conditions).await {
            Ok(_) => Err("the condition is passed over".to_owned()),
            Err(error) if error.kind() == Kind::Precondition => {
                self.read("deleted").await.map(|_| String::new()).map_err(text)
            }
            Err(error) => Err(text(error)),
        }
    }

    pub(super) async fn delete_by_tag(&self) -> Outcome {
        self.delete_by(by_tag(TagCondition::Tag(other_tag()))).await?;
        self.delete("deleted", by_tag(TagCondition::Any)).await.map_err(text)?;
        match self.delete("deleted", by_tag(TagCondition::Any)).await {
            Ok(_) => Err("an object that is not there counts as one".to_owned()),
            Err(error) if matches!(error.kind(), Kind::Precondition | Kind::NotFound) => {
                Ok(String::new())
            }
            Err(error) => Err(text(error)),
        }
    }

    /// Races of Completes that create an object, and that replace it.
    pub(super) async fn conditional_complete(&self) -> Outcome {
        for round in 0..RACES {
            let mode = match round {
                0 => PutMode::CreateOnly,
                _ => PutMode::IfMatch(self.read("raced").await.map_err(text)?.0),
            };
            // Other bytes for each: an ETag that matches is one of the object before the race.
            let prepared = (0..WRITERS).map(|writer| self.prepared(format!("{round} {writer}")));
            let prepared = join_all(prepared).await.into_iter().collect::<Result<Vec<_>>>();
            let prepared = prepared.map_err(text)?;
            let racers = prepared.iter().map(|upload| self.complete_if(upload, mode.clone()));
            let outcomes = join_all(racers).await.into_iter().collect::<Result<Vec<bool>>>();
            let winners = outcomes.map_err(text)?.into_iter().filter(|won| *won).count();
            if winners != 1 {
                return Err(format!("{winners} of {WRITERS} won"));
            }
        }
        let late = self.prepared("late".to_owned()).await.map_err(text)?;
        let wrong = self.complete_if(&late, PutMode::IfMatch(other_tag())).await;
        if wrong.map_err(text)? {
            return Err("another ETag is accepted".to_owned());
        }
        Ok(format!("{WRITERS} at once"))
    }

    /// An upload that has its only part.
    async fn prepared(&self, bytes: String) -> Result<Prepared> {
        let key = self.key("raced");
        let upload = self.store.create_upload(&self.bucket, &key, &Attributes::default()).await?;
        let target = UploadTarget { bucket: &self.bucket, key: &key, upload: &upload };
        let number =
            PartNumber::new(1).ok_or_else(|| Error::new(Kind::Invalid, "no part number"))?;
        let (sha256, size_bytes) = (Some(Sha256::of(bytes.as_bytes())), bytes.len() as u64);
        let part = PartTarget { upload: target, number };
        let body = Body::from(bytes.into_bytes());
        let written = self.store.put_part(part, body, sha256.into()).await?;
        let part = ChosenPart { number, etag: written.etag, sha256 };
        Ok(Prepared { key, upload, part, size_bytes })
    }

    /// Whether an upload was completed under this condition; if not, it is aborted.
    async fn complete_if(&self, prepared: &Prepared, mode: PutMode) -> Result<bool> {
        let Prepared { key, upload, part, size_bytes } = prepared;
        let target = UploadTarget { bucket: &self.bucket, key, upload };
        let completion = Completion { size_bytes: *size_bytes, mode };
        let parts = std::slice::from_ref(part);
        match self.store.complete(target, parts, &completion).await {
            Ok(_) => Ok(true),
            Err(error)
                if matches!(
                    error.kind(),
                    Kind::Precondition | Kind::Conflict | Kind::NotFound | Kind::SlowDown
                ) =>
            {
                self.store.abort(target).await.ok();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// An upload with one part, ready to be completed.
struct Prepared {
    key: Key,
    upload: UploadId,
    part: ChosenPart,
    size_bytes: u64,
}
