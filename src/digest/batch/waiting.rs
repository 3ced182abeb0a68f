//! The queue of frames that wait to be hashed together.
//!
//! Guarantees: a task that finds enough frames in the queue hashes them, its own and those of
//! other tasks, which then find theirs done. A task that has yielded to its runtime a few times
//! hashes what is in the queue by then. So many frames come together in a busy runtime, and a frame
//! waits only briefly in an idle one. A frame of a dropped hasher is not hashed. No lock is held
//! while hashing.

use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;

use crate::digest::{Hasher, update_all};

/// How many yields of its runtime a frame waits for others: more bring hardly any further frames
/// together (docs/decisions/0006-frames-wait-to-be-hashed-together.md).
const MAX_YIELDS: u32 = 6;

/// Frames that no task hashes yet, the oldest first; at most one of each body.
struct Queue {
    waiting: Mutex<Vec<Arc<Entry>>>,
    /// How many frames are hashed together: the lanes of the algorithm. Each algorithm has a queue,
    /// because frames of another one would end the wait too early.
    batch: usize,
}

// SHA-256 alone: two lanes, so the frames of one thread suffice.
thread_local! {
    static SHA256_QUEUE: Arc<Queue> = Arc::new(Queue::new(Hasher::SHA256_LANES));
}

// With MD5: eight lanes cost little more than one, so the frames of all threads wait together.
static MD5_QUEUE: LazyLock<Arc<Queue>> = LazyLock::new(|| Arc::new(Queue::new(Hasher::MD5_LANES)));

type Entry = Mutex<EntryState>;

enum EntryState {
    Waiting(Hasher, Bytes),
    /// A task is hashing the frame, and wakes the task of its body afterwards.
    Taken(Option<Waker>),
    Done(Hasher),
    /// The hasher was given back, or its body was dropped.
    Empty,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A hasher whose frame is in the queue.
pub(super) struct Waiting {
    entry: Arc<Entry>,
    queue: Arc<Queue>,
    yields: u32,
}

impl Waiting {
    pub fn new(hasher: Hasher, bytes: Bytes) -> Self {
        let queue = if hasher.computes_md5() {
            Arc::clone(&MD5_QUEUE)
        } else {
            SHA256_QUEUE.with(Arc::clone)
        };
        let entry = Arc::new(Mutex::new(EntryState::Waiting(hasher, bytes)));
        lock(&queue.waiting).push(Arc::clone(&entry));
        Self { entry, queue, yields: 0 }
    }
}

impl Future for Waiting {
    type Output = Hasher;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Hasher> {
        loop {
            let mut state = lock(&self.entry);
            match std::mem::replace(&mut *state, EntryState::Empty) {
                EntryState::Done(hasher) => return Poll::Ready(hasher),
                EntryState::Taken(_) => {
                    *state = EntryState::Taken(Some(cx.waker().clone()));
                    return Poll::Pending;
                }
                waiting @ (EntryState::Waiting(..) | EntryState::Empty) => *state = waiting,
            }
            drop(state);
            if self.yields < MAX_YIELDS && lock(&self.queue.waiting).len() < self.queue.batch {
                self.yields += 1;
                // Tokio's yield: a task that wakes itself at once keeps sockets from being polled.
                ready!(pin!(tokio::task::yield_now()).poll(cx));
                continue;
            }
            self.queue.hash();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *lock(&self.entry), EntryState::Empty);
        if matches!(state, EntryState::Waiting(..)) {
            lock(&self.queue.waiting).retain(|entry| !Arc::ptr_eq(entry, &self.entry));
        }
    }
}

impl Queue {
    fn new(batch: usize) -> Self {
        Self { waiting: Mutex::default(), batch }
    }

    fn hash(&self) {
        let (mut frames, mut entries) =
            (Vec::with_capacity(self.batch), Vec::with_capacity(self.batch));
        {
            let mut waiting = lock(&self.waiting);
            let count = waiting.len().min(self.batch);
            for entry in waiting.drain(..count) {
                let state = std::mem::replace(&mut *lock(&entry), EntryState::Taken(None));
                if let EntryState::Waiting(hasher, bytes) = state {
                    frames.push((hasher, bytes));
                    entries.push(entry);
                }
            }
        }
        update_all(&mut frames);
        for ((hasher, _), entry) in frames.into_iter().zip(entries) {
            let taken = std::mem::replace(&mut *lock(&entry), EntryState::Done(hasher));
            if let EntryState::Taken(Some(waker)) = taken {
                waker.wake();
            }
        }
    }
}
