//! Threads that serve connections, each with a runtime of its own.
//!
//! Guarantees: a connection goes to the worker with the fewest connections and stays there, with
//! all tasks that it starts, so a request wakes no other thread
//! (docs/decisions/0007-one-runtime-per-worker.md). Workers accept no connections and know no
//! protocol.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Upper bound for the threads of all workers together that make blocking calls; tokio's default
/// for one runtime.
const MAX_BLOCKING_THREADS: usize = 512;

/// All workers. When it is dropped, they end, with all tasks that run on them.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Each connection of this worker holds a clone.
    token: ConnectionToken,
    /// Dropping it ends the runtime.
    _stop: oneshot::Sender<()>,
    /// Closed when the runtime has ended.
    ended: oneshot::Receiver<()>,
}

/// Counts a connection of a worker while it is held.
pub(super) type ConnectionToken = Arc<()>;

impl Workers {
    /// Starts `count` workers; 0: one per core. **Errors**: the system's, for example that it
    /// allows no more threads or file descriptors.
    pub async fn start(count: usize) -> io::Result<Self> {
        let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let count = if count == 0 { cores() } else { count };
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            all.push(Worker::start(number, (MAX_BLOCKING_THREADS / count).max(1)).await?);
        }
        Ok(Self(all))
    }

    /// The runtime of the worker with the fewest connections, and the token that counts a
    /// connection there.
    pub(super) fn least_loaded(&self) -> (&Handle, ConnectionToken) {
        let worker = self.0.iter().min_by_key(|worker| Arc::strong_count(&worker.token));
        let worker = worker.expect("there is at least one worker");
        (&worker.runtime, Arc::clone(&worker.token))
    }

    /// Ends all workers, and returns when none of their tasks runs any more.
    pub(super) async fn end(self) {
        let ended: Vec<_> = self.0.into_iter().map(|worker| worker.ended).collect();
        for ended in ended {
            // An error: nothing is ever sent, the channel only closes.
            drop(ended.await);
        }
    }
}

impl Worker {
    async fn start(number: usize, blocking_threads: usize) -> io::Result<Self> {
        let (runtime_tx, runtime_rx) = oneshot::channel();
        let (stop_tx, stop_rx) = oneshot::channel::<()>();
        let (ended_tx, ended_rx) = oneshot::channel::<()>();
        // The thread creates the runtime, because a runtime must not be dropped in async code.
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            match Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(blocking_threads)
                .build()
            {
                Ok(runtime) => {
                    if runtime_tx.send(Ok(runtime.handle().clone())).is_ok() {
                        drop(runtime.block_on(stop_rx));
                    }
                }
                Err(error) => drop(runtime_tx.send(Err(error))),
            }
            drop(ended_tx);
        })?;
        let runtime = runtime_rx.await.map_err(io::Error::other)??;
        Ok(Self { runtime, token: ConnectionToken::default(), _stop: stop_tx, ended: ended_rx })
    }
}
