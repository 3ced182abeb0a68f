//! Group commit: all changes of a document that arrive while one of its writes is in flight share
//! the next write.
//!
//! Guarantees: one compare-and-swap in flight per document and process; a queued change is carried
//! out even if everyone who waits for it goes away; each waiter gets the outcome of its own change,
//! after the write that holds it is durable. The queues are bounded by the waiters: each of them
//! waits for its one change. It does not know what the changes mean: the [`GroupOwner`] does.
//! **Errors**: those of [`Documents::swap`], one for all changes of a write: they may or may not
//! have happened. Source: docs/architecture.md#group-commit.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::names::Key;

use super::document::{Document, Snapshot};
use super::documents::Documents;
use super::error::{Error, Result, Retryable};
use super::swap::SwapOutcome;

/// The longest time that a few changes wait for others to share their write.
const MAX_GATHER_TIME: Duration = Duration::from_millis(50);

/// The outcome of one change, and whether the document has to be written for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied<T> {
    Changed(T),
    Unchanged(T),
}

/// Who owns documents that change by group commit. Cheap to clone.
///
/// **For implementors**: `apply` must be pure, because it is repeated on newer content after a lost
/// compare-and-swap. A `known` document may be old: an outcome without a write is believed only on
/// a document that was read after the change was queued.
pub trait GroupOwner: Clone + Send + Sync + 'static {
    /// Which of the owner's documents.
    type Id: Copy + Eq + Hash + Send + Sync + 'static;
    type Document: Document + Clone + Default;
    type Change: Send + Sync + 'static;
    type Outcome: Send + 'static;
    type Error: From<Error> + Retryable + Send + 'static;

    fn group_commit(&self) -> &GroupCommit<Self>;

    fn documents(&self) -> &Documents;

    fn key(&self, id: Self::Id) -> Key;

    /// Applies one change to the content of a document. `Unchanged` leaves it as it was.
    fn apply(&self, document: &mut Self::Document, change: &Self::Change)
    -> Applied<Self::Outcome>;

    /// The same error for another waiter of the same write.
    fn share_error(error: &Self::Error) -> Self::Error;

    /// The document as last read, without asking the store.
    fn known(&self, _id: Self::Id) -> Option<Snapshot<Self::Document>> {
        None
    }

    /// The document as it is in the store now.
    fn read(
        &self,
        id: Self::Id,
    ) -> impl Future<Output = Result<Option<Snapshot<Self::Document>>, Self::Error>> + Send {
        async move { Ok(self.documents().read(&self.key(id)).await?) }
    }

    /// Sees each content that a write found, with the monotonic time at which it was asked for.
    fn observe(
        &self,
        _id: Self::Id,
        _found: Option<Snapshot<Self::Document>>,
        _asked_at: Duration,
    ) {
    }

    /// Whether enough further changes will be queued soon that the `waiting` ones should wait.
    fn expects_more(&self, _id: Self::Id, _waiting: usize) -> bool {
        false
    }

    /// Decides, after the write, what the waiters of its changes get.
    fn confirm(
        &self,
        _changes: &[Self::Change],
        results: Vec<Result<Self::Outcome, Self::Error>>,
    ) -> impl Future<Output = Vec<Result<Self::Outcome, Self::Error>>> + Send {
        async move { results }
    }
}

type Results<O> = Vec<Result<<O as GroupOwner>::Outcome, <O as GroupOwner>::Error>>;

struct QueuedChange<O: GroupOwner> {
    change: O::Change,
    tx: oneshot::Sender<Result<O::Outcome, O::Error>>,
}

/// The queued changes of an owner's documents. A document that is present has a task that writes
/// it.
pub struct GroupCommit<O: GroupOwner> {
    queues: Mutex<HashMap<O::Id, Vec<QueuedChange<O>>>>,
    /// How long the last write took.
    last_write_time: Mutex<Duration>,
}

impl<O: GroupOwner> Default for GroupCommit<O> {
    fn default() -> Self {
        Self { queues: Mutex::default(), last_write_time: Mutex::default() }
    }
}

