//! Group commit: all changes of a segment that arrive while one write is under way ride on the
//! next.
//!
//! Guarantees: one compare-and-swap in flight per segment and gateway; a change that was queued is
//! carried to its end even if everyone who waits for it goes away; `Recorded` and `Known` are
//! answered only after the record is durable and the root was seen open after it (DESIGN §12.1).
//! **Errors**: `NotOpen`; `StoreUnavailable` where it may or may not be recorded. It does not know
//! what the changes mean: `manifest` does.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::oneshot;

use super::super::documents::Swap;
use super::super::error::{Error, Result};
use super::super::manifest::{Change, Outcome, Segment};
use super::{Session, lock};

/// The most that a few changes wait for company.
const MAX_GATHERING: Duration = Duration::from_millis(50);

type Waiter = (Change, oneshot::Sender<Result<Outcome>>);

/// The changes that wait, by segment. A segment that is present has a task that writes it. Bounded
/// by the requests in flight: each of them waits for its one change.
#[derive(Default)]
pub(in crate::upload) struct Queues {
    waiting: Mutex<HashMap<u32, Vec<Waiter>>>,
    /// How long the last write took.
    took: Mutex<Duration>,
}

impl Session {
    /// Records one change of a segment. **Cancel**: once polled, the change goes on without its
    /// caller.
    pub(in crate::upload) async fn commit(&self, segment: u32, change: Change) -> Result<Outcome> {
        let (tell, told) = oneshot::channel();
        let idle = {
            let mut queues = lock(&self.0.queues.waiting);
            let idle = !queues.contains_key(&segment);
            queues.entry(segment).or_default().push((change, tell));
            idle
        };
        if idle {
            tokio::spawn(self.clone().write_segment(segment));
        }
        told.await.unwrap_or_else(|_| {
            let what = "the gateway stopped before the record was written".to_owned();
            Err(Error::Batch {
                kind: super::super::Kind::StoreUnavailable,
                what,
                retry_after: None,
            })
        })
    }

    async fn write_segment(self, number: u32) {
        loop {
            self.gather(number).await;
            let batch = {
                let mut queues = lock(&self.0.queues.waiting);
                match queues.get_mut(&number).filter(|waiting| !waiting.is_empty()) {
                    Some(waiting) => std::mem::take(waiting),
                    None => {
                        queues.remove(&number);
                        return;
                    }
                }
            };
            let (changes, waiters): (Vec<Change>, Vec<_>) = batch.into_iter().unzip();
            let begun = self.now();
            let written = self.write_batch(number, &changes).await;
            *lock(&self.0.queues.took) = self.now().saturating_sub(begun);
            let answers = match written {
                Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
                Err(error) => changes.iter().map(|_| Err(error.for_batch())).collect::<Vec<_>>(),
            };
            let open = self.seen_open_after(&changes).await;
            for ((change, waiter), answer) in changes.iter().zip(waiters).zip(answers) {
                let answer = match (&open, answer) {
                    (Err(error), Ok(Outcome::Recorded | Outcome::Known)) if change.needs_open() => {
                        Err(error.for_batch())
                    }
                    (_, answer) => answer,
                };
                // A caller that went away needs no answer; its change is recorded all the same.
                waiter.send(answer).ok();
            }
        }
    }

    /// Waits a little where few changes wait and many chunks are under way: left alone, chunks fall
    /// into ever smaller cohorts, and each of them costs a write. Less than a write's own time is
    /// lost, and only to those few.
    async fn gather(&self, number: u32) {
        let waiting = lock(&self.0.queues.waiting).get(&number).map_or(0, Vec::len);
        if waiting > 0 && waiting * 2 < self.0.in_flight.count_of_segment(number) {
            let pause = (*lock(&self.0.queues.took) / 2).min(MAX_GATHERING);
            self.0.shared.documents.clock.pause(pause).await;
        }
    }

    /// Applies the batch and writes the segment until it holds. Outcomes that wrote nothing are
    /// believed only if the segment they rest on was current after the batch was taken.
    async fn write_batch(&self, number: u32, changes: &[Change]) -> Result<Vec<Outcome>> {
        let policy = self.root().policy;
        let documents = &self.0.shared.documents;
        let key = self.0.layout.segment(number);
        let mut backoff = documents.backoff();
        let mut current = false;
        let mut doc = self.known_segment(number);
        loop {
            let mut next =
                doc.as_ref().map_or_else(Segment::default, |doc| Segment::clone(&doc.value));
            let outcomes: Vec<Outcome> =
                changes.iter().map(|change| next.apply(change, policy)).collect();
            if !outcomes.contains(&Outcome::Recorded) {
                if current {
                    return Ok(outcomes);
                }
                doc = self.current_segment(number).await?;
                current = true;
                continue;
            }
            next.stamp = next.stamp.next(&documents.clock.random_id());
            let asked_at = self.now();
            match documents.swap(&key, doc.as_ref(), next).await? {
                Swap::Won(won) => {
                    self.keep_segment(number, Some(won), asked_at);
                    return Ok(outcomes);
                }
                Swap::Lost(now) => {
                    self.keep_segment(number, now.clone(), asked_at);
                    (doc, current) = (now, true);
                }
            }
            let lost =
                crate::store::Error::new(crate::store::Kind::Conflict, "another writer was first");
            documents
                .pause(&mut backoff, Error::store(format!("changing the record {key}"), lost))
                .await?;
        }
    }

    /// Fails unless the root, read again, is open; not asked where no change depends on it.
    async fn seen_open_after(&self, changes: &[Change]) -> Result<()> {
        if !changes.iter().any(Change::needs_open) {
            return Ok(());
        }
        let root = self.current_root().await?.value;
        if root.is_open() { Ok(()) } else { Err(Self::not_open(&root)) }
    }
}

impl Change {
    /// A chunk may be acknowledged only while the session is open; parts and strikes belong to
    /// finalize itself.
    fn needs_open(&self) -> bool {
        match self {
            Self::Chunk { .. } => true,
            Self::Group { .. } | Self::InvalidateChunk { .. } | Self::InvalidateGroup { .. } => {
                false
            }
        }
    }
}
