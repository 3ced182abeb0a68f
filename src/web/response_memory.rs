//! The memory that responses hold between the store and the socket.
//!
//! Guarantees: all responses together hold no more than [`MAX_BYTES`] plus one frame each: a
//! response whose client does not read has one frame waiting, however much its socket would take
//! ahead. While memory is free, no response waits. It does not know where frames come from or go
//! to. Source: docs/architecture.md#slow-clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;

/// More than 64 downloads at full speed have in flight
/// (docs/decisions/0016-shared-memory-for-slow-clients.md).
const MAX_BYTES: usize = 32 << 20;

/// Smaller frames are not counted: a connection buffers at most 16 of them.
const UNCOUNTED_BYTES: usize = 4 << 10;

/// The bytes that all responses hold. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ResponseMemory(Arc<AtomicUsize>);

/// The bytes that one response holds, and those of all.
#[derive(Debug)]
pub struct ResponseShare {
    total: ResponseMemory,
    in_flight: Arc<InFlight>,
}

/// The frames of one response that are not sent yet.
#[derive(Debug, Default)]
struct InFlight {
    bytes: AtomicUsize,
    freed: AtomicWaker,
}

/// A frame that is counted until its last clone is dropped.
struct CountedFrame {
    bytes: Bytes,
    total: ResponseMemory,
    in_flight: Arc<InFlight>,
}

impl ResponseMemory {
    pub fn new_share(&self) -> ResponseShare {
        ResponseShare { total: self.clone(), in_flight: Arc::default() }
    }
}

impl ResponseShare {
    /// Ready when the response may hold another frame.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let fits = || {
            self.in_flight.bytes.load(Ordering::Acquire) == 0
                || self.total.0.load(Ordering::Relaxed) < MAX_BYTES
        };
        if fits() {
            return Poll::Ready(());
        }
        // A response that waits has a frame in flight, and is woken when that one is dropped.
        self.in_flight.freed.register(cx.waker());
        if fits() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The same frame, counted until its last clone is dropped.
    pub fn count(&self, bytes: Bytes) -> Bytes {
        if bytes.len() <= UNCOUNTED_BYTES {
            return bytes;
        }
        self.in_flight.bytes.fetch_add(bytes.len(), Ordering::AcqRel);
        self.total.0.fetch_add(bytes.len(), Ordering::Relaxed);
        let (total, in_flight) = (self.total.clone(), Arc::clone(&self.in_flight));
        Bytes::from_owner(CountedFrame { bytes, total, in_flight })
    }
}

impl AsRef<[u8]> for CountedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for CountedFrame {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        self.in_flight.bytes.fetch_sub(self.bytes.len(), Ordering::AcqRel);
        self.in_flight.freed.wake();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::poll_fn;

    use super::*;

    fn is_ready(share: &ResponseShare) -> bool {
        poll_fn(|cx| share.poll_ready(cx)).now_or_never().is_some()
    }

    #[test]
    fn with_full_memory_each_response_may_hold_one_frame() {
        let memory = ResponseMemory::default();
        let (first, second) = (memory.new_share(), memory.new_share());
        let frame = Bytes::from(vec![1; MAX_BYTES / 4]);
        let mut frames: Vec<Bytes> = (0..4).map(|_| first.count(frame.clone())).collect();
        assert!(!is_ready(&first), "the memory is full, and it has frames in flight");
        assert!(is_ready(&second), "it has no frame in flight");
        let frame_of_second = second.count(frame.clone());
        assert!(!is_ready(&second));
        drop(frame_of_second);
        assert!(is_ready(&second) && !is_ready(&first));
        frames.pop();
        assert!(is_ready(&first), "memory is free again");
        frames.clear();
        assert_eq!(memory.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_waiting_response_is_woken_when_its_own_frame_is_dropped() {
        let memory = ResponseMemory::default();
        let share = memory.new_share();
        let frame = share.count(Bytes::from(vec![1; MAX_BYTES]));
        let (waited, ()) = tokio::join!(poll_fn(|cx| share.poll_ready(cx)), async {
            tokio::task::yield_now().await;
            drop(frame.slice(..1));
            drop(frame);
        });
        assert_eq!(waited, ());
    }
}
