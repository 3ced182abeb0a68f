//! Peak memory of a gateway with many verified parts in flight at once.
//!
//! In flight means: the gateway has received half of the body and waits for the rest. Each row has
//! a gateway of its own; its memory is read when half of every part is sent, and when all are
//! stored. All parts have the same bytes, so this program needs no memory for them.

use std::io::{self, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ratchet::digest::{RunningSha256, Sha256};

use crate::contestant::{null, ratchet};
use crate::load::{BODIES, Op};
use crate::process::Process;
use crate::table::verdict;
use crate::upload::{BUCKET, Setup};
use crate::wire::{Client, Keep, Request, read_response};

/// Above this the embedded store is skipped: the bytes would have to fit on the disk.
const MAX_DISK_BYTES: u64 = 4 << 30;
const MAX_MIB: f64 = 40.0;
const MAX_EMBEDDED_MIB: f64 = 64.0;
const TIMEOUT: Duration = Duration::from_secs(600);

#[derive(clap::Args)]
pub struct Args {
    #[arg(default_value_t = 64)]
    parts: usize,
    #[arg(default_value_t = 16)]
    part_mib: u64,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    ratchet: PathBuf,
}

/// The state that all senders share.
struct Senders<'a> {
    host: &'a str,
    upload: &'a str,
    op: Op,
    part_bytes: u64,
    digest: Sha256,
    half_way: AtomicUsize,
    failed: AtomicBool,
    send_rest: AtomicBool,
}

pub fn run(args: &Args) -> io::Result<()> {
    let part_bytes = args.part_mib << 20;
    let digest = digest(part_bytes);
    println!(
        "| {} x {} MiB in flight, peak RSS | at most | measured | |",
        args.parts, args.part_mib
    );
    println!("| --- | ---: | ---: | --- |");
    for (op, what) in [(Op::Upload, "parts"), (Op::Chunk, "chunks")] {
        let store = null(0)?;
        let url = format!("s3+http://{}", store.host);
        attempt(args, &url, op, (part_bytes, digest), &format!("{what}, S3 store"), MAX_MIB);
        if args.parts as u64 * part_bytes > MAX_DISK_BYTES {
            println!("| SKIP {what}, embedded store: too large for a disk | | | |");
            continue;
        }
        let home = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
        let url = format!("dir:{}", home.path().join("store").display());
        attempt(
            args,
            &url,
            op,
            (part_bytes, digest),
            &format!("{what}, embedded store"),
            MAX_EMBEDDED_MIB,
        );
    }
    Ok(())
}

/// Measures one gateway and prints its rows; a request that fails becomes a row.
fn attempt(args: &Args, store: &str, op: Op, part: (u64, Sha256), what: &str, max_mib: f64) {
    let outcome = ratchet(&args.ratchet, store)
        .and_then(|gateway| measure(&gateway, op, args.parts, part, what, max_mib));
    if let Err(error) = outcome {
        println!("| {what}: {} | – | – | **failed** |", error.to_string().replace('\n', " "));
    }
}

fn digest(part_bytes: u64) -> Sha256 {
    let mut running = RunningSha256::default();
    frames(0, part_bytes).for_each(|frame| running.update(frame));
    running.finish()
}

/// The bytes `[from, to)` of every part, in frames.
fn frames(from: u64, to: u64) -> impl Iterator<Item = &'static [u8]> {
    let pattern: &'static [u8] = BODIES.part(0).0;
    let mut at = from;
    std::iter::from_fn(move || {
        let start = (at % pattern.len() as u64) as usize;
        let len = (pattern.len() - start).min(usize::try_from(to - at).unwrap_or(usize::MAX));
        at += len as u64;
        (len > 0).then(|| &pattern[start..start + len])
    })
}

fn measure(
    gateway: &Process,
    op: Op,
    parts: usize,
    (part_bytes, digest): (u64, Sha256),
    what: &str,
    max_mib: f64,
) -> io::Result<()> {
    let mut setup = Setup::new(&gateway.host);
    setup.bucket(BUCKET)?;
    let upload = if op == Op::Upload {
        setup.create_upload("memory")?
    } else {
        let size = parts as u64 * part_bytes;
        setup
            .create_backup(&serde_json::json!({"bucket": BUCKET, "key": "memory", "chunkSize": part_bytes, "size": size}))?
    };
    println!("| {what}: idle | {}", verdict(gateway.peak_mib(), None, " MiB"));
    let state = Senders {
        host: &gateway.host,
        upload: &upload,
        op,
        part_bytes,
        digest,
        half_way: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        send_rest: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..parts)
            .map(|number| {
                scope.spawn({
                    let state = &state;
                    move || state.send(number)
                })
            })
            .collect();
        let started = Instant::now();
        while state.half_way.load(Ordering::Acquire) < parts
            && !state.failed.load(Ordering::Acquire)
        {
            if started.elapsed() > TIMEOUT {
                state.failed.store(true, Ordering::Release);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("| {what}: half-way | {}", verdict(gateway.peak_mib(), Some(max_mib), " MiB"));
        state.send_rest.store(true, Ordering::Release);
        senders.into_iter().try_for_each(|sender| {
            sender.join().map_err(|_| io::Error::other("a sender panicked"))?
        })
    })?;
    println!("| {what}: all stored | {}", verdict(gateway.peak_mib(), Some(max_mib), " MiB"));
    Ok(())
}

impl Senders<'_> {
    fn send(&self, number: usize) -> io::Result<()> {
        let sent = self.part(number);
        if sent.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        sent
    }

    fn part(&self, number: usize) -> io::Result<()> {
        let mut client = Client::new(self.host);
        let length = ("content-length", self.part_bytes.to_string());
        let (path, headers, sha256);
        if self.op == Op::Upload {
            path = format!("/{BUCKET}/{}&partNumber={}", self.upload, number + 1);
            headers = vec![length];
            sha256 = Some(self.digest);
        } else {
            path = format!("/_ratchet/v1/backups/{}/chunks/{number}", self.upload);
            headers =
                vec![length, ("content-digest", format!("sha-256=:{}:", self.digest.base64()))];
            sha256 = None;
        }
        let head = client.head(&Request {
            method: "PUT",
            path: &path,
            headers: &headers,
            sha256,
            ..Request::default()
        })?;
        let stream = client.stream()?;
        let sent = self.halves(stream.get_mut(), &head);
        // An error response says more than the error of the connection.
        match read_response(stream, false, Keep::All) {
            Ok(response) => response.require_success().map(drop),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    fn halves(&self, socket: &mut TcpStream, head: &[u8]) -> io::Result<()> {
        let half = self.part_bytes / 2;
        socket.write_all(head)?;
        frames(0, half).try_for_each(|frame| socket.write_all(frame))?;
        self.half_way.fetch_add(1, Ordering::AcqRel);
        while !self.send_rest.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(10));
        }
        frames(half, self.part_bytes).try_for_each(|frame| socket.write_all(frame))
    }
}
