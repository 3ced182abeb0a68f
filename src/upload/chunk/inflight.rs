//! Which chunks are on their way through this gateway.
//!
//! Guarantees: one put per session and index at a time. A second put with the same checksum
//! replaces a first whose body is still being read (its client may be long gone: a half-open
//! socket); it waits for one that has all its bytes. A put with another checksum waits in either
//! case (DESIGN §5, §12.8). It knows nothing of other gateways: there the segment's
//! compare-and-swap decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::{Notify, watch};

use crate::digest::Sha256;

use super::super::plan::{self, ChunkIndex};

/// The flights of one session. Bounded by the requests in flight.
#[derive(Default)]
pub(in crate::upload) struct InFlight(DashMap<ChunkIndex, Arc<OngoingPut>>);

pub(in crate::upload) struct OngoingPut {
    /// None: not known before the bytes; then a newer put is taken for a repetition.
    sha256: Option<Sha256>,
    /// All bytes are in and verified: from here on it is waited for, not replaced.
    received: AtomicBool,
    replaced: Notify,
    ended: watch::Sender<bool>,
}

impl OngoingPut {
    pub fn mark_received(&self) {
        self.received.store(true, Ordering::Release);
    }

    /// Returns once a newer put takes this one's place.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }
}

/// A chunk's place in the air; given back on drop.
pub(in crate::upload) struct InFlightGuard<'a> {
    in_flight: &'a InFlight,
    index: ChunkIndex,
    pub put: Arc<OngoingPut>,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        // Before those who wait are woken: they look for a free place at once.
        self.in_flight.0.remove(&self.index);
        self.put.ended.send_replace(true);
    }
}

impl InFlight {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of a segment's chunks are on their way, those included that wait for their record.
    pub fn count_of_segment(&self, number: u32) -> usize {
        self.0.iter().filter(|flight| plan::segment_of(*flight.key()) == number).count()
    }

    /// Takes the chunk's place where it is free. Otherwise waits for the one that has it to end,
    /// and returns None: the caller looks at the records again.
    pub async fn acquire(
        &self,
        index: ChunkIndex,
        sha256: Option<Sha256>,
    ) -> Option<InFlightGuard<'_>> {
        let mut ended = {
            match self.0.entry(index) {
                Entry::Vacant(place) => {
                    let flight = Arc::new(OngoingPut {
                        sha256,
                        received: AtomicBool::new(false),
                        replaced: Notify::new(),
                        ended: watch::Sender::new(false),
                    });
                    place.insert(Arc::clone(&flight));
                    return Some(InFlightGuard { in_flight: self, index, put: flight });
                }
                Entry::Occupied(taken) => {
                    let other = taken.get();
                    if other.sha256 == sha256 && !other.received.load(Ordering::Acquire) {
                        other.replaced.notify_one();
                    }
                    other.ended.subscribe()
                }
            }
        };
        // An error means that the sender is gone, which is an end too.
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
    async fn the_same_bytes_replace_a_put_whose_body_is_still_read() {
        let flights = InFlight::default();
        let first = flights.acquire(0, sha(1)).await.unwrap();
        let (second, ()) = tokio::join!(flights.acquire(0, sha(1)), async {
            first.put.replaced().await;
            drop(first);
        });
        assert!(second.is_none());
        assert!(flights.acquire(0, sha(1)).await.is_some());
    }

    #[tokio::test]
    async fn a_put_that_has_all_its_bytes_is_waited_for() {
        let flights = InFlight::default();
        let first = flights.acquire(0, sha(1)).await.unwrap();
        first.put.mark_received();
        let flight = Arc::clone(&first.put);
        let (_, ()) = tokio::join!(flights.acquire(0, sha(1)), async { drop(first) });
        let asked = tokio::time::timeout(std::time::Duration::ZERO, flight.replaced()).await;
        assert!(asked.is_err(), "nobody may replace it");
    }

    #[tokio::test]
    async fn other_indexes_do_not_wait() {
        let flights = InFlight::default();
        let _first = flights.acquire(0, sha(1)).await.unwrap();
        assert!(flights.acquire(1, sha(2)).await.is_some());
    }
}
