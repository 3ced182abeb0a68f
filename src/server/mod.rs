//! Sockets: accepting, limits, timeouts, drain. Generic over a hyper service; it knows no routes.
//!
//! Guarantees: there are never more connections than the limit, and of one peer never more than the
//! lower limit per peer; the connection of a client that is slow with its head, idle between
//! requests, or reads its response too slowly is closed; at shutdown, requests in flight may finish
//! within the drain timeout; a response that goes out before its request was read reaches the
//! client (lingering close). HTTP/1.1 only, plain or over TLS. Sources: RFC 9112 §9.6,
//! docs/architecture.md#server.

mod activity;
mod connection;
mod figures;
mod lingering_close;
mod peers;
mod plain_http;
mod serve;
mod service;
mod tls;
mod workers;

use std::time::Duration;

pub use figures::Connections;
pub use serve::Server;
pub use tls::{Tls, TlsError, TlsSettings};
pub use workers::Workers;

/// The room's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads that serve connections; 0: one per core.
    pub workers: usize,
    pub max_connections: usize,
    /// Connections of one peer; see `peers`.
    pub max_peer_connections: usize,
    /// Size of a request's line and header fields together.
    pub max_head_bytes: usize,
    /// From a request's first byte to the end of its head.
    pub head_timeout: Duration,
    /// Before the first request of a connection and between two requests.
    pub idle_timeout: Duration,
    /// How long a client may read nothing of its response.
    pub write_timeout: Duration,
    /// A client must read `write_min_bytes` in each window. Only time in which the server waits for
    /// the client counts.
    pub write_window: Duration,
    pub write_min_bytes: u64,
    /// How long requests in flight may continue at shutdown.
    pub drain_timeout: Duration,
    /// None: plain HTTP.
    pub tls: Option<TlsSettings>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 0,
            max_connections: 8192,
            // Many clients may share one proxy or one address of a site; the rest is left for
            // others.
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

#[cfg(test)]
mod tests;
