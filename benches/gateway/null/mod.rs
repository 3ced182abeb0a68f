//! A null S3 backend, behind every contestant that forwards requests.
//!
//! Guarantees: small objects are stored, with atomic conditional puts; the bytes of large objects
//! and parts are read and discarded, so that the figures are the contestant's own. An ETag is a
//! counter, so it costs the same for every body. The numbers of calls are at `/__figures`;
//! `/__delay?ms=60` delays every later call by so much. It checks no signature and no checksum.

mod body;
mod calls;
mod documents;
mod objects;
mod reply;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ratchet::tcp;
use tokio::net::TcpListener;

use self::objects::Objects;
use self::reply::Reply;

/// The size of a read or write of a socket.
const BUFFER_BYTES: usize = 256 << 10;
/// The bucket whose puts are counted separately.
const STATE: &str = "ratchet-state";

/// The stored objects and the counters.
#[derive(Default)]
pub struct Backend {
    objects: Objects,
    delay_ms: AtomicU64,
    calls: AtomicU64,
    parts: AtomicU64,
    part_bytes: AtomicU64,
    /// Puts of staged chunks.
    staged: AtomicU64,
    state_puts: AtomicU64,
    state_bytes: AtomicU64,
    conditional_puts: AtomicU64,
}

/// Serves on a free port of 127.0.0.1, prints `ready http://…`, and ends when its stdin is closed,
/// that is, with its parent.
pub fn serve(delay_ms: u64) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let backend = Arc::new(Backend { delay_ms: AtomicU64::new(delay_ms), ..Backend::default() });
    runtime.block_on(async {
        let address = "127.0.0.1:0".parse().expect("an address");
        let listener = tcp::listen(address).await.expect("a port is free");
        println!("ready http://{}", listener.local_addr().expect("a bound socket has an address"));
        tokio::spawn(accept(listener, backend));
        let parent = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        // Also after an error of stdin, the parent has ended.
        parent.await.ok();
    });
    // Open connections would keep the runtime from ending.
    std::process::exit(0);
}

async fn accept(listener: TcpListener, backend: Arc<Backend>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        // If it fails, small responses are only delayed.
        socket.set_nodelay(true).ok();
        let backend = Arc::clone(&backend);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&backend), request));
            let connection = http1::Builder::new()
                .max_buf_size(BUFFER_BYTES)
                .serve_connection(TokioIo::new(socket), service);
            // A client may close its connection at any time.
            connection.await.ok();
        });
    }
}

async fn answer(
    backend: Arc<Backend>,
    request: Request<Incoming>,
) -> Result<Response<reply::Content>, hyper::Error> {
    match request.uri().path() {
        "/__figures" => return Ok(Reply::new(200).text(&backend.figures()).finish()),
        "/__delay" => {
            let query = request.uri().query().unwrap_or_default();
            let ms = query.strip_prefix("ms=").and_then(|ms| ms.parse().ok()).unwrap_or(0);
            backend.delay_ms.store(ms, Ordering::Relaxed);
            return Ok(Reply::new(204).finish());
        }
        _ => {}
    }
    backend.calls.fetch_add(1, Ordering::Relaxed);
    let delay_ms = backend.delay_ms.load(Ordering::Relaxed);
    if delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    Ok(calls::answer(&backend, request).await?.finish())
}

impl Backend {
    fn figures(&self) -> String {
        let figure = |counted: &AtomicU64| counted.load(Ordering::Relaxed);
        let figures = serde_json::json!({
            "calls": figure(&self.calls),
            "parts": figure(&self.parts),
            "partBytes": figure(&self.part_bytes),
            "staged": figure(&self.staged),
            "statePuts": figure(&self.state_puts),
            "stateBytes": figure(&self.state_bytes),
            "conditionalPuts": figure(&self.conditional_puts),
        });
        figures.to_string()
    }
}
