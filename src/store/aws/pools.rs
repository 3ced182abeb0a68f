//! Connections for bodies, heads and listings, a pool of them for each runtime.
//!
//! Guarantees: a request goes over a connection of the runtime that it is sent from, so that no
//! thread waits for another's. A runtime's pool is made at its first request and kept for good:
//! runtimes are as few as threads. Of all exchanges that are under way, so many have large buffers;
//! those beyond them, of whom most wait for slow clients, have small ones: a connection fills its
//! buffer, whether its client reads or not. It signs nothing. Control calls have the SDK's own
//! pool, which all runtimes share: they are rare.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use http::Request;
use http_body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{Handle, Id};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tcp;

const IDLE: Duration = Duration::from_secs(20);
/// The most that is read ahead of an answer's body, or gathered of a request's; `scripts/bench.sh
/// memory` shows its price. Downloads cost 1.13, 1.02, 0.94 and 1.03 of nginx's CPU with 128, 256,
/// 408 and 1,024 KiB.
const BUFFER: usize = 408 << 10;
/// The least that hyper takes.
const SMALL_BUFFER: usize = 8 << 10;
/// Exchanges with large buffers: as many as `scripts/bench.sh memory` has under way.
const LARGE_AT_ONCE: usize = 64;

type Connector = HttpsConnector<tcp::Connector>;

pub(super) struct Pools<B> {
    connector: Connector,
    of: DashMap<Id, Pool<B>>,
    large: Arc<Semaphore>,
}

/// The connections of one runtime.
struct Pool<B> {
    large: Client<Connector, B>,
    small: Client<Connector, B>,
}

/// What an exchange holds until the last byte of its answer is read.
#[derive(Debug)]
pub(super) struct Room {
    _large: Option<OwnedSemaphorePermit>,
}

impl<B> Pools<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// **Errors**: the TLS roots of this machine cannot be read.
    pub fn new() -> io::Result<Self> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp::Connector::default());
        Ok(Self { connector, of: DashMap::new(), large: Arc::new(Semaphore::new(LARGE_AT_ONCE)) })
    }

    /// Sends a request over a connection of the calling task's runtime.
    pub fn request(&self, request: Request<B>) -> (ResponseFuture, Room) {
        let large = Arc::clone(&self.large).try_acquire_owned().ok();
        let here = Handle::current().id();
        let send = |pool: &Pool<B>| {
            if large.is_some() { &pool.large } else { &pool.small }.request(request)
        };
        let answer = match self.of.get(&here) {
            Some(pool) => send(&pool),
            None => {
                let fresh =
                    || Pool { large: self.client(BUFFER), small: self.client(SMALL_BUFFER) };
                send(&self.of.entry(here).or_insert_with(fresh))
            }
        };
        (answer, Room { _large: large })
    }

    fn client(&self, buffer_bytes: usize) -> Client<Connector, B> {
        Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(buffer_bytes)
            .build(self.connector.clone())
    }
}

impl<B> fmt::Debug for Pools<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}
