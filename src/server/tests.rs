//! The server over real sockets: lingering close, drain, slow clients, limits, `100 Continue`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::tcp;

use super::*;

/// A server in which each path selects a behaviour.
struct TestServer {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<()>,
    /// Lets `/wait` respond.
    release: Arc<Notify>,
    /// Notified when `/wait` has begun.
    begun: Arc<Notify>,
    /// Held by the task that `/spawn` starts.
    task_token: Arc<()>,
}

async fn start(settings: Settings) -> TestServer {
    let listener = tcp::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let workers = Workers::start(settings.workers).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (release, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, waiting) = (Arc::clone(&release), Arc::clone(&begun));
    let task_token = Arc::new(());
    let weak_token = Arc::downgrade(&task_token);
    let service = service_fn(move |request: Request<Incoming>| {
        let (wait, waiting) = (Arc::clone(&wait), Arc::clone(&waiting));
        let token = weak_token.upgrade();
        Box::pin(async move {
            let mut response = Response::new(Full::new(Bytes::from_static(b"the body")));
            match request.uri().path() {
                "/early" => {
                    response.headers_mut().insert("connection", "close".parse().unwrap());
                }
                "/wait" => {
                    waiting.notify_one();
                    wait.notified().await;
                }
                "/worker" => {
                    let name = std::thread::current().name().unwrap_or_default().to_owned();
                    response.headers_mut().insert("worker", name.parse().unwrap());
                }
                "/spawn" => {
                    tokio::spawn(async move {
                        std::future::pending::<()>().await;
                        drop(token);
                    });
                }
                "/read" => drop(request.into_body().collect().await),
                _ => {}
            }
            Ok::<_, Infallible>(response)
        }) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    });
    let (shutdown, shutdown_rx) = oneshot::channel::<()>();
    let stopped = async move { drop(shutdown_rx.await) };
    let server = Server {
        listener,
        workers,
        clock: Clock::system(),
        settings,
        tls: None,
        connections: Connections::default(),
    };
    let served = tokio::spawn(server.serve(service, stopped));
    TestServer { address, shutdown, served, release, begun, task_token }
}

async fn connect(server: &TestServer) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

async fn send(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

/// All bytes until the server ends its side.
async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

/// The bytes up to `end`, inclusive.
async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    while !all.ends_with(end) {
        all.push(char::from(socket.read_u8().await.unwrap()));
    }
    all
}

