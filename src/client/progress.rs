//! What a person sees while it goes on, and the figures behind it.
//!
//! Guarantees: a bar is drawn only on a terminal, on stderr; bytes that were already there are told
//! apart.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::escape::escaped;

/// One command's figures.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    sent: AtomicU64,
    skipped: AtomicU64,
}

impl Progress {
    /// With a bar where stderr is a terminal and `quiet` is not asked for.
    pub fn new(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self { bar, sent: AtomicU64::new(0), skipped: AtomicU64::new(0) }
    }

    /// More bytes are known to come.
    pub(super) fn expect(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    pub(super) fn moved(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    pub(super) fn was_there(&self, bytes: u64) {
        let all = self.skipped.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.inc(bytes);
        self.bar.set_message(format!("({} were there already)", indicatif::HumanBytes(all)));
    }

    /// Says something in one line without tearing the bar.
    pub(super) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("ratchet: {}", escaped(text)));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Bytes that went over the wire.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes that were there already.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}
