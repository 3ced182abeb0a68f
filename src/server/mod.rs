//! Sockets: accept, limits, time-outs, drain. Generic over a hyper service; it knows no routes.
//!
//! Guarantees: never more connections than the limit, and of one peer never more than its own,
//! which is lower; a client that is slow with its head, idle between requests, or reads its answer
//! too slowly is closed; at shutdown what is in flight may finish within the drain time; an answer
//! that goes out before its request was read reaches the client (lingering close). HTTP/1.1 only,
//! plain or in TLS. Source: RFC 9112 §9.6, DESIGN §2.

mod activity;
mod connection;
mod linger;
mod peers;
mod tls;
mod workers;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::clock::Clock;

use peers::Peers;
pub use tls::{Tls, TlsError, TlsSettings};
pub use workers::Workers;

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads for connections; 0: one for each core.
    pub workers: usize,
    pub max_connections: usize,
    /// Of one peer; see `peers`.
    pub max_peer_connections: usize,
    /// Of the request line and all fields.
    pub max_head_bytes: usize,
    /// From a request's first byte to the end of its head.
    pub head_timeout: Duration,
    /// Between two requests of one connection, and before the first.
    pub idle_timeout: Duration,
    /// For a client that takes nothing of its answer.
    pub write_timeout: Duration,
    /// A client must take `write_min_bytes` in each of these, counted while we wait for it.
    pub write_window: Duration,
    pub write_min_bytes: u64,
    /// How long requests in flight may go on at shutdown.
    pub drain_timeout: Duration,
    /// None: plain HTTP.
    pub tls: Option<TlsSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 0,
            max_connections: 8192,
            // Many clients may come by way of one proxy or one address of a site, but others are to
            // get in beside them.
            max_peer_connections: 6144,
            max_head_bytes: 32 << 10,
            head_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            write_window: Duration::from_secs(60),
            write_min_bytes: 64 << 10,
            drain_timeout: Duration::from_secs(30),
            tls: None,
        }
    }
}

/// How long accepting rests when the system has no descriptor left for another connection.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is ready, then drains. **Cancel**: a dropped future cuts every
/// connection.
pub async fn serve<S, B>(
    (listener, workers): (TcpListener, Workers),
    service: S,
    clock: Clock,
    (settings, tls): (Settings, Option<Tls>),
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + Unpin
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let peers = Peers::new(settings.max_peer_connections);
    let (drain, draining) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // A full house stops accepting: what waits in the system's queue is served when someone
        // leaves.
        let next = async {
            let place =
                Arc::clone(&places).acquire_owned().await.expect("the semaphore is never closed");
            (place, accept(&listener, &clock).await)
        };
        let (place, (socket, address)) = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = next => accepted,
        };
        let Some(of_peer) = peers.enter(address.ip()) else {
            tracing::debug!(%address, "a connection is closed: its peer has server.max_connections_of_peer");
            continue;
        };
        let (worker, seat) = workers.with_fewest();
        let terms = (clock.clone(), settings.clone());
        let (service, draining, tls) = (service.clone(), draining.clone(), tls.clone());
        let connection = async move {
            if let Err(error) = receive(socket, service, terms, (draining, tls)).await {
                tracing::debug!(%error, "a connection ended before its first request");
            }
            drop((place, of_peer, seat));
        };
        connections.spawn_on(connection, worker);
    }
    drop(listener);
    drain.send_replace(true);
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = clock.pause(settings.drain_timeout) => {
            tracing::warn!(seconds = settings.drain_timeout.as_secs(), "the drain time is over: connections are cut");
        }
    }
    workers.end().await;
}

/// The next connection, of no runtime yet.
async fn accept(listener: &TcpListener, clock: &Clock) -> (std::net::TcpStream, SocketAddr) {
    loop {
        match listener
            .accept()
            .await
            .and_then(|(socket, address)| Ok((socket.into_std()?, address)))
        {
            Ok(accepted) => return accepted,
            // One connection's error, such as a reset before we took it, is not the listener's.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                clock.pause(OUT_OF_DESCRIPTORS).await;
            }
        }
    }
}

/// Takes a connection into the runtime that it is to live on, and serves it. **Errors**: of the
/// socket, or of its TLS handshake.
async fn receive<S, B>(
    socket: std::net::TcpStream,
    service: S,
    terms: (Clock, Settings),
    (draining, tls): (watch::Receiver<bool>, Option<Tls>),
) -> std::io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + Unpin
        + 'static,
    S::Future: Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let socket = TcpStream::from_std(socket)?;
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "the socket does not take TCP_NODELAY");
    }
    // In boxes: in line, each connection would be as large as the handshake, 6 KiB more for each
    // that rests.
    let Some(tls) = tls else {
        Box::pin(connection::serve(socket, service, terms, draining)).await;
        return Ok(());
    };
    let (clock, settings) = &terms;
    let socket = tokio::select! {
        shaken = Box::pin(tls.accept(socket)) => shaken?,
        () = clock.pause(settings.head_timeout) => return Err(std::io::ErrorKind::TimedOut.into()),
    };
    Box::pin(connection::serve(socket, service, terms, draining)).await;
    Ok(())
}

#[cfg(test)]
mod tests;
