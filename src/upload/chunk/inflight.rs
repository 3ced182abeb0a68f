//! Which chunks this gateway is storing.
//!
//! Guarantees: one put per session and chunk at a time. A second put with the same checksum
//! replaces a first one whose body is still being read (its client may be gone: a half-open
//! connection), and waits for one that has received all its bytes. A put with another checksum
//! waits in either case (docs/architecture.md#one-put-per-chunk). It does not know other gateways:
//! between gateways the compare-and-swap of the segment decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::{Notify, watch};

use crate::digest::Sha256;

use super::super::plan::{self, ChunkIndex};

/// The puts of one session that are in flight. Bounded by the number of requests in flight.
#[derive(Default)]
pub(in crate::upload) struct InFlight(DashMap<ChunkIndex, Arc<OngoingPut>>);

pub(in crate::upload) struct OngoingPut {
    /// None: not declared; then a newer put without a checksum counts as a repetition.
    sha256: Option<Sha256>,
    /// All bytes are received and verified: a newer put waits for this one and does not replace it.
    received: AtomicBool,
    replaced: Notify,
    ended: watch::Sender<bool>,
}

impl OngoingPut {
    pub fn mark_received(&self) {
        self.received.store(true, Ordering::Release);
    }

    /// Returns once a newer put replaces this one.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }
}

/// The only put of a chunk, until it is dropped.
pub(in crate::upload) struct InFlightGuard<'a> {
    in_flight: &'a InFlight,
    index: ChunkIndex,
    pub put: Arc<OngoingPut>,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        // Before the waiting puts are woken: each tries to acquire the chunk at once.
        self.in_flight.0.remove(&self.index);
        self.put.ended.send_replace(true);
    }
}

impl InFlight {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many chunks of a segment are in flight, including those that wait to be recorded.
    pub fn count_of_segment(&self, number: u32) -> usize {
        self.0.iter().filter(|put| plan::segment_of(*put.key()) == number).count()
    }

    /// Begins the put of a chunk if no other one is in flight. Otherwise waits until that one has
    /// ended and returns None: the caller reads the records again.
    pub async fn acquire(
        &self,
        index: ChunkIndex,
        sha256: Option<Sha256>,
    ) -> Option<InFlightGuard<'_>> {
        let mut ended = {
            match self.0.entry(index) {
                Entry::Vacant(entry) => {
                    let put = Arc::new(OngoingPut {
                        sha256,
                        received: AtomicBool::new(false),
                        replaced: Notify::new(),
                        ended: watch::Sender::new(false),
                    });
                    entry.insert(Arc::clone(&put));
                    return Some(InFlightGuard { in_flight: self, index, put });
                }
                Entry::Occupied(entry) => {
                    let other = entry.get();
                    if other.sha256 == sha256 && !other.received.load(Ordering::Acquire) {
                        other.replaced.notify_one();
                    }
                    other.ended.subscribe()
                }
            }
        };
        // An error means that the sender is dropped, so the other put has ended too.
        ended.wait_for(|ended| *ended).await.ok();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sha(byte: u8) -> Option<Sha256> {
        Some(Sha256([byte; 32]))
    }

    #[tokio::test]
    async fn the_same_checksum_replaces_a_put_whose_body_is_still_read() {
        let in_flight = InFlight::default();
        let first = in_flight.acquire(0, sha(1)).await.unwrap();
        let (second, ()) = tokio::join!(in_flight.acquire(0, sha(1)), async {
            first.put.replaced().await;
            drop(first);
        });
        assert!(second.is_none());
        assert!(in_flight.acquire(0, sha(1)).await.is_some());
    }

    #[tokio::test]
    async fn a_newer_put_waits_for_one_that_has_all_its_bytes() {
        let in_flight = InFlight::default();
        let first = in_flight.acquire(0, sha(1)).await.unwrap();
        first.put.mark_received();
        let put = Arc::clone(&first.put);
        let (_, ()) = tokio::join!(in_flight.acquire(0, sha(1)), async { drop(first) });
        let replaced = tokio::time::timeout(std::time::Duration::ZERO, put.replaced()).await;
        assert!(replaced.is_err(), "no put may replace it");
    }

    #[tokio::test]
    async fn puts_of_other_chunks_do_not_wait() {
        let in_flight = InFlight::default();
        let _first = in_flight.acquire(0, sha(1)).await.unwrap();
        assert!(in_flight.acquire(1, sha(2)).await.is_some());
    }
}
