//! The running SHA-256 of a whole file, for sessions that named `sha256` at create.
//!
//! Guarantees: there is a value only if every byte of every chunk was hashed, in order, and was
//! recorded; a chunk that is interrupted or refused leaves the hash as it was. Chunks that arrive
//! before their turn are buffered within a bound of the whole process
//! (docs/architecture.md#reorder-buffer); a chunk that does not fit, or that another gateway
//! received, ends the running hash, and finalize reads the bytes back instead. It is never
//! persisted: after a restart finalize reads back.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::digest::{Kind, RunningSha256, Sha256};

use super::super::plan::ChunkIndex;
use super::super::session::lock;

/// What all sessions of a process may buffer together. **Unit**: bytes.
pub(in crate::upload) const REORDER_BYTES: usize = 8 << 20;

/// The running hash of one session.
pub(in crate::upload) struct WholeSha256(Option<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Chunks `[0, next)` are in `hash`.
    next: ChunkIndex,
    hash: RunningSha256,
    buffered: BTreeMap<ChunkIndex, BufferedChunk>,
}

struct BufferedChunk {
    frames: Vec<Bytes>,
    _permit: OwnedSemaphorePermit,
}

/// Takes the bytes of one chunk for the running hash.
pub(in crate::upload) enum Feed {
    /// The session has no running hash, or the buffer is full.
    Ignored,
    /// The chunk is the next one: it is hashed while it streams, in a copy of the state.
    Hashed(RunningSha256),
    /// Its turn has not come.
    Buffered(Vec<Bytes>, OwnedSemaphorePermit),
}

impl WholeSha256 {
    pub fn new(kind: Option<Kind>) -> Self {
        Self((kind == Some(Kind::Sha256)).then(Mutex::default))
    }

    /// Begins a chunk of `len_bytes`.
    pub fn feed(&self, index: ChunkIndex, len_bytes: u64, permits: &Arc<Semaphore>) -> Feed {
        let Some(state) = &self.0 else { return Feed::Ignored };
        let state = lock(state);
        if index == state.next {
            return Feed::Hashed(state.hash.clone());
        }
        if index < state.next || state.buffered.contains_key(&index) {
            return Feed::Ignored;
        }
        let bytes = u32::try_from(len_bytes).ok();
        let permit = bytes.and_then(|bytes| Arc::clone(permits).try_acquire_many_owned(bytes).ok());
        permit.map_or(Feed::Ignored, |permit| Feed::Buffered(Vec::new(), permit))
    }

    /// Adds the bytes of a chunk, which is now recorded.
    pub fn recorded(&self, index: ChunkIndex, feed: Feed) {
        let Some(state) = &self.0 else { return };
        let mut state = lock(state);
        match feed {
            Feed::Hashed(hash) if index == state.next => {
                state.hash = hash;
                state.next += 1;
            }
            Feed::Buffered(frames, permit) if index >= state.next => {
                state.buffered.insert(index, BufferedChunk { frames, _permit: permit });
            }
            Feed::Ignored | Feed::Hashed(_) | Feed::Buffered(..) => {}
        }
        let State { next, hash, buffered } = &mut *state;
        while let Some(chunk) = buffered.remove(next) {
            chunk.frames.iter().for_each(|bytes| hash.update(bytes));
            *next += 1;
        }
    }

    /// The hash of the file, if all of its `chunks` chunks were hashed.
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
            Self::Ignored => {}
            Self::Hashed(hash) => hash.update(bytes),
            Self::Buffered(frames, _) => frames.push(bytes.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(running: &WholeSha256, permits: &Arc<Semaphore>, index: u32, text: &'static str) {
        let mut feed = running.feed(index, text.len() as u64, permits);
        feed.update(&Bytes::from_static(text.as_bytes()));
        running.recorded(index, feed);
    }

    #[test]
    fn chunks_before_their_turn_are_buffered_within_the_bound() {
        let permits = Arc::new(Semaphore::new(4));
        let running = WholeSha256::new(Some(Kind::Sha256));
        put(&running, &permits, 1, "bb");
        put(&running, &permits, 2, "cc");
        put(&running, &permits, 0, "aa");
        assert_eq!(running.value(3), Some(Sha256::of(b"aabbcc")));
        assert_eq!(permits.available_permits(), 4);
    }

    #[test]
    fn a_chunk_that_does_not_fit_ends_the_running_hash() {
        let permits = Arc::new(Semaphore::new(1));
        let running = WholeSha256::new(Some(Kind::Sha256));
        put(&running, &permits, 1, "bb");
        put(&running, &permits, 0, "aa");
        assert_eq!(running.value(2), None);
    }

    #[test]
    fn an_interrupted_chunk_leaves_the_hash_as_it_was() {
        let permits = Arc::new(Semaphore::new(1));
        let running = WholeSha256::new(Some(Kind::Sha256));
        let mut interrupted = running.feed(0, 2, &permits);
        interrupted.update(&Bytes::from_static(b"a"));
        drop(interrupted);
        put(&running, &permits, 0, "aa");
        assert_eq!(running.value(1), Some(Sha256::of(b"aa")));
    }
}
