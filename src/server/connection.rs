//! One connection, from its first byte to its last.
//!
//! Guarantees: its timeouts are those of `activity`; at drain it finishes the request in flight and
//! accepts no other; unless a timeout cuts it, the socket is closed by `lingering_close`.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::activity::{Activity, MonitoredSocket, Timeout, TrackedBody};
use super::lingering_close;
use super::serve::ConnectionContext;
use super::service::{HttpService, ResponseBody};

/// The most that is read ahead of a request's body. Two reads of this size per connection are in
/// memory (docs/decisions/0008-read-size-of-request-bodies.md).
const READ_BYTES: usize = 192 << 10;

/// Serves one connection to its end. Each request has the peer's address as an extension. Errors
/// that the client causes are only logged.
pub async fn serve<T, S, B>(socket: T, peer: SocketAddr, service: S, context: ConnectionContext)
where
    T: AsyncRead + AsyncWrite + Unpin,
    S: HttpService<B>,
    B: ResponseBody,
{
    let ConnectionContext { clock, settings, mut draining, .. } = context;
    let activity = Activity::new(clock.clone(), &settings);
    let request_activity = activity.clone();
    let tracking = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (in_flight, response) = (request_activity.request(), service.call(request));
        let tracked = async move {
            let response = response.await?;
            Ok::<_, Infallible>(
                response.map(|body| TrackedBody { body: Box::pin(body), _request: in_flight }),
            )
        };
        Box::pin(tracked) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let io = MonitoredSocket { socket: TokioIo::new(socket), activity: activity.clone() };
    let mut connection = http1::Builder::new()
        // `activity` measures the time; hyper's timeout would be the same for an idle connection
        // and for a slow head.
        .header_read_timeout(None)
        .max_header_size(settings.max_head_bytes)
        .max_buf_size(READ_BYTES.max(settings.max_head_bytes))
        .half_close(false)
        .serve_connection(io, tracking);
    let mut closing = *draining.borrow_and_update();
    if closing {
        Pin::new(&mut connection).graceful_shutdown();
    }
    loop {
        let (time_left, timeout) = activity.time_left(&settings);
        if time_left.is_zero() {
            match timeout {
                // A request that arrives at this moment still gets its response.
                Timeout::Idle if !closing => {
                    closing = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Timeout::Idle | Timeout::Head | Timeout::Write => return,
            }
        }
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            changed = draining.changed(), if !closing => {
                closing = true;
                // An error means that the server is gone; the connection is closed in either case.
                tracing::trace!(server_gone = changed.is_err(), "a connection is closed after its request in flight: the server stops");
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = clock.pause(time_left.max(Duration::from_millis(1))) => {}
        }
    }
    lingering_close::close(connection.into_parts().io.socket.into_inner(), &clock).await;
}
