//! One connection, from its first byte to its last.
//!
//! Guarantees: its time-outs are those of `activity`; at drain it finishes the request in flight
//! and takes no other; the socket is always closed by way of `linger`.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::clock::Clock;

use super::activity::{Activity, Late, Tracked, Watched};
use super::{Settings, linger};

/// The most that is read ahead of a request's body. Two frames of this size are on their way per
/// connection, so it is what memory grows with: 64 uploads at a time took 28 MiB with 96 KiB, 36
/// with 192, 53 with 256 (`scripts/bench.sh memory`). Half as much costs an upload a twentieth more
/// CPU, a third of it a quarter more.
const READ_BYTES: usize = 192 << 10;

/// Serves one connection to its end. Errors of the client's end there too: they are nobody else's
/// business.
pub async fn serve<T, S, B>(
    socket: T,
    service: S,
    (clock, settings): (Clock, Settings),
    mut draining: watch::Receiver<bool>,
) where
    T: AsyncRead + AsyncWrite + Unpin,
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
    let activity = Activity::new(clock.clone(), &settings);
    let tracked = activity.clone();
    let tracking = service_fn(move |request| {
        let (request_in_flight, answer) = (tracked.request(), service.call(request));
        let tracked = async move {
            let reply = answer.await?;
            Ok::<_, Infallible>(
                reply.map(|body| Tracked { body: Box::pin(body), _request: request_in_flight }),
            )
        };
        Box::pin(tracked) as Pin<Box<dyn Future<Output = _> + Send>>
    });
    let io = Watched { socket: TokioIo::new(socket), activity: activity.clone() };
    let mut connection = http1::Builder::new()
        // `activity` keeps the time, since hyper's own would close an idle connection as early as a
        // slow head.
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
        let (left, late) = activity.time_left(&settings);
        if left.is_zero() {
            match late {
                // A request that comes at this very moment is still answered.
                Late::Idle if !closing => {
                    closing = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Late::Idle | Late::Head | Late::Write => return,
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
                // An error means that the server is gone: close all the same.
                tracing::trace!(gone = changed.is_err(), "draining");
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = clock.pause(left.max(std::time::Duration::from_millis(1))) => {}
        }
    }
    linger::close(connection.into_parts().io.socket.into_inner(), &clock).await;
}