#[tokio::test]
async fn an_early_response_reaches_a_client_that_keeps_sending() {
    let server = start(Settings::default()).await;
    let mut socket = connect(&server).await;
    send(&mut socket, "PUT /early HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n").await;
    // More than hyper reads ahead, so that closing at once would reset the connection.
    let (mut reading, mut writing) = socket.split();
    let sending = async {
        // An error is expected: the server stops reading at some point.
        drop(writing.write_all(&vec![0; 512 << 10]).await);
    };
    let mut response = vec![0; 15];
    let (_, read) = tokio::join!(sending, reading.read_exact(&mut response));
    read.unwrap();
    assert_eq!(response, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn continue_is_sent_only_for_a_body_that_is_read() {
    let server = start(Settings::default()).await;
    let head = |path| {
        format!(
            "PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let mut socket = connect(&server).await;
    send(&mut socket, &head("/early")).await;
    let response = read_to_end(&mut socket).await;
    assert!(
        response.starts_with("HTTP/1.1 200 OK\r\n") && response.contains("connection: close"),
        "{response}"
    );
    let mut socket = connect(&server).await;
    send(&mut socket, &head("/read")).await;
    assert!(read_until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 100 Continue"));
    send(&mut socket, "body").await;
    assert!(read_until(&mut socket, "the body").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_drain_finishes_requests_in_flight_and_closes_idle_connections() {
    let server = start(Settings::default()).await;
    let (mut busy, mut idle) = (connect(&server).await, connect(&server).await);
    send(&mut idle, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut idle, "the body").await;
    send(&mut busy, "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.begun.notified().await;
    server.shutdown.send(()).unwrap();
    assert_eq!(read_to_end(&mut idle).await, "");
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "a draining server accepts no connection"
    );
    server.release.notify_one();
    assert!(read_to_end(&mut busy).await.ends_with("the body"));
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_at_its_timeout() {
    let server =
        start(Settings { drain_timeout: Duration::from_millis(50), ..Settings::default() }).await;
    let mut busy = connect(&server).await;
    send(&mut busy, "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.begun.notified().await;
    server.shutdown.send(()).unwrap();
    server.served.await.unwrap();
}

#[tokio::test]
async fn slow_heads_and_idle_connections_are_closed() {
    let short = Duration::from_millis(50);
    let server =
        start(Settings { head_timeout: short, idle_timeout: short, ..Settings::default() }).await;
    let (mut silent, mut slow) = (connect(&server).await, connect(&server).await);
    send(&mut slow, "GET / HTTP/1.1\r\nhost:").await;
    assert_eq!(read_to_end(&mut silent).await, "");
    // Closed without a response, or reset because its bytes were never read.
    let mut received = Vec::new();
    let ended = slow.read_to_end(&mut received).await;
    assert!(ended.is_err() || received.is_empty(), "{received:?}");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let server = start(Settings { max_head_bytes: 8192, ..Settings::default() }).await;
    let mut socket = connect(&server).await;
    send(&mut socket, &format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(9000)))
        .await;
    assert!(read_until(&mut socket, "\r\n").await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn at_the_limit_a_connection_waits_until_another_ends() {
    let server = start(Settings { max_connections: 1, ..Settings::default() }).await;
    let mut first = connect(&server).await;
    send(&mut first, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut first, "the body").await;
    let mut second = connect(&server).await;
    send(&mut second, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    drop(first);
    read_until(&mut second, "the body").await;
}

#[tokio::test]
async fn a_peer_at_its_limit_is_refused_and_others_are_served() {
    let server = start(Settings { max_peer_connections: 2, ..Settings::default() }).await;
    let (mut first, _second) = (connect(&server).await, connect(&server).await);
    send(&mut first, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut first, "the body").await;
    let mut third = connect(&server).await;
    // Closed before anything was read: with an end of stream, or a reset if bytes had arrived.
    assert!(!matches!(third.read(&mut [0; 1]).await, Ok(1..)));
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = other.connect(server.address).await.unwrap();
    send(&mut other, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut other, "the body").await;
    drop(first);
    loop {
        let mut again = connect(&server).await;
        if again.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok()
            && matches!(again.read(&mut [0; 1]).await, Ok(1))
        {
            break;
        }
    }
}

#[tokio::test]
async fn connections_spread_over_the_workers() {
    let server = start(Settings { workers: 2, ..Settings::default() }).await;
    let mut sockets = Vec::new();
    let mut responses = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(&server).await;
        send(&mut socket, "GET /worker HTTP/1.1\r\nhost: x\r\n\r\n").await;
        responses.push(read_until(&mut socket, "the body").await);
        sockets.push(socket);
    }
    for worker in ["worker: worker-0", "worker: worker-1"] {
        assert_eq!(
            responses.iter().filter(|response| response.contains(worker)).count(),
            2,
            "{responses:?}"
        );
    }
}

#[tokio::test]
async fn no_task_runs_after_the_server_has_ended() {
    let server = start(Settings::default()).await;
    let mut socket = connect(&server).await;
    send(&mut socket, "GET /spawn HTTP/1.1\r\nhost: x\r\n\r\n").await;
    read_until(&mut socket, "the body").await;
    assert_eq!(Arc::strong_count(&server.task_token), 2);
    server.shutdown.send(()).unwrap();
    server.served.await.unwrap();
    assert_eq!(Arc::strong_count(&server.task_token), 1);
}
