//! The thread that writes the index: all queued changes go into one transaction.
//!
//! Guarantees: a change returns only after its commit, and the commit happens only after the names
//! of its files are durable; changes are applied one by one, in the order of the queue, so a
//! condition is decided against the change before it. The queue is bounded: callers wait while it
//! is full. A commit whose changes are in the journal is durable with it, and needs no sync of the
//! index (`packs`). A change that fails does not affect the other changes of its
//! transaction; its file is removed. A commit that fails (a full disk) fails all its changes, and
//! the index is reopened, at once and then with each further change until it succeeds: only then is
//! it known whether the commit holds, and so which of its files stay.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};

use redb::{Durability, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::super::{Error, Result};
use super::background::Background;
use super::disk::disk_error;
use super::files::Files;
use super::handle::Handle;
use super::packs::{PackWriter, start_compactor};
use super::reaper;
use super::tables::{Changed, Tables, index_error};

/// The capacity of the queue; also the largest number of changes in one transaction.
const MAX_QUEUED: usize = 256;

/// A change in the queue or in the current transaction.
struct QueuedChange {
    /// A new file that the change refers to.
    file: Option<String>,
    /// False: it failed or was not reached, so nothing was written, and its file is removed.
    applied: bool,
    work: Box<dyn Work>,
}

trait Work: Send {
    /// Makes the change. Returns whether it succeeded.
    fn apply(&mut self, tables: &mut Tables<'_>) -> bool;
    /// Sends the outcome to the caller. If the caller is gone, the change holds nevertheless.
    fn respond(self: Box<Self>, committed: Result<()>);
}

struct Job<T, F> {
    change: Option<F>,
    result: Result<T>,
    tx: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&mut Tables<'_>) -> Result<T> + Send> Work for Job<T, F> {
    fn apply(&mut self, tables: &mut Tables<'_>) -> bool {
        if let Some(change) = self.change.take() {
            self.result = change(tables);
        }
        self.result.is_ok()
    }

    fn respond(self: Box<Self>, committed: Result<()>) {
        // The caller may be gone.
        self.tx.send(committed.and(self.result)).ok();
    }
}

/// An empty change. It is queued to make the writer reopen an index that failed.
struct Wake;

impl Work for Wake {
    fn apply(&mut self, _tables: &mut Tables<'_>) -> bool {
        true
    }

    fn respond(self: Box<Self>, _committed: Result<()>) {}
}

/// The sending end of the queue. The queue is closed once all clones are dropped.
#[derive(Clone, Debug)]
pub(super) struct Changes(mpsc::Sender<QueuedChange>);

impl Changes {
    /// As [`Writer::run`], for a thread that may block.
    pub fn run_blocking<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (queued, rx) = job(None, change);
        self.0.blocking_send(queued).map_err(|_| closed())?;
        rx.blocking_recv().map_err(|_| closed())?
    }
}

fn job<T: Send + 'static>(
    file: Option<String>,
    change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
) -> (QueuedChange, oneshot::Receiver<Result<T>>) {
    let (tx, rx) = oneshot::channel();
    let job = Job { change: Some(change), result: Err(closed()), tx };
    (QueuedChange { file, applied: false, work: Box::new(job) }, rx)
}

fn closed() -> Error {
    Error::unavailable("the store is closed")
}

#[derive(Debug)]
pub(super) struct Writer {
    changes: Option<Changes>,
    reaper: Option<Background>,
    compactor: Option<Background>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread, and those that remove and compact files; `seed` is random, for the ids of
    /// packs.
    pub fn start(handle: Arc<Handle>, files: Arc<Files>, seed: String) -> io::Result<Self> {
        let (tx, rx) = mpsc::channel(MAX_QUEUED);
        let changes = Changes(tx);
        let (reaper, wake_reaper) =
            reaper::start(Arc::clone(&handle), Arc::clone(&files), changes.clone())?;
        let (compactor, wake_compactor) =
            start_compactor(Arc::clone(&handle), Arc::clone(&files), changes.clone())?;
        let writer = WriterLoop {
            handle,
            packs: PackWriter::new(Arc::clone(&files), seed),
            files,
            wake_reaper,
            wake_compactor,
            uncertain: Vec::new(),
            failed: false,
            reopened: false,
        };
        let thread =
            thread::Builder::new().name("dir-writer".to_owned()).spawn(move || writer.run(rx))?;
        let (reaper, compactor) = (Some(reaper), Some(compactor));
        Ok(Self { changes: Some(changes), reaper, compactor, thread: Some(thread) })
    }

    /// Queues a change and waits for its commit.
    pub async fn run<T: Send + 'static>(
        &self,
        file: Option<String>,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Changes(queue) = self.changes.as_ref().ok_or_else(closed)?;
        let (queued, rx) = job(file, change);
        queue.send(queued).await.map_err(|_| closed())?;
        rx.await.map_err(|_| closed())?
    }

    /// Makes the writer reopen the index if it failed.
    pub fn wake(&self) {
        if let Some(Changes(queue)) = &self.changes {
            // If the queue is full, the queued changes make the writer reopen the index anyway.
            queue.try_send(QueuedChange { file: None, applied: false, work: Box::new(Wake) }).ok();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Stops these before the writer, because they may be waiting for it.
        self.compactor = None;
        self.reaper = None;
        // Closing the queue ends the loop once all queued changes are written.
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            // If the thread panicked, its callers have already failed.
            thread.join().ok();
        }
    }
}

