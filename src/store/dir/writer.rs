//! The one thread that writes the index: everything that waits goes into one transaction.
//!
//! Guarantees: an answer is given only after the commit that holds it; changes happen one by one, in the order they
//! came, so a condition is decided against the change before it. The queue is bounded: writers wait at its door.
//! A change that fails is answered at once and its file removed; it does not spoil the others of its transaction.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::super::{Error, Kind, Result};
use super::files::Files;
use super::tables::{Tables, failed};

/// Changes that may wait; also the most in one transaction.
const QUEUE: usize = 256;

/// Applies one change; what it returns is told how the commit went.
type Change = Box<dyn FnOnce(&mut Tables<'_>) -> Applied + Send>;
type Answer = Box<dyn FnOnce(std::result::Result<(), Error>) + Send>;

/// A change within its transaction.
struct Applied {
    answer: Answer,
    /// A file that counts from the commit on.
    file: Option<String>,
    /// The change failed: nothing was written, and its file goes.
    failed: bool,
}

#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Change>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn start(database: Arc<Database>, files: Arc<Files>) -> io::Result<Self> {
        let (queue, changes) = mpsc::channel(QUEUE);
        let work = move || Loop { database, files, removed: Vec::new() }.run(changes);
        let thread = std::thread::Builder::new().name("dir-writer".to_owned()).spawn(work)?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a change and waits for its commit.
    pub async fn run<T: Send + 'static>(
        &self,
        file: Option<String>,
        change: impl FnOnce(&mut Tables<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let apply: Change = Box::new(move |tables| {
            let result = change(tables);
            let failed = result.is_err();
            let answer: Answer = Box::new(move |committed| {
                // Nobody waits any more: the change stands all the same.
                tell.send(committed.and(result)).ok();
            });
            Applied { answer, file, failed }
        });
        let stopped = || Error::new(Kind::Unavailable, "the store is closed");
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(apply).await.map_err(|_| stopped())?;
        told.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the queue ends the loop once all that waits is written.
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already failed its waiters.
            thread.join().ok();
        }
    }
}

struct Loop {
    database: Arc<Database>,
    files: Arc<Files>,
    /// Garbage that is off the disk and can be forgotten with the next commit.
    removed: Vec<String>,
}

impl Loop {
    fn run(mut self, mut changes: mpsc::Receiver<Change>) {
        let mut batch = Vec::with_capacity(QUEUE);
        while changes.blocking_recv_many(&mut batch, QUEUE) > 0 {
            let mut applied = Vec::with_capacity(batch.len());
            let committed = self.commit(batch.drain(..), &mut applied);
            match committed {
                Ok(let_go) => self.after_commit(applied, let_go),
                Err(error) => {
                    let kind = error.kind();
                    tracing::error!(%error, source = ?std::error::Error::source(&error), "a commit of the index failed");
                    // Their files stay: whether the commit holds is known only once the index was opened again.
                    for change in applied {
                        (change.answer)(Err(Error::new(kind, "the index could not be written")));
                    }
                }
            }
        }
    }

    /// One transaction with all the changes. Returns the files that it let go.
    fn commit(&mut self, batch: impl Iterator<Item = Change>, applied: &mut Vec<Applied>) -> Result<Vec<String>> {
        let transaction = self.database.begin_write().map_err(failed)?;
        let let_go = {
            let mut tables = Tables::open(&transaction)?;
            tables.removed(&self.removed)?;
            applied.extend(batch.map(|change| change(&mut tables)));
            std::mem::take(&mut tables.let_go)
        };
        transaction.commit().map_err(failed)?;
        self.removed.clear();
        Ok(let_go)
    }

    fn after_commit(&mut self, applied: Vec<Applied>, let_go: Vec<String>) {
        for change in applied {
            match change.file.as_deref() {
                Some(file) if !change.failed => {
                    // Should it fail, readers find it where it is, and the next opening moves it.
                    self.files.settle(file).ok();
                }
                file => self.drop_file(file),
            }
            (change.answer)(Ok(()));
        }
        for file in let_go {
            if self.files.remove(&file).is_ok() {
                self.removed.push(file);
            }
        }
    }

    fn drop_file(&self, file: Option<&str>) {
        if let Some(file) = file {
            // Should it stay, the next opening removes it.
            self.files.remove(file).ok();
        }
    }
}
