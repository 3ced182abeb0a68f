//! Many clients at once: idle connections and slow writers do not block others, a request above the
//! limit is refused with SlowDown, and what one account does leaves another account served.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use ratchet::clock::Clock;
use ratchet::sigv4::Payload;
use ratchet::store::{PutOptions, Store, dir::Dir};
use ratchet::upload::{NewUpload, Settings as UploadSettings, Uploads};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::support::gateway::{Gateway, OTHER, settings, start};
use crate::support::process;
use crate::support::request::{AccessKey, chunk_api, s3, signed_head};
use crate::support::response::exchange_and_close;

const IDLE: usize = 4000;
const SLOW: usize = 500;
const HEADS: usize = 300;

/// A PUT of which only one byte is sent.
async fn slow_put(gateway: &Gateway, at: usize) -> TcpStream {
    let head = s3("PUT", &format!("/bucket/slow-{at}"))
        .header("content-length", "1000000")
        .head(gateway.address);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(b"x").await.unwrap();
    socket
}

/// The number of signed requests that the gateway is serving.
async fn in_flight(gateway: &Gateway) -> u64 {
    let response = s3("GET", "/metrics").signed_by(None).send(gateway).await;
    let text = String::from_utf8(response.body).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("ratchet_requests_in_flight "))
        .unwrap()
        .to_owned();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn idle_connections_and_slow_writers_do_not_block_requests() {
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
async fn a_request_above_the_account_limit_waits_and_is_told_to_slow_down() {
    let mut settings = settings();
    settings.web.max_account_requests = 2;
    settings.web.queue_timeout = Duration::from_millis(300);
    let gateway = start(settings).await;
    let (first, _second) = (slow_put(&gateway, 1).await, slow_put(&gateway, 2).await);
    while in_flight(&gateway).await < 2 {}
    let response = s3("GET", "/bucket").send(&gateway).await;
    let text = String::from_utf8_lossy(&response.body);
    assert!(response.status == 503 && text.contains("<Code>SlowDown</Code>"), "{text}");
    assert!(
        response.header("retry-after").is_some() && response.header("x-amz-retry-after").is_some()
    );
    let response = chunk_api("GET", "/backups").send(&gateway).await;
    assert!(
        response.status == 503 && String::from_utf8_lossy(&response.body).contains(":slow-down"),
        "{response:?}"
    );
    assert!(response.header("retry-after").is_some());
    assert_eq!(
        s3("GET", "/bucket").signed_by(Some(OTHER)).send(&gateway).await.status,
        200,
        "another account has a limit of its own"
    );
    drop(first);
    while s3("HEAD", "/bucket").send(&gateway).await.status != 200 {}
}

/// Key id and secret of the account that takes what it can, and of one that wants to be served
/// beside it.
const GREEDY: AccessKey = ("GREEDY", "greedy-secret-0123");
const MODEST: AccessKey = ("MODEST", "modest-secret-0123");
const OPEN_UPLOADS: usize = 50_000;
const SLOW_OF_EACH_KIND: usize = 2000;
const TIMED: usize = 300;
/// The limit for the whole process, including its code.
const MAX_RESIDENT_KIB: u64 = 144 << 10;

/// Fills the store before the gateway opens it: two buckets, an object to read, and the open
/// uploads.
async fn fill_store(path: &Path) {
    let clock = Clock::system();
    let store: Arc<dyn Store> = Arc::new(Dir::open(path, clock.clone()).unwrap());
    let uploads = Uploads::new(Arc::clone(&store), clock, UploadSettings::default());
    uploads.prepare().await.unwrap();
    for bucket in ["crowd", "quiet"] {
        uploads.make_bucket(&bucket.into()).await.unwrap();
    }
    let big = vec![7_u8; 64 << 20];
    store.put(&"crowd".into(), &"big".into(), big.into(), PutOptions::default()).await.unwrap();
    let account = "greedy".into();
    let create = |at: usize| {
        let new = NewUpload {
            bucket: "crowd".into(),
            key: format!("up/{at:06}").into(),
            ..NewUpload::default()
        };
        uploads.create_upload(&account, new)
    };
    stream::iter(0..OPEN_UPLOADS)
        .map(create)
        .buffer_unordered(1024)
        .for_each(|created| async { drop(created.unwrap()) })
        .await;
}

fn gateway_of_two_accounts(home: &Path) -> process::Gateway {
    let account = |name: &str, (id, secret): AccessKey, bucket: &str| {
        format!(
            "[[account]]\nname = \"{name}\"\n[[account.key]]\nid = \"{id}\"\nsecret = \"{secret}\"\n\
             [[account.grant]]\nbucket = \"{bucket}\"\naccess = \"write\"\n"
        )
    };
    let accounts =
        [account("greedy", GREEDY, "crowd"), account("modest", MODEST, "quiet")].concat();
    std::fs::write(home.join("ratchet.toml"), accounts).unwrap();
    let mut command = Command::new(process::PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(home.join("ratchet.toml"));
    command.arg("--store").arg(format!("dir:{}", home.join("store").display()));
    command.stderr(std::process::Stdio::null());
    process::Gateway::spawn(command)
}

fn unsigned_payload_head(
    address: SocketAddr,
    key: AccessKey,
    request: (&str, &str),
    len_bytes: usize,
) -> String {
    signed_head(address, key, request, &[], Payload::Unsigned, len_bytes)
}

/// A client that reads almost nothing of its response.
async fn slow_client(address: SocketAddr, head: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(address).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

async fn timed(address: SocketAddr, method: &str, body: &[u8]) -> Vec<Duration> {
    let clock = Clock::system();
    let mut took = Vec::with_capacity(TIMED);
    for at in 0..TIMED {
        let head = unsigned_payload_head(
            address,
            MODEST,
            (method, &format!("/quiet/{}", at % 10)),
            body.len(),
        );
        let begun = clock.monotonic();
        let response = exchange_and_close(address, &head, body).await;
        took.push(clock.monotonic().saturating_sub(begun));
        assert_eq!(response.status, 200, "{method}: {response:?}");
    }
    took.sort_unstable();
    took
}

#[cfg(target_os = "linux")]
fn peak_resident_kib(gateway: &process::Gateway) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", gateway.pid().as_raw_nonzero()))
            .unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_load_of_one_account_leaves_another_served_and_memory_bounded() {
    let home = tempfile::tempdir().unwrap();
    fill_store(&home.path().join("store")).await;
    let gateway = gateway_of_two_accounts(home.path());
    let address = gateway.address();
    let before = peak_resident_kib(&gateway);
    let mut crowd = Vec::with_capacity(2 * SLOW_OF_EACH_KIND);
    for at in 0..SLOW_OF_EACH_KIND {
        let put = unsigned_payload_head(
            address,
            GREEDY,
            ("PUT", &format!("/crowd/slow-{at}")),
            1_000_000,
        );
        crowd.push(slow_client(address, &format!("{put}some bytes, and no more")).await);
        crowd.push(
            slow_client(address, &unsigned_payload_head(address, GREEDY, ("GET", "/crowd/big"), 0))
                .await,
        );
    }
    let puts = timed(address, "PUT", &[5; 4096]).await;
    let heads = timed(address, "HEAD", b"").await;
    let resident = peak_resident_kib(&gateway);
    let at = |took: &[Duration], percent: usize| took[took.len() * percent / 100];
    println!(
        "crowd: {} slow clients and {OPEN_UPLOADS} open uploads of one account; HEAD of another account p50 {:?}, p99 {:?}, \
         PUT p50 {:?}, p99 {:?}; resident {} MiB, {} before",
        crowd.len(),
        at(&heads, 50),
        at(&heads, 99),
        at(&puts, 50),
        at(&puts, 99),
        resident >> 10,
        before >> 10,
    );
    assert!(resident < MAX_RESIDENT_KIB, "{resident} KiB");
}
