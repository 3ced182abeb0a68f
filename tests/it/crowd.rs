//! Many at once: idle connections and slow writers do not stand in the way, and one request too many is told so.

use std::time::Duration;

use ratchet::clock::Clock;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::gateway::{Ask, Gateway, OTHER, ask, settings, start};

const IDLE: usize = 4000;
const SLOW: usize = 500;
const HEADS: usize = 300;

fn s3(method: &str, target: &str) -> Ask {
    let mut ask = ask(method, "");
    target.clone_into(&mut ask.target);
    ask
}

/// A put of which one byte comes, and no more.
async fn slow_put(gateway: &Gateway, at: usize) -> TcpStream {
    let head = s3("PUT", &format!("/bucket/slow-{at}")).header("content-length", "1000000").head(gateway.address);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(b"x").await.unwrap();
    socket
}

/// Signed requests that the gateway is serving now.
async fn in_flight(gateway: &Gateway) -> u64 {
    let told = ask("GET", "").by(None);
    let told = Ask { target: "/metrics".to_owned(), ..told }.send(gateway).await;
    let text = String::from_utf8(told.body).unwrap();
    let line = text.lines().find(|line| line.starts_with("ratchet_requests_in_flight ")).unwrap().to_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn idle_connections_and_slow_writers_leave_it_answering() {
    let gateway = start(settings()).await;
    let mut idle = Vec::with_capacity(IDLE);
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(gateway.address).await.unwrap());
    }
    let mut slow = Vec::with_capacity(SLOW);
    for at in 0..SLOW {
        slow.push(slow_put(&gateway, at).await);
    }
    while in_flight(&gateway).await < SLOW as u64 {}
    let clock = Clock::system();
    let mut took: Vec<Duration> = Vec::with_capacity(HEADS);
    for _ in 0..HEADS {
        let begun = clock.monotonic();
        assert_eq!(s3("HEAD", "/bucket").send(&gateway).await.status, 200);
        took.push(clock.monotonic().saturating_sub(begun));
    }
    took.sort_unstable();
    let (p50, p99) = (took[HEADS / 2], took[HEADS * 99 / 100]);
    println!("crowd: {IDLE} idle connections, {SLOW} slow writers: HEAD p50 {p50:?}, p99 {p99:?}");
}

#[tokio::test]
async fn one_too_many_of_an_account_waits_and_is_told_to_slow_down() {
    let mut settings = settings();
    settings.http.max_account_requests = 2;
    settings.http.queue_timeout = Duration::from_millis(300);
    let gateway = start(settings).await;
    let (first, _second) = (slow_put(&gateway, 1).await, slow_put(&gateway, 2).await);
    while in_flight(&gateway).await < 2 {}
    let told = s3("GET", "/bucket").send(&gateway).await;
    let text = String::from_utf8_lossy(&told.body);
    assert!(told.status == 503 && text.contains("<Code>SlowDown</Code>"), "{text}");
    assert!(told.header("retry-after").is_some() && told.header("x-amz-retry-after").is_some());
    let told = ask("GET", "/backups").send(&gateway).await;
    assert!(told.status == 503 && String::from_utf8_lossy(&told.body).contains(":slow-down"), "{told:?}");
    assert!(told.header("retry-after").is_some());
    assert_eq!(s3("GET", "/bucket").by(Some(OTHER)).send(&gateway).await.status, 200, "another account has its own");
    drop(first);
    while s3("HEAD", "/bucket").send(&gateway).await.status != 200 {}
}
