//! The thread that compacts packs: it moves what is alive out of packs that are mostly dead.
//!
//! Guarantees: neither readers nor the opening of a store wait for it, and changes wait for at most
//! one batch; a body is moved only if its object still refers to it, by the writer thread, in one
//! transaction with the object's row. A crash leaves the old or the new place. A pack whose records
//! cannot be read is left as it is until the store is opened again.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};

use super::super::super::Result;
use super::super::disk::disk_error;
use super::super::files::Files;
use super::super::handle::Handle;
use super::super::writer::Changes;
use super::record::{PackedBody, Records};

/// The most that is moved in one transaction.
const BATCH_BODIES: usize = 64;
const BATCH_BYTES: usize = 512 << 10;

/// Dropping it waits for the current batch; the rest is moved after the next opening.
#[derive(Debug)]
pub struct Compactor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Compactor {
    /// Starts the thread, which begins with the packs that are mostly dead already. Returns its
    /// handle too, to be unparked whenever there may be more.
    pub fn start(
        handle: Arc<Handle>,
        files: Arc<Files>,
        changes: Changes,
    ) -> io::Result<(Self, Thread)> {
        let stop = Arc::new(AtomicBool::new(false));
        let unreadable = HashSet::new();
        let work = Work { handle, files, changes, stop: Arc::clone(&stop), unreadable };
        let thread =
            thread::Builder::new().name("dir-compactor".to_owned()).spawn(move || work.run())?;
        let wake = thread.thread().clone();
        Ok((Self { stop, thread: Some(thread) }, wake))
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // If the thread panicked, the next opening compacts the packs.
            thread.join().ok();
        }
    }
}

struct Work {
    handle: Arc<Handle>,
    files: Arc<Files>,
    changes: Changes,
    stop: Arc<AtomicBool>,
    /// Packs that have something alive that was not found.
    unreadable: HashSet<String>,
}

impl Work {
    fn run(mut self) {
        while !self.stopped() {
            // If the index or the disk fails now, the next change to a pack tries again.
            if let Err(error) = self.compact_all() {
                tracing::debug!(%error, "packs could not be compacted");
            }
            thread::park();
        }
    }

    fn compact_all(&mut self) -> Result<()> {
        // The writer is asked only if there may be one, as it knows which pack is not finished.
        while !self.stopped() && self.handle.has_sparse_pack(&self.unreadable)? {
            let left_out = self.unreadable.clone();
            let sparse = self.changes.run_blocking(move |tables| tables.sparse_pack(&left_out))?;
            let Some(id) = sparse else { return Ok(()) };
            self.compact(&id)?;
            if !self.stopped() && self.handle.has_pack(&id)? {
                tracing::warn!(
                    file = %self.files.places().data_path(&id).display(),
                    "a pack cannot be compacted, as not all of its records can be read; its dead bytes stay"
                );
                self.unreadable.insert(id);
            }
        }
        Ok(())
    }

    /// Moves what is alive out of a pack.
    fn compact(&self, id: &str) -> Result<()> {
        let failed = |error: io::Error| disk_error("reading a pack", error);
        let file = match self.files.read(id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let mut records = Records::of(file);
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        while let Some(body) = records.next().map_err(failed)? {
            if self.stopped() {
                return Ok(());
            }
            if !self.handle.is_packed(&body.row_key, id, body.offset)? {
                continue;
            }
            batch_bytes += body.bytes.len();
            batch.push(body);
            if batch.len() == BATCH_BODIES || batch_bytes >= BATCH_BYTES {
                self.move_bodies(id, std::mem::take(&mut batch))?;
                batch_bytes = 0;
            }
        }
        self.move_bodies(id, batch)
    }

    fn move_bodies(&self, id: &str, bodies: Vec<PackedBody>) -> Result<()> {
        if bodies.is_empty() {
            return Ok(());
        }
        let id = id.to_owned();
        self.changes.run_blocking(move |tables| tables.move_bodies(&id, &bodies))
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
