//! Connections to the gateway by way of a proxy, where the environment names one.
//!
//! Guarantees: `HTTPS_PROXY` counts for `https:`, `HTTP_PROXY` for `http:`, `ALL_PROXY` for both,
//! in capitals or not, and none of them for a host of `NO_PROXY`, as in curl. Over an HTTP proxy
//! `https:` is tunnelled (CONNECT), `http:` is forwarded by it. A password is never printed.
//! Source: curl(1), *ENVIRONMENT*; RFC 9110 §9.3.6.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::TryFutureExt;
use http::{HeaderValue, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use crate::client::{Endpoint, Error, Result};
use crate::tcp;

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type Connecting = Pin<Box<dyn Future<Output = std::result::Result<Stream, AnyError>> + Send>>;

/// Opens connections to the gateway.
#[derive(Clone)]
pub(super) struct Connector {
    direct: tcp::Connector,
    route: Route,
}

#[derive(Clone)]
enum Route {
    Direct,
    /// The proxy sends the requests on.
    Forward(Intercept),
    Tunnel(Intercept),
    /// `local_dns`: the name of the gateway is resolved here.
    Socks {
        proxy: Intercept,
        local_dns: bool,
    },
}

/// A proxy that failed.
#[derive(Debug, thiserror::Error)]
#[error("the proxy {proxy} (of HTTPS_PROXY, HTTP_PROXY or ALL_PROXY) cannot be used")]
struct ProxyError {
    proxy: Uri,
    #[source]
    source: AnyError,
}

impl Connector {
    /// Connections to this gateway, as the environment says. **Errors**: `WrongUse` for a proxy of
    /// another kind.
    pub fn find(endpoint: &Endpoint) -> Result<Self> {
        Self::by(&Matcher::from_env(), endpoint)
    }

    fn by(matcher: &Matcher, endpoint: &Endpoint) -> Result<Self> {
        let uri: Option<Uri> = endpoint.url.parse().ok();
        let proxy = uri.as_ref().and_then(|uri| matcher.intercept(uri));
        let route = match proxy {
            None => Route::Direct,
            Some(proxy) => match proxy.uri().scheme_str() {
                Some("http") if endpoint.url.starts_with("https:") => Route::Tunnel(proxy),
                Some("http") => Route::Forward(proxy),
                Some("socks5") => Route::Socks { proxy, local_dns: true },
                Some("socks5h") => Route::Socks { proxy, local_dns: false },
                _ => {
                    return Err(Error::WrongUse(format!(
                        "the proxy {} of the environment is of a kind that is not supported; \
                         write http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT",
                        proxy.uri()
                    )));
                }
            },
        };
        Ok(Self { direct: tcp::Connector::default(), route })
    }

    /// A connection to the gateway itself; None where a proxy forwards requests, or if it fails.
    pub async fn to_gateway(&self, gateway: Uri) -> Option<Stream> {
        match self.route {
            Route::Forward(_) => None,
            Route::Direct | Route::Tunnel(_) | Route::Socks { .. } => {
                self.clone().call(gateway).await.ok()
            }
        }
    }

    /// What a proxy that forwards requests must find in them.
    pub fn authorization(&self) -> Option<HeaderValue> {
        match &self.route {
            Route::Forward(proxy) => proxy.basic_auth().cloned(),
            Route::Direct | Route::Tunnel(_) | Route::Socks { .. } => None,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = AnyError;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<std::result::Result<(), AnyError>> {
        self.direct.poll_ready(context)
    }

    fn call(&mut self, gateway: Uri) -> Connecting {
        let direct = self.direct.clone();
        match &self.route {
            Route::Direct => Box::pin(self.direct.call(gateway).map_ok(Stream::direct)),
            Route::Forward(proxy) => {
                let connected = self.direct.call(proxy.uri().clone());
                let connected = connected.map_ok(|io| Stream { io, is_forwarded: true });
                Box::pin(connected.map_err(of_proxy(proxy)))
            }
            Route::Tunnel(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
                if let Some(authorization) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(authorization.clone());
                }
                Box::pin(tunnel.call(gateway).map_ok(Stream::direct).map_err(of_proxy(proxy)))
            }
            Route::Socks { proxy, local_dns } => {
                let mut socks = SocksV5::new(proxy.uri().clone(), direct).local_dns(*local_dns);
                if let Some((user, password)) = proxy.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                let connected = socks.call(with_port(gateway)).map_ok(Stream::direct);
                // The error of the library is none of the standard library's.
                Box::pin(connected.map_err(|error| error.to_string()).map_err(of_proxy(proxy)))
            }
        }
    }
}

fn of_proxy<E: Into<AnyError>>(proxy: &Intercept) -> impl FnOnce(E) -> AnyError + use<E> {
    let proxy = proxy.uri().clone();
    move |error| Box::new(ProxyError { proxy, source: error.into() })
}

/// The library takes 443 for `http:` too.
fn with_port(gateway: Uri) -> Uri {
    if gateway.port().is_some() || gateway.scheme_str() != Some("http") {
        return gateway;
    }
    let host = gateway.host().unwrap_or_default();
    Uri::try_from(format!("http://{host}:80/")).unwrap_or(gateway)
}

/// A connection to the gateway, or to a proxy that forwards requests to it.
pub(super) struct Stream {
    io: TokioIo<TcpStream>,
    /// Whether each request has to name the gateway.
    is_forwarded: bool,
}

impl Stream {
    fn direct(io: TokioIo<TcpStream>) -> Self {
        Self { io, is_forwarded: false }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_forwarded)
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }
}
