//! Connections for bodies, heads and listings: a pool for each runtime.
//!
//! Guarantees: a request uses a connection of the runtime that sends it
//! (docs/decisions/0007-one-runtime-per-worker.md). A runtime's pool is created at its first
//! request and never removed: there are as few runtimes as threads. A fixed number of exchanges
//! have large buffers and the others small ones, because a connection fills its buffer whether its
//! client reads or not (docs/decisions/0009-read-ahead-of-store-answers.md). It signs nothing.
//! Control calls use the SDK's own pool, which all runtimes share: they are rare.

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

const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The most that is read ahead of a response's body, or collected of a request's
/// (docs/decisions/0009-read-ahead-of-store-answers.md).
const LARGE_BUFFER_BYTES: usize = 408 << 10;
/// The smallest size that hyper accepts.
const SMALL_BUFFER_BYTES: usize = 8 << 10;
/// Exchanges with large buffers, at the same time.
const MAX_LARGE: usize = 64;

type Connector = HttpsConnector<tcp::Connector>;

pub(super) struct Pools<B> {
    connector: Connector,
    by_runtime: DashMap<Id, Pool<B>>,
    large: Arc<Semaphore>,
}

/// The connections of one runtime.
struct Pool<B> {
    large: Client<Connector, B>,
    small: Client<Connector, B>,
}

/// The permit of an exchange for its buffers, held until the last byte of the response is read.
#[derive(Debug)]
pub(super) struct BufferPermit {
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
        Ok(Self {
            connector,
            by_runtime: DashMap::new(),
            large: Arc::new(Semaphore::new(MAX_LARGE)),
        })
    }

    /// Sends a request over a connection of the calling task's runtime.
    pub fn request(&self, request: Request<B>) -> (ResponseFuture, BufferPermit) {
        let large = Arc::clone(&self.large).try_acquire_owned().ok();
        let runtime = Handle::current().id();
        let send = |pool: &Pool<B>| {
            if large.is_some() { &pool.large } else { &pool.small }.request(request)
        };
        let response = match self.by_runtime.get(&runtime) {
            Some(pool) => send(&pool),
            None => {
                let new_pool = || Pool {
                    large: self.client(LARGE_BUFFER_BYTES),
                    small: self.client(SMALL_BUFFER_BYTES),
                };
                send(&self.by_runtime.entry(runtime).or_insert_with(new_pool))
            }
        };
        (response, BufferPermit { _large: large })
    }

    fn client(&self, buffer_bytes: usize) -> Client<Connector, B> {
        Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
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
