//! Over real sockets: lingering close, drain, slow clients, limits, and when `100 Continue` is
//! sent.

use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use super::*;
use crate::tcp;

/// A server whose paths do what they say.
struct Running {
    address: SocketAddr,
    shutdown: oneshot::Sender<()>,
    served: JoinHandle<()>,
    /// Lets `/wait` answer.
    release: Arc<Notify>,
    /// Told when `/wait` has begun.
    begun: Arc<Notify>,
    /// Held by what `/leave` leaves running.
    left: Arc<()>,
}

async fn start(settings: Settings) -> Running {
    let listener = tcp::listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let workers = Workers::start(settings.workers).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (release, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, tell) = (Arc::clone(&release), Arc::clone(&begun));
    let left = Arc::new(());
    let leave = Arc::downgrade(&left);
    let service = service_fn(move |request: Request<Incoming>| {
        let (wait, tell, left) = (Arc::clone(&wait), Arc::clone(&tell), leave.upgrade());
        Box::pin(async move {
            let mut reply = Response::new(Full::new(Bytes::from_static(b"answer")));
            match request.uri().path() {
                "/early" => {
                    reply.headers_mut().insert("connection", "close".parse().unwrap());
                }
                "/wait" => {
                    tell.notify_one();
                    wait.notified().await;
                }
                "/worker" => {
                    let name = std::thread::current().name().unwrap_or_default().to_owned();
                    reply.headers_mut().insert("worker", name.parse().unwrap());
                }
                "/leave" => {
                    tokio::spawn(async move {
                        std::future::pending::<()>().await;
                        drop(left);
                    });
                }
                "/read" => drop(request.into_body().collect().await),
                _ => {}
            }
            Ok::<_, Infallible>(reply)
        }) as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    });
    let (shutdown, told) = oneshot::channel::<()>();
    let until = async move { drop(told.await) };
    let served =
        tokio::spawn(serve((listener, workers), service, Clock::system(), (settings, None), until));
    Running { address, shutdown, served, release, begun, left }
}

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

async fn send(socket: &mut TcpStream, text: &str) {
    socket.write_all(text.as_bytes()).await.unwrap();
}

/// All that comes until the server ends its side.
async fn rest(socket: &mut TcpStream) -> String {
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    String::from_utf8(all).unwrap()
}

/// What comes up to and with `end`.
async fn until(socket: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    while !all.ends_with(end) {
        all.push(char::from(socket.read_u8().await.unwrap()));
    }
    all
}

#[tokio::test]
async fn an_answer_before_the_body_reaches_a_client_that_keeps_sending() {
    let server = start(Settings::default()).await;
    let mut socket = connect(&server).await;
    send(&mut socket, "PUT /early HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n").await;
    // More than hyper reads ahead, so that a plain close would be a reset.
    let (mut reading, mut writing) = socket.split();
    let sending = async {
        // The server stops taking bytes in the end, as it may.
        drop(writing.write_all(&vec![0; 512 << 10]).await);
    };
    let mut answer = vec![0; 15];
    let (_, read) = tokio::join!(sending, reading.read_exact(&mut answer));
    read.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");
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
    let answer = rest(&mut socket).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close"),
        "{answer}"
    );
    let mut socket = connect(&server).await;
    send(&mut socket, &head("/read")).await;
    assert!(until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 100 Continue"));
    send(&mut socket, "body").await;
    assert!(until(&mut socket, "answer").await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_closes_what_is_idle() {
    let server = start(Settings::default()).await;
    let (mut busy, mut idle) = (connect(&server).await, connect(&server).await);
    send(&mut idle, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(&mut idle, "answer").await;
    send(&mut busy, "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    server.begun.notified().await;
    server.shutdown.send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "a draining server accepts no one");
    server.release.notify_one();
    assert!(rest(&mut busy).await.ends_with("answer"));
    server.served.await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_with_its_time() {
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
    assert_eq!(rest(&mut silent).await, "");
    // Closed without an answer, or reset since its bytes were never taken.
    let mut left = Vec::new();
    let ended = slow.read_to_end(&mut left).await;
    assert!(ended.is_err() || left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let server = start(Settings { max_head_bytes: 8192, ..Settings::default() }).await;
    let mut socket = connect(&server).await;
    send(&mut socket, &format!("GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n", "x".repeat(9000)))
        .await;
    assert!(until(&mut socket, "\r\n").await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_full_house_serves_the_next_when_someone_leaves() {
    let server = start(Settings { max_connections: 1, ..Settings::default() }).await;
    let mut first = connect(&server).await;
    send(&mut first, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(&mut first, "answer").await;
    let mut second = connect(&server).await;
    send(&mut second, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    drop(first);
    until(&mut second, "answer").await;
}

#[tokio::test]
async fn a_peer_with_its_limit_gets_no_more_and_others_do() {
    let server = start(Settings { max_peer_connections: 2, ..Settings::default() }).await;
    let (mut first, _second) = (connect(&server).await, connect(&server).await);
    send(&mut first, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(&mut first, "answer").await;
    let mut third = connect(&server).await;
    // Closed before anything was read: by an end or, where something came already, a reset.
    assert!(!matches!(third.read(&mut [0; 1]).await, Ok(1..)));
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = other.connect(server.address).await.unwrap();
    send(&mut other, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(&mut other, "answer").await;
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
    let mut answers = Vec::new();
    for _ in 0..4 {
        let mut socket = connect(&server).await;
        send(&mut socket, "GET /worker HTTP/1.1\r\nhost: x\r\n\r\n").await;
        answers.push(until(&mut socket, "answer").await);
        sockets.push(socket);
    }
    for worker in ["worker: worker-0", "worker: worker-1"] {
        assert_eq!(
            answers.iter().filter(|answer| answer.contains(worker)).count(),
            2,
            "{answers:?}"
        );
    }
}

#[tokio::test]
async fn nothing_runs_on_once_it_has_ended() {
    let server = start(Settings::default()).await;
    let mut socket = connect(&server).await;
    send(&mut socket, "GET /leave HTTP/1.1\r\nhost: x\r\n\r\n").await;
    until(&mut socket, "answer").await;
    assert_eq!(Arc::strong_count(&server.left), 2);
    server.shutdown.send(()).unwrap();
    server.served.await.unwrap();
    assert_eq!(Arc::strong_count(&server.left), 1);
}
