//! Accepting connections, handing each to a worker, and draining.
//!
//! Guarantees: those of the room; see `server`. It does not know HTTP: `connection` serves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;

use crate::clock::Clock;

use super::figures::Connections;
use super::peers::Peers;
use super::service::{HttpService, ResponseBody};
use super::{Settings, Tls, Workers, connection, plain_http};

/// How long accepting pauses after an error, such as that no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A server that is ready to accept connections.
pub struct Server {
    pub listener: TcpListener,
    pub workers: Workers,
    pub clock: Clock,
    pub settings: Settings,
    /// None: plain HTTP.
    pub tls: Option<Tls>,
    pub connections: Connections,
}

/// What a connection needs of its server.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    pub clock: Clock,
    pub settings: Settings,
    pub tls: Option<Tls>,
    /// Becomes true at shutdown.
    pub draining: watch::Receiver<bool>,
}

impl Server {
    /// Serves until `shutdown` is ready, then drains. **Cancel**: dropping the future cuts every
    /// connection.
    pub async fn serve<S, B>(self, service: S, shutdown: impl Future<Output = ()>)
    where
        S: HttpService<B>,
        B: ResponseBody,
    {
        let Self { listener, workers, clock, settings, tls, connections: counts } = self;
        let permits = Arc::new(Semaphore::new(settings.max_connections));
        let peers = Peers::new(settings.max_peer_connections);
        let drain_timeout = settings.drain_timeout;
        let (drain, draining) = watch::channel(false);
        let context = ConnectionContext { clock: clock.clone(), settings, tls, draining };
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            // At the limit nothing is accepted: further connections wait in the system's queue.
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                let permit = permit.expect("the semaphore is never closed");
                (permit, accept(&listener, &clock).await)
            };
            let (permit, (socket, address)) = tokio::select! {
                () = &mut shutdown => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                accepted = next => accepted,
            };
            let Some(peer_permit) = peers.acquire(address.ip()) else {
                counts.refused();
                tracing::debug!(%address, "a connection is closed: its peer is at server.max_connections_of_peer");
                continue;
            };
            let (runtime, token) = workers.least_loaded();
            let (service, context) = (service.clone(), context.clone());
            let counted = counts.accepted();
            let connection = async move {
                if let Err(error) = start_connection((socket, address), service, context).await {
                    tracing::debug!(%error, "a connection ended before its first request");
                }
                drop((permit, peer_permit, token, counted));
            };
            connections.spawn_on(connection, runtime);
        }
        drop(listener);
        drain.send_replace(true);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        tokio::select! {
            () = all_ended => {}
            () = clock.pause(drain_timeout) => {
                tracing::warn!(seconds = drain_timeout.as_secs(), "the drain timeout has expired: remaining connections are cut");
            }
        }
        workers.end().await;
    }
}

/// The next connection, not yet registered with a runtime.
async fn accept(listener: &TcpListener, clock: &Clock) -> (std::net::TcpStream, SocketAddr) {
    loop {
        match listener
            .accept()
            .await
            .and_then(|(socket, address)| Ok((socket.into_std()?, address)))
        {
            Ok(accepted) => return accepted,
            // The error of one connection, such as a reset before it was accepted, does not end the
            // listener.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                clock.pause(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection to a port that speaks TLS, by what its client speaks.
enum Accepted {
    Tls(Box<TlsStream<TcpStream>>),
    Plain(TcpStream),
}

/// Registers a connection with the runtime of its worker, and serves it. **Errors**: of the socket
/// or of the TLS handshake.
async fn start_connection<S, B>(
    (socket, peer): (std::net::TcpStream, SocketAddr),
    service: S,
    context: ConnectionContext,
) -> std::io::Result<()>
where
    S: HttpService<B>,
    B: ResponseBody,
{
    let socket = TcpStream::from_std(socket)?;
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set on a socket");
    }
    // Boxed: otherwise each connection's future would have room for the handshake, which is 6 KiB
    // more for each idle connection.
    let Some(tls) = context.tls.clone() else {
        Box::pin(connection::serve(socket, peer, service, context)).await;
        return Ok(());
    };
    let head_timeout = context.settings.head_timeout;
    let timed_out = context.clock.pause(head_timeout);
    let accepted = Box::pin(async {
        if plain_http::is_spoken(&socket).await? {
            return Ok(Accepted::Plain(socket));
        }
        tls.accept(socket).await.map(|encrypted| Accepted::Tls(Box::new(encrypted)))
    });
    let socket = tokio::select! {
        accepted = accepted => match accepted? {
            Accepted::Tls(encrypted) => *encrypted,
            Accepted::Plain(socket) => {
                Box::pin(plain_http::refuse(socket, &context.clock, head_timeout)).await;
                return Ok(());
            }
        },
        () = timed_out => return Err(std::io::ErrorKind::TimedOut.into()),
    };
    Box::pin(connection::serve(socket, peer, service, context)).await;
    Ok(())
}
