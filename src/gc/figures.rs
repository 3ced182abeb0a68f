//! The figures of the sweeps of one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::report::Report;
use crate::measure::{Source, Text};

/// Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Figures(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    sweeps: AtomicU64,
    interrupted: AtomicU64,
    /// Of the end of the last sweep, in seconds since 1970; 0: there was none.
    last_end: AtomicU64,
    sessions: AtomicU64,
    bytes: AtomicU64,
}

impl Figures {
    pub(super) fn swept(&self, report: &Report, unix_seconds: u64) {
        self.0.sweeps.fetch_add(1, Ordering::Relaxed);
        self.0.last_end.store(unix_seconds, Ordering::Relaxed);
        let sessions = report.actions.values().sum();
        self.0.sessions.fetch_add(sessions, Ordering::Relaxed);
        self.0.bytes.fetch_add(report.bytes, Ordering::Relaxed);
    }

    pub(super) fn interrupted(&self) {
        self.0.interrupted.fetch_add(1, Ordering::Relaxed);
    }
}

impl Source for Figures {
    fn write(&self, text: &mut Text) {
        let value = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { sweeps, interrupted, last_end, sessions, bytes } = &*self.0;
        text.counter("ratchet_gc_sweeps_total", "Sweeps that this gateway ended.", value(sweeps));
        let help = "Sweeps that a failure interrupted.";
        text.counter("ratchet_gc_interrupted_total", help, value(interrupted));
        let help = "When this gateway's last sweep ended, in seconds since 1970; 0: never.";
        text.gauge("ratchet_gc_last_end_seconds", help, value(last_end));
        let help = "Sessions of which something was reclaimed.";
        text.counter("ratchet_gc_reclaimed_sessions_total", help, value(sessions));
        let help = "Bytes of parts and staged chunks that were reclaimed.";
        text.counter("ratchet_gc_reclaimed_bytes_total", help, value(bytes));
    }
}
