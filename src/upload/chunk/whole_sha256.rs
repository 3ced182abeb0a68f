//! The running SHA-256 of a whole file, for sessions that named `sha256` at create.
//!
//! Guarantees: a value is given only if every byte of every chunk went through it, in order, and
//! was recorded; a torn or refused chunk is taken back. Chunks that come early are held within a
//! process-wide bound of 8 MiB (DESIGN §12.15); what does not fit, or what another gateway took,
//! ends the running hash, and finalize reads back instead. It is never persisted: after a restart
//! finalize reads back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::digest::{Kind, RunningSha256, Sha256};

use super::super::plan::ChunkIndex;
use super::super::session::lock;

/// What all sessions of a process may hold back together, in bytes.
pub(in crate::upload) const REORDER_BYTES: usize = 8 << 20;

/// The running hash of one session.
pub(in crate::upload) struct WholeSha256(Option<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Chunks `[0, next)` are in `hash`.
    next: ChunkIndex,
    hash: RunningSha256,
    early: BTreeMap<ChunkIndex, Held>,
}

struct Held {
    bytes: Vec<Bytes>,
    _room: OwnedSemaphorePermit,
}

/// One chunk's bytes on their way into the running hash.
pub(in crate::upload) enum Feed {
    /// Not wanted, or no room.
    Closed,
    /// It is the next one: hashed as it streams, from a copy of the state.
    Next(RunningSha256),
    Early(Vec<Bytes>, OwnedSemaphorePermit),
}

impl WholeSha256 {
    pub fn new(kind: Option<Kind>) -> Self {
        Self((kind == Some(Kind::Sha256)).then(Mutex::default))
    }

    /// Opens a tap for a chunk of `len_bytes`.
    pub fn feed(&self, index: ChunkIndex, len_bytes: u64, room: &Arc<Semaphore>) -> Feed {
        let Some(state) = &self.0 else { return Feed::Closed };
        let state = lock(state);
        if index == state.next {
            return Feed::Next(state.hash.clone());
        }
        if index < state.next || state.early.contains_key(&index) {
            return Feed::Closed;
        }
        let permits = u32::try_from(len_bytes).ok();
        let permit =
            permits.and_then(|permits| Arc::clone(room).try_acquire_many_owned(permits).ok());
        permit.map_or(Feed::Closed, |permit| Feed::Early(Vec::new(), permit))
    }

    /// The chunk is recorded: its bytes count from here on.
    pub fn recorded(&self, index: ChunkIndex, tap: Feed) {
        let Some(state) = &self.0 else { return };
        let mut state = lock(state);
        match tap {
            Feed::Next(hash) if index == state.next => {
                state.hash = hash;
                state.next += 1;
            }
            Feed::Early(bytes, room) if index >= state.next => {
                state.early.insert(index, Held { bytes, _room: room });
            }
            Feed::Closed | Feed::Next(_) | Feed::Early(..) => {}
        }
        let State { next, hash, early } = &mut *state;
        while let Some(held) = early.remove(next) {
            held.bytes.iter().for_each(|bytes| hash.update(bytes));
            *next += 1;
        }
    }

    /// The hash of the file, if all of its `chunks` chunks went through.
    pub fn value(&self, chunks: u64) -> Option<Sha256> {
        if chunks == 0 {
            return Some(Sha256::of(b""));
        }
        let state = lock(self.0.as_ref()?);
        (u64::from(state.next) == chunks).then(|| state.hash.clone().finish())
    }
}

impl Feed {
    pub fn update(&mut self, bytes: &Bytes) {
        match self {
            Self::Closed => {}
            Self::Next(hash) => hash.update(bytes),
            Self::Early(held, _) => held.push(bytes.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(running: &WholeSha256, room: &Arc<Semaphore>, index: u32, text: &'static str) {
        let mut tap = running.feed(index, text.len() as u64, room);
        tap.update(&Bytes::from_static(text.as_bytes()));
        running.recorded(index, tap);
    }

    #[test]
    fn chunks_may_come_early_within_the_bound() {
        let room = Arc::new(Semaphore::new(4));
        let running = WholeSha256::new(Some(Kind::Sha256));
        put(&running, &room, 1, "bb");
        put(&running, &room, 2, "cc");
        put(&running, &room, 0, "aa");
        assert_eq!(running.value(3), Some(Sha256::of(b"aabbcc")));
        assert_eq!(room.available_permits(), 4);
    }

    #[test]
    fn what_does_not_fit_ends_it() {
        let room = Arc::new(Semaphore::new(1));
        let running = WholeSha256::new(Some(Kind::Sha256));
        put(&running, &room, 1, "bb");
        put(&running, &room, 0, "aa");
        assert_eq!(running.value(2), None);
    }

    #[test]
    fn a_torn_chunk_is_taken_back() {
        let room = Arc::new(Semaphore::new(1));
        let running = WholeSha256::new(Some(Kind::Sha256));
        let mut torn = running.feed(0, 2, &room);
        torn.update(&Bytes::from_static(b"a"));
        drop(torn);
        put(&running, &room, 0, "aa");
        assert_eq!(running.value(1), Some(Sha256::of(b"aa")));
    }
}