/// Whom a commit gives something to do.
struct Wakes {
    reaper: bool,
    compactor: bool,
}

struct WriterLoop {
    handle: Arc<Handle>,
    files: Arc<Files>,
    packs: PackWriter,
    /// To unpark the reaper.
    wake_reaper: Thread,
    /// To unpark the compactor.
    wake_compactor: Thread,
    /// Files of failed commits: only the reopened index tells whether it refers to them.
    uncertain: Vec<String>,
    /// Whether the last transaction failed, and the index was not reopened since.
    failed: bool,
    /// Whether the index was reopened since the last commit: the reaper must look for garbage, as
    /// a failed commit may hold, or a removal may have failed.
    reopened: bool,
}

impl WriterLoop {
    fn run(mut self, mut changes: mpsc::Receiver<QueuedChange>) {
        let mut batch = Vec::with_capacity(MAX_QUEUED);
        while changes.blocking_recv_many(&mut batch, MAX_QUEUED) > 0 {
            let committed =
                self.begin().and_then(|transaction| self.commit(transaction, &mut batch));
            match committed {
                Ok(wake) => self.after_commit(&mut batch, wake),
                Err(error) => self.after_failure(&mut batch, &error),
            }
        }
    }

    fn begin(&mut self) -> Result<WriteTransaction> {
        if !self.failed
            && let Ok(transaction) = self.handle.write()
        {
            return Ok(transaction);
        }
        self.recover()?;
        self.handle.write()
    }

    /// Ends the pack, reopens the index, and reconciles the files of failed commits with it.
    fn recover(&mut self) -> Result<()> {
        let abandoned = self.packs.abandon();
        self.uncertain.extend(abandoned.map_err(|error| disk_error("ending a pack", error))?);
        self.handle.reopen(self.files.places())?;
        self.handle.reconcile_files(&self.files, &self.uncertain)?;
        self.uncertain.clear();
        self.failed = false;
        self.reopened = true;
        Ok(())
    }

    /// Commits all changes in one transaction. Returns whom to wake.
    fn commit(
        &mut self,
        mut transaction: WriteTransaction,
        batch: &mut [QueuedChange],
    ) -> Result<Wakes> {
        let (appending, was_finished) = self.packs.begin();
        let changed = {
            let mut tables = Tables::open(&transaction, appending)?;
            for change in &mut *batch {
                change.applied = change.work.apply(&mut tables);
            }
            tables.finish()?
        };
        let Changed { appending, live_bytes, releases_files, leaves_sparse_pack } = changed;
        let is_journaled = appending.is_journaled;
        let begun = self.packs.begin_file(&appending);
        let begun = begun.map_err(|error| disk_error("creating a pack", error))?;
        // The names first: the changes may be durable with the pack. One sync for all files.
        if begun || batch.iter().any(|change| change.applied && change.file.is_some()) {
            self.files
                .sync_names()
                .map_err(|error| disk_error("syncing the names of files", error))?;
        }
        // Before the commit: a row must not refer to bytes that a power loss takes away.
        let written = self.packs.write(appending);
        written.map_err(|error| disk_error("writing a pack", error))?;
        if is_journaled {
            transaction.set_durability(Durability::None).map_err(index_error)?;
        }
        transaction.commit().map_err(index_error)?;
        let is_finished = self.packs.committed(is_journaled, live_bytes);
        let compactor = was_finished || is_finished || leaves_sparse_pack;
        Ok(Wakes { reaper: releases_files, compactor })
    }

    fn after_commit(&mut self, batch: &mut Vec<QueuedChange>, wake: Wakes) {
        for change in batch.drain(..) {
            match change.file.as_deref() {
                Some(file) if change.applied => {
                    // If this fails, readers find the file under `incoming/`, and the next opening
                    // moves it.
                    self.files.publish(file).ok();
                }
                file => self.drop_file(file),
            }
            change.work.respond(Ok(()));
        }
        // Only after a commit that succeeded: the reaper's own changes would fail too, and would
        // make the writer reopen the index.
        let reopened = std::mem::take(&mut self.reopened);
        if wake.reaper || reopened {
            self.wake_reaper.unpark();
        }
        if wake.compactor || reopened {
            self.wake_compactor.unpark();
        }
    }

    fn after_failure(&mut self, batch: &mut Vec<QueuedChange>, error: &Error) {
        let source = std::error::Error::source(error);
        tracing::error!(%error, ?source, "the index could not be written; it is reopened");
        for change in &mut *batch {
            match change.file.take() {
                Some(file) if change.applied => self.uncertain.push(file),
                file => self.drop_file(file.as_deref()),
            }
        }
        self.failed = true;
        // Before the callers hear of the failure: they may want to read.
        if let Err(error) = self.recover() {
            let source = std::error::Error::source(&error);
            tracing::error!(%error, ?source, "the index could not be reopened; the next change tries again");
        }
        for change in batch.drain(..) {
            change.work.respond(Err(Error::new(error.kind(), "the index could not be written")));
        }
    }

    fn drop_file(&self, file: Option<&str>) {
        if let Some(file) = file {
            // If this fails, the next opening removes the file.
            self.files.remove(file).ok();
        }
    }
}
