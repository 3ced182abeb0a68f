//! What answers hold in memory between the store and the socket, all together.
//!
//! Guarantees: together no more than [`MAX_BYTES`] and one frame of each answer: a client that
//! does not read has one frame waiting, however much its socket would take ahead. While there is
//! room nobody waits. It does not know where frames come from or go to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

/// More than 64 downloads at full speed have on their way.
const MAX_BYTES: usize = 32 << 20;

/// Frames this small cost more to be counted than to be kept: a connection takes 16 ahead at most.
const UNCOUNTED_BYTES: usize = 4 << 10;

/// The bytes of all answers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct AnswerMemory(Arc<AtomicUsize>);

/// Those of one answer.
#[derive(Debug)]
pub struct OfAnswer {
    all: AnswerMemory,
    own: Arc<Own>,
}

#[derive(Debug, Default)]
struct Own {
    bytes: AtomicUsize,
    freed: AtomicWaker,
}

/// A frame that is counted as long as anybody has it.
struct Counted {
    bytes: Bytes,
    all: AnswerMemory,
    own: Arc<Own>,
}

impl AnswerMemory {
    pub fn of_answer(&self) -> OfAnswer {
        OfAnswer { all: self.clone(), own: Arc::default() }
    }
}

impl OfAnswer {
    /// Ready when the answer may have another frame in memory.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let fits = || {
            self.own.bytes.load(Ordering::Acquire) == 0
                || self.all.0.load(Ordering::Relaxed) < MAX_BYTES
        };
        if fits() {
            return Poll::Ready(());
        }
        // Who waits has a frame on its way, and is woken when that is gone.
        self.own.freed.register(cx.waker());
        if fits() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The same frame, counted until the last who has it lets it go.
    pub fn counted(&self, bytes: Bytes) -> Bytes {
        if bytes.len() <= UNCOUNTED_BYTES {
            return bytes;
        }
        self.own.bytes.fetch_add(bytes.len(), Ordering::AcqRel);
        self.all.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Counted { bytes, all: self.all.clone(), own: Arc::clone(&self.own) })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.own.bytes.fetch_sub(self.bytes.len(), Ordering::AcqRel);
        self.own.freed.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::poll_fn;

    use super::*;

    fn room(answer: &OfAnswer) -> bool {
        poll_fn(|cx| answer.poll_room(cx)).now_or_never().is_some()
    }

    #[test]
    fn when_the_memory_is_full_each_answer_has_one_frame() {
        let memory = AnswerMemory::default();
        let (first, second) = (memory.of_answer(), memory.of_answer());
        let frame = Bytes::from(vec![1; MAX_BYTES / 4]);
        let mut frames: Vec<Bytes> = (0..4).map(|_| first.counted(frame.clone())).collect();
        assert!(!room(&first), "it has its share and all of the room");
        assert!(room(&second), "it has nothing on its way");
        let of_second = second.counted(frame.clone());
        assert!(!room(&second));
        drop(of_second);
        assert!(room(&second) && !room(&first));
        frames.pop();
        assert!(room(&first), "there is room again");
        frames.clear();
        assert_eq!(memory.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_its_own_frame_is_gone() {
        let memory = AnswerMemory::default();
        let answer = memory.of_answer();
        let frame = answer.counted(Bytes::from(vec![1; MAX_BYTES]));
        let (waited, ()) = tokio::join!(poll_fn(|cx| answer.poll_room(cx)), async {
            tokio::task::yield_now().await;
            drop(frame.slice(..1));
            drop(frame);
        });
        assert_eq!(waited, ());
    }
}
