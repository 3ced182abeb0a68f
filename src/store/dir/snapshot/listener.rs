//! The thread of an open store that answers who wants a snapshot.
//!
//! Guarantees: one snapshot at a time, others wait; a client that goes away ends its hold; a client
//! that says nothing at first is given up after [`FIRST_WORD`]. Dropping it ends a snapshot that is
//! being taken, and waits for the thread. A directory that can have no socket is used without, with
//! one warning.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::super::files::Files;
use super::super::handle::Handle;
use super::held::Held;
use super::socket::{self, DONE, FAILED, HELD, HOLD, INDEX, read_line, write_line};
use crate::clock::Clock;

const FIRST_WORD: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(in super::super) struct Listener {
    directory: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// The connection that is being served.
    current: Mutex<Option<UnixStream>>,
}

impl Shared {
    fn current(&self) -> MutexGuard<'_, Option<UnixStream>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Work {
    handle: Arc<Handle>,
    files: Arc<Files>,
    clock: Clock,
    shared: Arc<Shared>,
}

impl Listener {
    /// Starts the thread. None if the directory can have no socket.
    pub fn start(
        directory: &Path,
        handle: Arc<Handle>,
        files: Arc<Files>,
        clock: Clock,
    ) -> Option<Self> {
        let shared = Arc::<Shared>::default();
        let work = Work { handle, files, clock, shared: Arc::clone(&shared) };
        let started = socket::listen(directory).and_then(|listener| {
            let thread = thread::Builder::new().name("dir-snapshots".to_owned());
            thread.spawn(move || work.run(&listener))
        });
        match started {
            Ok(thread) => {
                Some(Self { directory: directory.to_owned(), shared, thread: Some(thread) })
            }
            Err(error) => {
                let directory = directory.display();
                tracing::warn!(%directory, %error, "no socket can be made in the store's directory: `ratchet snapshot` and `ratchet check` need the gateway to be stopped");
                None
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(stream) = &*self.shared.current() {
            // An error: its client has gone already.
            stream.shutdown(std::net::Shutdown::Both).ok();
        }
        // Wakes the thread; if nobody can connect, the thread cannot be waited for.
        let woken = socket::connect(&self.directory).is_ok();
        if let Some(thread) = self.thread.take()
            && woken
        {
            // If the thread panicked, it has ended.
            thread.join().ok();
        }
        socket::remove(&self.directory);
    }
}

impl Work {
    fn run(self, listener: &UnixListener) {
        for stream in listener.incoming() {
            if self.stopped() {
                return;
            }
            let Ok(stream) = stream else { continue };
            *self.shared.current() = stream.try_clone().ok();
            // Looked at once more: the store may have been closed just before.
            if !self.stopped()
                && let Err(error) = self.serve(&stream)
            {
                tracing::debug!(%error, "the client of a snapshot has gone");
            }
            *self.shared.current() = None;
        }
    }

    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(FIRST_WORD))?;
        if read_line(stream)? != HOLD {
            return Ok(());
        }
        stream.set_read_timeout(None)?;
        let id = self.clock.random_id();
        let held = match Held::take(&self.handle, &self.files, id, &self.shared.stop) {
            Ok(held) => held,
            Err(error) => {
                let source = std::error::Error::source(&error);
                tracing::error!(%error, ?source, "the index could not be copied for a snapshot");
                return write_line(stream, &format!("{FAILED}{error}"));
            }
        };
        tracing::info!("a snapshot is being taken; files are removed again when it is done");
        write_line(stream, &format!("{INDEX}{}", held.index()))?;
        // Empty once the client has gone.
        let word = read_line(stream)?;
        if word == DONE && !self.stopped() {
            write_line(stream, HELD)?;
        }
        drop(held);
        tracing::info!("the snapshot is done");
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Acquire)
    }
}
