//! The figures of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::measure::{Source, Text};

/// How many connections there are and were. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Connections(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
}

/// A connection that is counted as open until it is dropped.
#[derive(Debug)]
pub(super) struct OpenConnection(Connections);

impl Connections {
    pub(super) fn accepted(&self) -> OpenConnection {
        self.0.accepted.fetch_add(1, Ordering::Relaxed);
        self.0.open.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }

    /// One that was closed at once, because its peer has too many.
    pub(super) fn refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Source for Connections {
    fn write(&self, text: &mut Text) {
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { open, accepted, refused } = &*self.0;
        text.gauge("ratchet_connections", "Open connections.", value(open));
        let help = "Connections accepted.";
        text.counter("ratchet_connections_accepted_total", help, value(accepted));
        let help = "Connections closed at once: their peer is at server.max_connections_of_peer.";
        text.counter("ratchet_connections_refused_total", help, value(refused));
    }
}
