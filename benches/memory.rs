//! Peak memory of a gateway process with many large chunks in flight at once.
//!
//! It prints a Markdown row per store: chunks, their size, how many were in flight at the same moment, and the peak
//! resident set (`VmHWM`) when they were half-way and when all were stored. In flight means: the gateway has taken
//! half of the body and waits for the rest. Stores: a fresh directory, and the S3 server of `RATCHET_TEST_S3`.
//!   scripts/bench.sh memory [CHUNKS [CHUNK_MIB]]     default 64 chunks of 16 MiB

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier};

use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::sigv4::{Credentials, Payload, sign};

const KEY: (&str, &str) = ("bench-key", "bench-secret-bench-secret");

/// A gateway process; killed on drop.
struct Gateway {
    child: Child,
    host: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may be dead already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Gateway {
    fn start(store: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ratchet"))
            .args(["serve", "--listen", "127.0.0.1:0", "--store", store])
            .envs([("RATCHET_ACCESS_KEY_ID", KEY.0), ("RATCHET_SECRET_ACCESS_KEY", KEY.1)])
            .env("RATCHET_LOG_LEVEL", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let host = line.trim().strip_prefix("ready http://").unwrap_or_else(|| panic!("no ready line: {line:?}"));
        Self { host: host.to_owned(), child }
    }

    /// Kibibytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// A connection on which the head of a signed request was sent.
    fn begin(&self, method: &str, path: &str, length: usize, digest: Option<Sha256>) -> TcpStream {
        let request = http::Request::builder().method(method).uri(format!("http://{}{path}", self.host));
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let credentials = Credentials::new(KEY.0, KEY.1, None);
        sign(&mut head, &credentials, "us-east-1", Payload::Unsigned, Clock::system().wall()).unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\ncontent-length: {length}\r\n");
        if let Some(digest) = digest {
            text.push_str(&format!("content-digest: sha-256=:{}:\r\n", digest.base64()));
        }
        for (name, value) in &head.headers {
            text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
        let mut socket = TcpStream::connect(&self.host).unwrap();
        socket.write_all(format!("{text}connection: close\r\n\r\n").as_bytes()).unwrap();
        socket
    }
}

fn answer(mut socket: TcpStream) -> String {
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 20"), "{text}");
    text
}

fn measure(store: &str, chunks: usize, chunk_bytes: usize) {
    let gateway = Arc::new(Gateway::start(store));
    let idle = gateway.peak();
    let bucket = format!("bench-{}", Clock::system().random_id());
    let body =
        serde_json::json!({"bucket": bucket, "key": "memory", "chunkSize": chunk_bytes, "size": chunks * chunk_bytes});
    let body = body.to_string();
    let mut socket = gateway.begin("POST", "/_ratchet/v1/backups", body.len(), None);
    socket.write_all(body.as_bytes()).unwrap();
    let told = answer(socket);
    let told: serde_json::Value = serde_json::from_str(told.split_once("\r\n\r\n").unwrap().1).unwrap();
    let id = told["backupId"].as_str().unwrap();
    // Two meetings: all are half-way; the memory was looked at.
    let (half_way, looked) = (Arc::new(Barrier::new(chunks + 1)), Arc::new(Barrier::new(chunks + 1)));
    let senders: Vec<_> = (0..chunks)
        .map(|index| {
            let (gateway, half_way, looked) = (Arc::clone(&gateway), Arc::clone(&half_way), Arc::clone(&looked));
            let path = format!("/_ratchet/v1/backups/{id}/chunks/{index}");
            std::thread::spawn(move || {
                let bytes = vec![index as u8; chunk_bytes];
                let mut socket = gateway.begin("PUT", &path, bytes.len(), Some(Sha256::of(&bytes)));
                socket.write_all(&bytes[..chunk_bytes / 2]).unwrap();
                half_way.wait();
                looked.wait();
                socket.write_all(&bytes[chunk_bytes / 2..]).unwrap();
                answer(socket);
            })
        })
        .collect();
    half_way.wait();
    let flying = gateway.peak();
    looked.wait();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let kind = store.split(':').next().unwrap();
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!(
        "| {kind} | {chunks} x {} MiB | {:.1} MiB | {:.1} MiB | {:.1} MiB |",
        chunk_bytes >> 20,
        mib(idle),
        mib(flying),
        mib(gateway.peak())
    );
}

fn main() {
    let mut figures = std::env::args().skip(1).filter_map(|word| word.parse::<usize>().ok());
    let (chunks, chunk_mib) = (figures.next().unwrap_or(64), figures.next().unwrap_or(16));
    println!("| store | in flight at once | peak RSS idle | half-way | all stored |\n| --- | --- | --- | --- | --- |");
    let home = tempfile::tempdir().unwrap();
    measure(&format!("dir:{}", home.path().join("store").display()), chunks, chunk_mib << 20);
    match std::env::var("RATCHET_TEST_S3") {
        Ok(endpoint) => measure(&format!("s3+{endpoint}"), chunks, chunk_mib << 20),
        Err(_) => println!("SKIP s3: RATCHET_TEST_S3 names no server; `scripts/s3-server.sh start` starts one"),
    }
}