/// Makes one change of a document. **Cancel**: once polled, the change goes on without its caller.
pub async fn commit<O: GroupOwner>(
    owner: &O,
    id: O::Id,
    change: O::Change,
) -> Result<O::Outcome, O::Error> {
    let (tx, rx) = oneshot::channel();
    let is_idle = {
        let mut queues = lock(&owner.group_commit().queues);
        let is_idle = !queues.contains_key(&id);
        queues.entry(id).or_default().push(QueuedChange { change, tx });
        is_idle
    };
    if is_idle {
        tokio::spawn(write_until_idle(owner.clone(), id));
    }
    rx.await.unwrap_or_else(|_| {
        let what = "the gateway stopped before the record was written".to_owned();
        Err(Error::Interrupted(what).into())
    })
}

/// Writes a document, batch by batch, until no change of it is queued.
async fn write_until_idle<O: GroupOwner>(owner: O, id: O::Id) {
    let clock = &owner.documents().clock;
    loop {
        gather(&owner, id).await;
        let batch = {
            let mut queues = lock(&owner.group_commit().queues);
            match queues.get_mut(&id).filter(|queue| !queue.is_empty()) {
                Some(queue) => std::mem::take(queue),
                None => {
                    queues.remove(&id);
                    return;
                }
            }
        };
        let (changes, waiters): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|queued| (queued.change, queued.tx)).unzip();
        let started = clock.monotonic();
        let written = write_batch(&owner, id, &changes).await;
        *lock(&owner.group_commit().last_write_time) = clock.monotonic().saturating_sub(started);
        let results: Results<O> = match written {
            Ok(outcomes) => outcomes.into_iter().map(Ok).collect(),
            Err(error) => changes.iter().map(|_| Err(O::share_error(&error))).collect(),
        };
        let results = owner.confirm(&changes, results).await;
        for (tx, result) in waiters.into_iter().zip(results) {
            // A waiter that went away needs no result; its change is written all the same.
            tx.send(result).ok();
        }
    }
}

/// Waits a little if few changes are queued and more are about to come: otherwise they arrive in
/// ever smaller groups, each of which costs a write. The wait is shorter than a write.
async fn gather<O: GroupOwner>(owner: &O, id: O::Id) {
    let waiting = lock(&owner.group_commit().queues).get(&id).map_or(0, Vec::len);
    if waiting > 0 && owner.expects_more(id, waiting) {
        let pause = (*lock(&owner.group_commit().last_write_time) / 2).min(MAX_GATHER_TIME);
        owner.documents().clock.pause(pause).await;
    }
}

/// Applies a batch and writes the document until one write wins. Outcomes without a write are
/// believed only if the document was current after the batch was taken.
async fn write_batch<O: GroupOwner>(
    owner: &O,
    id: O::Id,
    changes: &[O::Change],
) -> Result<Vec<O::Outcome>, O::Error> {
    let documents = owner.documents();
    let key = owner.key(id);
    let mut backoff = documents.backoff();
    let mut is_current = false;
    let mut known = owner.known(id);
    loop {
        let mut next = known
            .as_ref()
            .map_or_else(O::Document::default, |known| O::Document::clone(&known.value));
        let mut needs_write = false;
        let mut outcomes = Vec::with_capacity(changes.len());
        for change in changes {
            let (outcome, changed) = match owner.apply(&mut next, change) {
                Applied::Changed(outcome) => (outcome, true),
                Applied::Unchanged(outcome) => (outcome, false),
            };
            outcomes.push(outcome);
            needs_write |= changed;
        }
        if !needs_write {
            if is_current {
                return Ok(outcomes);
            }
            known = owner.read(id).await?;
            is_current = true;
            continue;
        }
        next.set_stamp(next.stamp().next(&documents.clock.random_id()));
        let asked_at = documents.clock.monotonic();
        match documents.swap(&key, known.as_ref(), next).await? {
            SwapOutcome::Won(now) => {
                owner.observe(id, Some(now), asked_at);
                return Ok(outcomes);
            }
            SwapOutcome::Lost(now) => {
                owner.observe(id, now.clone(), asked_at);
                (known, is_current) = (now, true);
            }
        }
        let error =
            Error::conflict(format!("changing the record {key}"), "another writer was first");
        documents.pause(&mut backoff, error).await?;
    }
}

/// A lock whose holder panicked still holds consistent data: no critical section here calls out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
