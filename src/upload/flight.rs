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

use super::plan::{self, ChunkIndex};

/// The flights of one session. Bounded by the requests in flight.
#[derive(Default)]
pub(super) struct Flights(DashMap<ChunkIndex, Arc<Flight>>);

pub(super) struct Flight {
    /// None: not known before the bytes; then a newer put is taken for a repetition.
    sha256: Option<Sha256>,
    /// All bytes are in and verified: from here on it is waited for, not replaced.
    received: AtomicBool,
    replaced: Notify,
    ended: watch::Sender<bool>,
}

impl Flight {
    pub fn mark_received(&self) {
        self.received.store(true, Ordering::Release);
    }

    /// Returns once a newer put takes this one's place.
    pub async fn replaced(&self) {
        self.replaced.notified().await;
    }
}

/// A chunk's place in the air; given back on drop.
pub(super) struct Boarded<'a> {
    flights: &'a Flights,
    index: ChunkIndex,
    pub flight: Arc<Flight>,
}

impl Drop for Boarded<'_> {
    fn drop(&mut self) {
        // Before those who wait are woken: they look for a free place at once.
        self.flights.0.remove(&self.index);
        self.flight.ended.send_replace(true);
    }
}

impl Flights {
    pub fn none(&self) -> bool {
        self.0.is_empty()
    }

    /// How many of a segment's chunks are on their way, those included that wait for their record.
    pub fn of_segment(&self, number: u32) -> usize {
        self.0.iter().filter(|flight| plan::segment_of(*flight.key()) == number).count()
    }

    /// Takes the chunk's place where it is free. Otherwise waits for the one that has it to end,
    /// and returns None: the caller looks at the records again.
    pub async fn board(&self, index: ChunkIndex, sha256: Option<Sha256>) -> Option<Boarded<'_>> {
        let mut ended = {
            match self.0.entry(index) {
                Entry::Vacant(place) => {
                    let flight = Arc::new(Flight {
                        sha256,
                        received: AtomicBool::new(false),
                        replaced: Notify::new(),
                        ended: watch::Sender::new(false),
                    });
                    place.insert(Arc::clone(&flight));
                    return Some(Boarded { flights: self, index, flight });
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
        let flights = Flights::default();
        let first = flights.board(0, sha(1)).await.unwrap();
        let (second, ()) = tokio::join!(flights.board(0, sha(1)), async {
            first.flight.replaced().await;
            drop(first);
        });
        assert!(second.is_none());
        assert!(flights.board(0, sha(1)).await.is_some());
    }

    #[tokio::test]
    async fn a_put_that_has_all_its_bytes_is_waited_for() {
        let flights = Flights::default();
        let first = flights.board(0, sha(1)).await.unwrap();
        first.flight.mark_received();
        let flight = Arc::clone(&first.flight);
        let (_, ()) = tokio::join!(flights.board(0, sha(1)), async { drop(first) });
        let asked = tokio::time::timeout(std::time::Duration::ZERO, flight.replaced()).await;
        assert!(asked.is_err(), "nobody may replace it");
    }

    #[tokio::test]
    async fn other_indexes_do_not_wait() {
        let flights = Flights::default();
        let _first = flights.board(0, sha(1)).await.unwrap();
        assert!(flights.board(1, sha(2)).await.is_some());
    }
}
