//! The one thread that writes the index: everything that waits goes into one transaction.
//!
//! Guarantees: an answer is given only after the commit that holds it, and that only after the
//! names of its files are durable; changes happen one by one, in the order they came, so a
//! condition is decided against the change before it. The queue is bounded: writers wait at its
//! door. A change that fails is answered at once and its file removed; it does not spoil the others
//! of its transaction. A commit that fails (a full disk) fails all its changes, and the index is
//! opened anew, at once and then with each further change until it can be: only then is it known
//! whether the commit holds, and so which of its files stay.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle, Thread};

use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot};

use super::super::{Error, Kind, Result};
use super::disk::disk_error;
use super::files::Files;
use super::handle::Handle;
use super::reaper::Reaper;
use super::tables::{Tables, failed};

/// Changes that may wait; also the most in one transaction.
const QUEUE: usize = 256;

/// A change that waits for its commit.
struct Waiting {
    /// A file that counts from the commit on.
    file: Option<String>,
    /// False: it failed or never came to it, so nothing was written, and its file goes.
    applied: bool,
    work: Box<dyn Work>,
}

trait Work: Send {
    /// Makes the change; false where it fails.
    fn apply(&mut self, tables: &mut Tables<'_>) -> bool;
    /// Tells the waiter, if it still is one: the change stands all the same.
    fn answer(self: Box<Self>, committed: Result<()>);
}

struct Job<T, F> {
    change: Option<F>,
    result: Result<T>,
    tell: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&mut Tables<'_>) -> Result<T> + Send> Work for Job<T, F> {
    fn apply(&mut self, tables: &mut Tables<'_>) -> bool {
        if let Some(change) = self.change.take() {
            self.result = change(tables);
        }
        self.result.is_ok()
    }

    fn answer(self: Box<Self>, committed: Result<()>) {
        // Nobody may wait any more.
        self.tell.send(committed.and(self.result)).ok();
    }
}

/// Nothing to change: only that the index is looked after.
struct Wake;

impl Work for Wake {
    fn apply(&mut self, _tables: &mut Tables<'_>) -> bool {
        true
    }

    fn answer(self: Box<Self>, _committed: Result<()>) {}
}

/// The way to the writer. The queue is closed once all clones are dropped.
#[derive(Clone, Debug)]
pub(super) struct Changes(mpsc::Sender<Waiting>);

impl Changes {
    /// As [`Writer::run`], for a thread that may block.
    pub fn run_blocking<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (waiting, told) = job(None, change);
        self.0.blocking_send(waiting).map_err(|_| closed())?;
        told.blocking_recv().map_err(|_| closed())?
    }
}

fn job<T: Send + 'static>(
    file: Option<String>,
    change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
) -> (Waiting, oneshot::Receiver<Result<T>>) {
    let (tell, told) = oneshot::channel();
    let job = Job { change: Some(change), result: Err(closed()), tell };
    (Waiting { file, applied: false, work: Box::new(job) }, told)
}

fn closed() -> Error {
    Error::new(Kind::Unavailable, "the store is closed")
}

#[derive(Debug)]
pub(super) struct Writer {
    changes: Option<Changes>,
    reaper: Option<Reaper>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(handle: Arc<Handle>, files: Arc<Files>) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let changes = Changes(queue);
        let (reaper, more_to_remove) =
            Reaper::start(Arc::clone(&handle), Arc::clone(&files), changes.clone())?;
        let work = Loop { handle, files, more_to_remove, in_doubt: Vec::new(), opened_anew: false };
        let thread = thread::Builder::new()
            .name("dir-writer".to_owned())
            .spawn(move || work.run(waiting))?;
        Ok(Self { changes: Some(changes), reaper: Some(reaper), thread: Some(thread) })
    }

    /// Queues a change and waits for its commit.
    pub async fn run<T: Send + 'static>(
        &self,
        file: Option<String>,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let Changes(queue) = self.changes.as_ref().ok_or_else(closed)?;
        let (waiting, told) = job(file, change);
        queue.send(waiting).await.map_err(|_| closed())?;
        told.await.map_err(|_| closed())?
    }

    /// Has the index opened anew if it must be.
    pub fn wake(&self) {
        if let Some(Changes(queue)) = &self.changes {
            // A full queue wakes it as well.
            queue.try_send(Waiting { file: None, applied: false, work: Box::new(Wake) }).ok();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may wait for the loop.
        self.reaper = None;
        // Closing the queue ends the loop once all that waits is written.
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already failed its waiters.
            thread.join().ok();
        }
    }
}

