//! Counts transferred bytes and shows them as a progress bar.
//!
//! Guarantees: the bar is drawn on stderr and only if stderr is a terminal; bytes that needed no
//! transfer are counted separately.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::escape::escaped;

/// Prints a line for the user.
pub(super) type Printer = Arc<dyn Fn(&str) + Send + Sync>;

/// The byte counts of one command.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Whether each file is named.
    names_files: bool,
    transferred: AtomicU64,
    skipped: AtomicU64,
}

impl Progress {
    /// Shows a bar if stderr is a terminal and `quiet` is false.
    pub fn new(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        let bar = if shown { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} ETA {eta} {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        let (transferred, skipped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { bar, names_files: false, transferred, skipped }
    }

    /// Names each file that is done.
    pub fn naming_files(self) -> Self {
        Self { names_files: true, ..self }
    }

    /// Names a file, and says what was done with it, if that was asked for.
    pub(super) fn name(&self, text: &str) {
        if self.names_files {
            self.print(text);
        }
    }

    /// What names files, for whoever does not have the progress itself; None: nobody asked for it.
    pub(super) fn names(&self) -> Option<Printer> {
        self.names_files.then(|| Arc::new(self.printer()) as Printer)
    }

    /// Adds bytes that are still to be processed.
    pub(super) fn add_expected(&self, bytes: u64) {
        self.bar.inc_length(bytes);
    }

    /// Counts bytes that were sent or received.
    pub(super) fn add_transferred(&self, bytes: u64) {
        self.transferred.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    /// Counts bytes that the destination had already.
    pub(super) fn add_skipped(&self, bytes: u64) {
        let total = self.skipped.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.inc(bytes);
        self.bar.set_message(format!("({} were there already)", indicatif::HumanBytes(total)));
    }

    /// Prints a line on stderr without damaging the bar.
    pub(super) fn print(&self, text: &str) {
        self.printer()(text);
    }

    /// The same for whoever does not have the progress itself.
    pub fn printer(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |text| bar.suspend(|| eprintln!("ratchet: {}", escaped(text)))
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Bytes that were sent or received.
    pub fn transferred(&self) -> u64 {
        self.transferred.load(Ordering::Relaxed)
    }

    /// Bytes that the destination had already.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}
