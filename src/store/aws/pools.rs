//! Connections for bodies, heads and listings, a pool of them for each runtime.
//!
//! Guarantees: a request goes over a connection of the runtime that it is sent from, so that no thread waits for
//! another's. A runtime's pool is made at its first request and kept for good: runtimes are as few as threads.
//! It signs nothing. Control calls have the SDK's own pool, which all runtimes share: they are rare.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use http::Request;
use http_body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{Handle, Id};

use crate::tcp;

const IDLE: Duration = Duration::from_secs(20);
/// The most that is read ahead of an answer's body, or gathered of a request's; `scripts/bench.sh memory` shows its price.
/// Downloads cost 1.13, 1.02, 0.94 and 1.03 of nginx's CPU with 128, 256, 408 and 1,024 KiB.
const BUFFER: usize = 408 << 10;

type Connector = HttpsConnector<tcp::Connector>;

pub(super) struct Pools<B> {
    connector: Connector,
    of: DashMap<Id, Client<Connector, B>>,
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
        Ok(Self { connector, of: DashMap::new() })
    }

    /// Sends a request over a connection of the calling task's runtime.
    pub fn request(&self, request: Request<B>) -> ResponseFuture {
        let here = Handle::current().id();
        if let Some(client) = self.of.get(&here) {
            return client.request(request);
        }
        self.of.entry(here).or_insert_with(|| self.client()).request(request)
    }

    fn client(&self) -> Client<Connector, B> {
        Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER)
            .build(self.connector.clone())
    }
}

impl<B> fmt::Debug for Pools<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").finish_non_exhaustive()
    }
}