struct Loop {
    handle: Arc<Handle>,
    files: Arc<Files>,
    /// The reaper, to unpark.
    more_to_remove: Thread,
    /// Files of commits that failed: whether they hold is known only once the index was opened
    /// anew.
    in_doubt: Vec<String>,
    /// What is to be removed may be known since then only, or have failed to be removed.
    opened_anew: bool,
}

impl Loop {
    fn run(mut self, mut changes: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(QUEUE);
        while changes.blocking_recv_many(&mut batch, QUEUE) > 0 {
            let committed =
                self.begin().and_then(|transaction| self.commit(transaction, &mut batch));
            match committed {
                Ok(lets_go) => self.after_commit(&mut batch, lets_go),
                Err(error) => self.after_failure(&mut batch, &error),
            }
        }
    }

    fn begin(&mut self) -> Result<WriteTransaction> {
        if self.in_doubt.is_empty()
            && let Ok(transaction) = self.handle.write()
        {
            return Ok(transaction);
        }
        self.recover()?;
        self.handle.write()
    }

    /// Opens the index anew, and does what is left to do with files.
    fn recover(&mut self) -> Result<()> {
        self.handle.reopen()?;
        self.handle.catch_up(&self.files, &self.in_doubt)?;
        self.in_doubt.clear();
        self.opened_anew = true;
        Ok(())
    }

    /// One transaction with all the changes. Returns whether it let files go.
    fn commit(&self, transaction: WriteTransaction, batch: &mut [Waiting]) -> Result<bool> {
        let frees_files = {
            let mut tables = Tables::open(&transaction)?;
            for change in &mut *batch {
                change.applied = change.work.apply(&mut tables);
            }
            tables.frees_files
        };
        // Once for all the files that count from this commit on.
        if batch.iter().any(|change| change.applied && change.file.is_some()) {
            self.files
                .sync_names()
                .map_err(|error| disk_error("syncing the names of files", error))?;
        }
        transaction.commit().map_err(failed)?;
        Ok(frees_files)
    }

    fn after_commit(&mut self, batch: &mut Vec<Waiting>, frees_files: bool) {
        for change in batch.drain(..) {
            match change.file.as_deref() {
                Some(file) if change.applied => {
                    // Should it fail, readers find it where it is, and the next opening moves it.
                    self.files.publish(file).ok();
                }
                file => self.drop_file(file),
            }
            change.work.answer(Ok(()));
        }
        // Not before a commit succeeds: the reaper's own fails as long as others do, and would
        // have the index opened anew.
        if frees_files || std::mem::take(&mut self.opened_anew) {
            self.more_to_remove.unpark();
        }
    }

    fn after_failure(&mut self, batch: &mut Vec<Waiting>, error: &Error) {
        let source = std::error::Error::source(error);
        tracing::error!(%error, ?source, "the index could not be written; it is opened anew");
        for change in &mut *batch {
            match change.file.take() {
                Some(file) if change.applied => self.in_doubt.push(file),
                file => self.drop_file(file.as_deref()),
            }
        }
        // Before the answers: who hears of the failure may want to read.
        if let Err(error) = self.recover() {
            let source = std::error::Error::source(&error);
            tracing::error!(%error, ?source, "the index could not be opened anew; the next change tries again");
        }
        for change in batch.drain(..) {
            change.work.answer(Err(Error::new(error.kind(), "the index could not be written")));
        }
    }

    fn drop_file(&self, file: Option<&str>) {
        if let Some(file) = file {
            // Should it stay, the next opening removes it.
            self.files.remove(file).ok();
        }
    }
}
