//! TCP sockets: listening, and connections that HTTP clients open.
//!
//! Guarantees: connections over loopback are not paced, where the system allows that; otherwise
//! they only cost more CPU. Pacing must be disabled before the socket is connected
//! (docs/decisions/0010-no-pacing-over-loopback.md). It knows no protocol. Source: tcp(7),
//! *TCP_CONGESTION*.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower_service::Service;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A listening socket. **Errors**: as [`reserve`].
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    reserve(address)?.listen()
}

/// Connections that wait to be accepted, at most.
const BACKLOG: u32 = 1024;

/// A port that is reserved, on which nobody can connect yet.
#[derive(Debug)]
pub struct Reserved(TcpSocket);

/// Reserves the port of an address. **Errors**: the system's, for example that the port is in use.
pub fn reserve(address: SocketAddr) -> io::Result<Reserved> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A port is free although connections of an earlier process linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    if address.ip().is_loopback() {
        // Accepted sockets inherit the option.
        disable_pacing(&socket);
    }
    Ok(Reserved(socket))
}

impl Reserved {
    /// Lets clients connect. **Errors**: as `reserve`, where somebody else was faster.
    pub fn listen(self) -> io::Result<TcpListener> {
        self.0.listen(BACKLOG)
    }
}

/// Selects Reno, which does not pace and which every Linux has.
#[cfg(target_os = "linux")]
fn disable_pacing(socket: impl std::os::fd::AsFd) {
    if let Err(error) = rustix::net::sockopt::set_tcp_congestion(socket, "reno") {
        tracing::debug!(%error, "TCP_CONGESTION could not be set on a socket");
    }
}

#[cfg(not(target_os = "linux"))]
fn disable_pacing<T>(_: T) {}

/// Opens the connections of an HTTP client.
#[derive(Clone, Debug)]
pub struct Connector(HttpConnector);

type Socket = TokioIo<TcpStream>;
type Error = Box<dyn std::error::Error + Send + Sync>;

impl Default for Connector {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        Self(connector)
    }
}

impl Service<Uri> for Connector {
    type Response = Socket;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match loopback_address(&uri) {
            Some(address) => Box::pin(connect_unpaced(address).err_into()),
            None => Box::pin(self.0.call(uri).err_into()),
        }
    }
}

/// The IP address that a URL's host states literally; None for a name, which is not resolved.
pub fn ip_address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// The socket address of a URL whose host is a literal loopback address.
fn loopback_address(uri: &Uri) -> Option<SocketAddr> {
    let ip = ip_address(uri.host()?)?;
    let default_port = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    ip.is_loopback().then(|| SocketAddr::new(ip, uri.port_u16().unwrap_or(default_port)))
}

async fn connect_unpaced(address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    disable_pacing(&socket);
    let socket = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(address)).await??;
    Ok(TokioIo::new(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_addresses_count_as_loopback() {
        let table = [
            ("http://127.0.0.1:9000", Some("127.0.0.1:9000")),
            ("http://127.0.0.2", Some("127.0.0.2:80")),
            ("https://[::1]/b/k", Some("[::1]:443")),
            ("http://10.0.0.1:9000", None),
            ("http://localhost:9000", None),
        ];
        for (url, expected) in table {
            assert_eq!(
                loopback_address(&url.parse().unwrap()),
                expected.map(|address| address.parse().unwrap()),
                "{url}"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn neither_end_of_a_loopback_connection_is_paced() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut connector = Connector::default();
        let (opened, accepted) = tokio::join!(connector.call(uri), listener.accept());
        let (opened, (accepted, _)) = (opened.unwrap(), accepted.unwrap());
        for socket in [opened.inner(), &accepted] {
            assert_eq!(rustix::net::sockopt::tcp_congestion(socket).unwrap(), "reno");
        }
    }

    #[tokio::test]
    async fn host_names_are_resolved() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let uri =
            format!("http://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let mut connector = Connector::default();
        let (opened, accepted) = tokio::join!(connector.call(uri), listener.accept());
        assert_eq!(opened.unwrap().inner().local_addr().unwrap(), accepted.unwrap().1);
    }
}
