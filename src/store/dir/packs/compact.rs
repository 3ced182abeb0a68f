//! The thread that compacts packs: it moves what is alive out of packs that are mostly dead.
//!
//! Guarantees: neither readers nor the opening of a store wait for it, and changes wait for at most
//! one batch; a body is moved only if its object still refers to it, by the writer thread, in one
//! transaction with the object's row. A crash leaves the old or the new place. A pack whose records
//! cannot be read is left as it is until the store is opened again.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::thread::Thread;

use super::super::super::Result;
use super::super::background::{Background, Stop};
use super::super::disk::disk_error;
use super::super::files::Files;
use super::super::handle::Handle;
use super::super::writer::Changes;
use super::record::{PackedBody, Records};

/// The most that is moved in one transaction.
const BATCH_BODIES: usize = 64;
const BATCH_BYTES: usize = 512 << 10;

/// Starts the thread, which begins with the packs that are mostly dead already. Returns its handle
/// too, to be unparked whenever there may be more. Dropping the thread waits for the current batch;
/// the rest is moved after the next opening.
pub fn start_compactor(
    handle: Arc<Handle>,
    files: Arc<Files>,
    changes: Changes,
) -> io::Result<(Background, Thread)> {
    let mut work = Work { handle, files, changes, unreadable: HashSet::new() };
    Background::start("dir-compactor", move |stop| {
        // If the index or the disk fails now, the next change to a pack tries again.
        if let Err(error) = work.compact_all(stop) {
            tracing::debug!(%error, "packs could not be compacted");
        }
    })
}

struct Work {
    handle: Arc<Handle>,
    files: Arc<Files>,
    changes: Changes,
    /// Packs that have something alive that was not found.
    unreadable: HashSet<String>,
}

impl Work {
    fn compact_all(&mut self, stop: &Stop) -> Result<()> {
        // The writer is asked only if there may be one, as it knows which pack is not finished.
        while !stop.is_asked() && self.handle.has_sparse_pack(&self.unreadable)? {
            let left_out = self.unreadable.clone();
            let sparse = self.changes.run_blocking(move |tables| tables.sparse_pack(&left_out))?;
            let Some(id) = sparse else { return Ok(()) };
            self.compact(&id, stop)?;
            if !stop.is_asked() && self.handle.has_pack(&id)? {
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
    fn compact(&self, id: &str, stop: &Stop) -> Result<()> {
        let failed = |error: io::Error| disk_error("reading a pack", error);
        let file = match self.files.read(id) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        let mut records = Records::of(file);
        let (mut batch, mut batch_bytes) = (Vec::new(), 0);
        while let Some(body) = records.next().map_err(failed)? {
            if stop.is_asked() {
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
}
