//! Recording chunks: the changes of a session's segments, by group commit.
//!
//! Guarantees: `Recorded` and `Known` are returned for a chunk only after its record is durable and
//! the root, read after that, says that the session is open
//! (docs/architecture.md#root-check-before-the-answer). The rest is `records`'s group commit: one
//! write in flight per segment and gateway, queued changes that outlive their callers.
//! **Errors**: `NotOpen`; `StoreUnavailable` if the change may or may not be recorded. It does not
//! know what the changes mean: `manifest` does.

use std::sync::Arc;
use std::time::Duration;

use crate::names::Key;
use crate::records::{self, Applied, Documents, GroupCommit, GroupOwner, Snapshot};

use super::super::error::{Error, Result};
use super::super::manifest::{Change, Outcome, Root, Segment, Status};
use super::Session;

impl Session {
    /// Records one change of a segment. **Cancel**: once polled, the change goes on without its
    /// caller.
    pub(in crate::upload) async fn commit(&self, segment: u32, change: Change) -> Result<Outcome> {
        records::commit(self, segment, change).await
    }

    /// The root, read again; None if no change depends on it.
    async fn root_after(&self, changes: &[Change]) -> Result<Option<Arc<Root>>> {
        if !changes.iter().any(Change::needs_open) {
            return Ok(None);
        }
        Ok(Some(self.current_root().await?.value))
    }
}

impl GroupOwner for Session {
    type Id = u32;
    type Document = Segment;
    type Change = Change;
    type Outcome = Outcome;
    type Error = Error;

    fn group_commit(&self) -> &GroupCommit<Self> {
        &self.0.group_commit
    }

    fn documents(&self) -> &Documents {
        &self.0.shared.documents
    }

    fn key(&self, segment: u32) -> Key {
        self.0.layout.segment(segment)
    }

    fn apply(&self, segment: &mut Segment, change: &Change) -> Applied<Outcome> {
        match segment.apply(change, self.root().policy) {
            outcome @ (Outcome::Recorded | Outcome::Replaced) => Applied::Changed(outcome),
            outcome @ (Outcome::Known | Outcome::Conflict { .. }) => Applied::Unchanged(outcome),
        }
    }

    fn share_error(error: &Error) -> Error {
        error.for_batch()
    }

    fn known(&self, segment: u32) -> Option<Snapshot<Segment>> {
        self.known_segment(segment)
    }

    async fn read(&self, segment: u32) -> Result<Option<Snapshot<Segment>>> {
        self.current_segment(segment).await
    }

    fn observe(&self, segment: u32, found: Option<Snapshot<Segment>>, asked_at: Duration) {
        self.cache_segment(segment, found, asked_at);
    }

    /// Most chunks of the segment that are in flight are not queued yet.
    fn expects_more(&self, segment: u32, waiting: usize) -> bool {
        waiting * 2 < self.0.in_flight.count_of_segment(segment)
    }

    async fn confirm(
        &self,
        changes: &[Change],
        results: Vec<Result<Outcome>>,
    ) -> Vec<Result<Outcome>> {
        let root = self.root_after(changes).await;
        let confirm = |change: &Change, outcome: Outcome| match &root {
            Err(error) if change.needs_open() => Err(error.for_batch()),
            Ok(Some(root)) if change.needs_open() && !outcome.counts(&root.status) => {
                Err(Self::refused(root))
            }
            Ok(_) | Err(_) => Ok(outcome),
        };
        let confirmed = changes.iter().zip(results);
        confirmed
            .map(|(change, result)| result.and_then(|outcome| confirm(change, outcome)))
            .collect()
    }
}

impl Change {
    /// Whether the change may be acknowledged only while the session is open: a chunk may not be
    /// acknowledged later; groups and invalidations belong to finalize itself.
    fn needs_open(&self) -> bool {
        match self {
            Self::Chunk { .. } | Self::Unhashed { .. } | Self::BeginReplace { .. } => true,
            Self::Group { .. }
            | Self::EndReplace { .. }
            | Self::InvalidateChunk { .. }
            | Self::InvalidateGroup { .. } => false,
        }
    }
}

impl Outcome {
    /// Whether it may be acknowledged with this status, read after it was recorded.
    fn counts(&self, status: &Status) -> bool {
        match self {
            Self::Recorded | Self::Known => status.takes_records(),
            // The finalize waits for the put.
            Self::Replaced => status.takes_records() || matches!(status, Status::Finalizing { .. }),
            Self::Conflict { .. } => true,
        }
    }
}
