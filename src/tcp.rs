//! TCP sockets: the one that listens, and those that a client of HTTP opens.
//!
//! Guarantees: what goes from and to a loopback address is not paced, where the system can be told
//! so; where it refuses, that costs speed alone. BBR, a usual default of servers, sends by timers
//! at the rate that it measured, which spares the queues of a network. Over loopback there are
//! none, and the timers cost a gateway beside its store or its client a quarter of a download's
//! CPU. A socket that was once paced stays so, so it is told before it is connected. It knows no
//! protocol. Source: tcp(7), *TCP_CONGESTION*.

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

const CONNECT: Duration = Duration::from_secs(5);

/// A listening socket. **Errors**: the system's, for example that the port is busy.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address).await?;
    if address.ip().is_loopback() {
        // What it accepts inherits it.
        unpace(&listener);
    }
    Ok(listener)
}

/// Reno paces nothing, and every Linux has it.
#[cfg(target_os = "linux")]
fn unpace(socket: impl std::os::fd::AsFd) {
    if let Err(error) = rustix::net::sockopt::set_tcp_congestion(socket, "reno") {
        tracing::debug!(%error, "the socket does not take TCP_CONGESTION");
    }
}

#[cfg(not(target_os = "linux"))]
fn unpace<T>(_: T) {}

/// Opens connections for a client of HTTP.
#[derive(Clone, Debug)]
pub struct Connector(HttpConnector);

type Socket = TokioIo<TcpStream>;
type Error = Box<dyn std::error::Error + Send + Sync>;

impl Default for Connector {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
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

    fn call(&mut self, to: Uri) -> Self::Future {
        match loopback(&to) {
            Some(address) => Box::pin(open_unpaced(address).err_into()),
            None => Box::pin(self.0.call(to).err_into()),
        }
    }
}

/// The address that a URL's host is; None where it is a name, which is not looked up.
pub fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// Whom a URL names, if it is by an address of loopback.
fn loopback(to: &Uri) -> Option<SocketAddr> {
    let ip = address(to.host()?)?;
    let usual = if to.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    ip.is_loopback().then(|| SocketAddr::new(ip, to.port_u16().unwrap_or(usual)))
}

async fn open_unpaced(address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    unpace(&socket);
    let socket = tokio::time::timeout(CONNECT, socket.connect(address)).await??;
    Ok(TokioIo::new(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_address() {
        let table = [
            ("http://127.0.0.1:9000", Some("127.0.0.1:9000")),
            ("http://127.0.0.2", Some("127.0.0.2:80")),
            ("https://[::1]/b/k", Some("[::1]:443")),
            ("http://10.0.0.1:9000", None),
            ("http://localhost:9000", None),
        ];
        for (url, wanted) in table {
            assert_eq!(
                loopback(&url.parse().unwrap()),
                wanted.map(|address| address.parse().unwrap()),
                "{url}"
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn both_ends_of_a_connection_over_loopback_are_unpaced() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let to = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let mut connector = Connector::default();
        let (opened, accepted) = tokio::join!(connector.call(to), listener.accept());
        let (opened, (accepted, _)) = (opened.unwrap(), accepted.unwrap());
        for socket in [opened.inner(), &accepted] {
            assert_eq!(rustix::net::sockopt::tcp_congestion(socket).unwrap(), "reno");
        }
    }

    #[tokio::test]
    async fn names_are_looked_up() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let to =
            format!("http://localhost:{}", listener.local_addr().unwrap().port()).parse().unwrap();
        let mut connector = Connector::default();
        let (opened, accepted) = tokio::join!(connector.call(to), listener.accept());
        assert_eq!(opened.unwrap().inner().local_addr().unwrap(), accepted.unwrap().1);
    }
}
