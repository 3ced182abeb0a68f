//! A thread that works in the background of an open store.
//!
//! Guarantees: it works once at its start and again whenever it is unparked; dropping it asks it to
//! stop, which it does at the next point where it looks, and waits for that.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};

/// The thread, as its owner has it.
#[derive(Debug)]
pub(super) struct Background {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

/// Whether the thread is asked to stop.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Background {
    /// Starts the thread. Returns its handle too, to be unparked whenever there is work.
    pub fn start(
        name: &str,
        mut work: impl FnMut(&Stop) + Send + 'static,
    ) -> io::Result<(Self, Thread)> {
        let stop = Stop::default();
        let asked = stop.clone();
        let run = move || {
            while !asked.is_asked() {
                work(&asked);
                thread::park();
            }
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(run)?;
        let wake = thread.thread().clone();
        Ok((Self { stop, thread: Some(thread) }, wake))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop.0.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // If the thread panicked, the next opening of the store does its work.
            thread.join().ok();
        }
    }
}
