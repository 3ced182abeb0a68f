//! What is decided about a part between its verification and the last frame that makes it durable.
//!
//! Guarantees: new bytes replace a recorded part only after the record says so and the root, read
//! after that, says `in_progress`; finalize reads the records after it changed the root, and waits
//! for such puts, so no part of an upload that is being finalized is replaced. Bytes that are
//! recorded already are not stored again. A part without a record costs at most one conditional
//! read here. Source:
//! docs/architecture.md#replaced-parts, docs/architecture.md#aliases.

use std::sync::{Arc, Mutex};

use futures_util::StreamExt;

use crate::digest::{Checksum, ChecksumHasher, PassedSha256, RunningSha256, Sha256};
use crate::store::{Body, BodyError};

use super::super::error::{Error, Result};
use super::super::manifest::{Change, Outcome, Policy, Record};
use super::super::plan::{self, ChunkIndex};
use super::super::session::{Session, lock};
use super::body::interrupted;
use super::receive::{PutOutcome, PutPermit, Stored};

/// Where the bytes of a part go.
#[derive(Clone, Debug)]
pub(in crate::upload) enum Way {
    /// Into the session's own store upload.
    Own,
    /// Into that of the session, for this alias of it, which records them.
    Alias(Session),
    /// Nowhere: they are compared with the records of the session whose parts the object is made
    /// of.
    Compare(Session),
}

impl Way {
    /// What the client of an alias is told where the owner of the store upload ended meanwhile: to
    /// try again, as what that one has become decides then.
    pub(super) fn error_of_client(&self, error: Error) -> Error {
        match (self, error) {
            (Self::Alias(alias), Error::NotOpen { id, .. }) if id != alias.root().backup_id => {
                Error::Busy(alias.root().backup_id.clone())
            }
            (Self::Own | Self::Alias(_) | Self::Compare(_), error) => error,
        }
    }
}

/// What becomes of the last frame.
pub(super) enum Passage {
    /// It goes on, perhaps over a recorded part.
    Store(Option<Announced>),
    /// The bytes are recorded already.
    Known(Box<Record>),
}

/// The announcement of a put that it replaces a recorded part. It is taken back where the put ends
/// without doing so.
pub(super) struct Announced {
    session: Session,
    index: ChunkIndex,
    /// None once the new bytes are recorded.
    id: Option<String>,
}

impl Announced {
    pub fn id(&self) -> String {
        self.id.clone().unwrap_or_default()
    }

    /// The new bytes are recorded.
    pub fn settle(mut self) {
        self.id = None;
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let (session, index) = (self.session.clone(), self.index);
        tokio::spawn(async move {
            let change = Change::EndReplace { index, id };
            if let Err(error) = session.commit(plan::segment_of(index), change).await {
                // A finalize waits for it until its time limit.
                tracing::debug!(backup = session.root().backup_id.as_str(), %error, "the announcement of a put that failed is left in its record");
            }
        });
    }
}

/// What was decided about the last frame of a body, once it is reached.
#[derive(Clone, Default)]
pub(super) struct Decision(Arc<Mutex<Option<Result<Passage>>>>);

impl Decision {
    pub async fn decide(
        self,
        session: Session,
        way: Way,
        index: ChunkIndex,
        sha256: PassedSha256,
    ) -> std::result::Result<(), BodyError> {
        let sha256 = sha256.get().ok_or("the bytes are not verified")?;
        let decided = session.before_last_frame(&way, index, sha256).await;
        let refused = !matches!(decided, Ok(Passage::Store(_)));
        *lock(&self.0) = Some(decided);
        if refused { Err("the bytes are not to be stored".into()) } else { Ok(()) }
    }

    pub fn take(&self) -> Option<Result<Passage>> {
        lock(&self.0).take()
    }
}

impl Session {
    /// Decides about verified bytes for the session's store upload. **Errors**: `NotOpen`, `Busy`,
    /// `ChecksumConflict`.
    pub(super) async fn before_last_frame(
        &self,
        way: &Way,
        index: ChunkIndex,
        sha256: Sha256,
    ) -> Result<Passage> {
        let recorded = match way {
            Way::Own => self.segment(plan::segment_of(index)).await?.stored(index).cloned(),
            Way::Alias(alias) => alias.record_of_successors(index).await?,
            Way::Compare(_) => return Ok(Passage::Store(None)),
        };
        if let Some(record) = recorded.as_ref().filter(|record| record.digests.sha256 == sha256) {
            return Ok(Passage::Known(Box::new(record.clone())));
        }
        match way {
            Way::Alias(alias) if recorded.is_some() => {
                alias.part_ways().await?;
                return Err(Self::not_open(&alias.root()));
            }
            Way::Alias(_) | Way::Compare(_) => return Ok(Passage::Store(None)),
            Way::Own => self.part_from_aliases(index, sha256).await?,
        }
        match recorded {
            None => Ok(Passage::Store(None)),
            Some(record) if self.root().policy == Policy::FirstWins => {
                let (index, stored) = (u64::from(index), record.digests.sha256);
                Err(Error::ChecksumConflict { index, stored, offered: sha256 })
            }
            Some(_) => self.announce(index).await.map(Passage::Store),
        }
    }

    /// Announces that the bytes of a recorded part are about to be replaced. None: there is no such
    /// record any more.
    pub(super) async fn announce(&self, index: ChunkIndex) -> Result<Option<Announced>> {
        let id = self.0.shared.documents.clock.random_id();
        let change = Change::BeginReplace { index, id: id.clone() };
        // Before the commit: an announcement that is refused may have been recorded all the same.
        let announced = Announced { session: self.clone(), index, id: Some(id) };
        match self.commit(plan::segment_of(index), change).await? {
            Outcome::Recorded => Ok(Some(announced)),
            Outcome::Replaced | Outcome::Known | Outcome::Conflict { .. } => {
                announced.settle();
                Ok(None)
            }
        }
    }
}

impl PutPermit {
    /// Reads the bytes of a part whose object is there, and compares them with what it is made of.
    pub(super) async fn compare(
        &self,
        maker: &Session,
        body: Body,
        checksum: impl FnOnce() -> Option<Checksum> + Send,
    ) -> Result<PutOutcome> {
        let segment = maker.segment(plan::segment_of(self.index)).await?;
        let refused = || Session::not_open(&self.session.root());
        let record = segment.stored(self.index).ok_or_else(refused)?;
        let (sha256, computed) = self.read_unstored(body).await?;
        if sha256 != record.digests.sha256 {
            return Err(refused());
        }
        let mut part = self.facts(checksum(), &computed);
        part.extend(&record.part);
        let record = Record { part, ..record.clone() };
        let etag = self.session.acknowledge(self.index, &record).await?.etag;
        Ok(PutOutcome {
            stored: Stored::Known,
            sha256,
            etag: Some(etag),
            checksum: computed,
            record: None,
        })
    }

    /// Reads a body that is not stored to its end. Returns its SHA-256, and its checksum if one is
    /// computed.
    pub(super) async fn read_unstored(&self, mut body: Body) -> Result<(Sha256, Option<Checksum>)> {
        let mut running = RunningSha256::default();
        let mut summed = self.checksum.map(ChecksumHasher::new);
        while let Some(frame) = body.next().await {
            let frame = frame.map_err(|cause| interrupted(self.index, cause))?;
            running.update(&frame);
            summed.iter_mut().for_each(|checksum| checksum.update(&frame));
        }
        Ok((running.finish(), summed.map(ChecksumHasher::finish)))
    }
}
