//! Peak memory of a gateway with many verified parts in flight at once.
//!
//! In flight means: the gateway has taken half of the body and waits for the rest. Each row is a
//! gateway of its own; its memory is looked at while all are half-way, and when all are stored. All
//! parts hold the same bytes, so that no part has to be in the memory of this program.

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
use crate::wire::{Ask, Caller, Keep, answer};

/// Above this the embedded store is left out: the bytes would have to fit on the disk.
const MAX_ON_DISK: u64 = 4 << 30;
const MAX_MIB: f64 = 40.0;
const MAX_EMBEDDED_MIB: f64 = 64.0;
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(clap::Args)]
pub struct Args {
    #[arg(default_value_t = 64)]
    parts: usize,
    #[arg(default_value_t = 16)]
    part_mib: u64,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    ratchet: PathBuf,
}

/// What every sender needs.
struct Flight<'a> {
    host: &'a str,
    upload: &'a str,
    way: Op,
    part_bytes: u64,
    digest: Sha256,
    half_way: AtomicUsize,
    failed: AtomicBool,
    go_on: AtomicBool,
}

pub fn run(args: &Args) -> io::Result<()> {
    let part_bytes = args.part_mib << 20;
    let digest = digest(part_bytes);
    println!(
        "| {} x {} MiB in flight, peak RSS | at most | measured | |",
        args.parts, args.part_mib
    );
    println!("| --- | ---: | ---: | --- |");
    for (way, what) in [(Op::Upload, "parts"), (Op::Chunk, "chunks")] {
        let store = null(0)?;
        let url = format!("s3+http://{}", store.host);
        attempt(args, &url, way, (part_bytes, digest), &format!("{what}, S3 store"), MAX_MIB);
        if args.parts as u64 * part_bytes > MAX_ON_DISK {
            println!("| SKIP {what}, embedded store: that much is not written to a disk | | | |");
            continue;
        }
        let home = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
        let url = format!("dir:{}", home.path().join("store").display());
        attempt(
            args,
            &url,
            way,
            (part_bytes, digest),
            &format!("{what}, embedded store"),
            MAX_EMBEDDED_MIB,
        );
    }
    Ok(())
}

/// One gateway's rows; a request that fails is told among them.
fn attempt(args: &Args, store: &str, way: Op, part: (u64, Sha256), what: &str, max_mib: f64) {
    let outcome = ratchet(&args.ratchet, store)
        .and_then(|gateway| measure(&gateway, way, args.parts, part, what, max_mib));
    if let Err(error) = outcome {
        println!("| {what}: {} | – | – | **failed** |", error.to_string().replace('\n', " "));
    }
}

fn digest(part_bytes: u64) -> Sha256 {
    let mut running = RunningSha256::default();
    pieces(0, part_bytes).for_each(|piece| running.update(piece));
    running.finish()
}

/// The bytes `[from, to)` of every part, in pieces.
fn pieces(from: u64, to: u64) -> impl Iterator<Item = &'static [u8]> {
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
    way: Op,
    parts: usize,
    (part_bytes, digest): (u64, Sha256),
    what: &str,
    max_mib: f64,
) -> io::Result<()> {
    let mut setup = Setup::new(&gateway.host);
    setup.bucket(BUCKET)?;
    let upload = if way == Op::Upload {
        setup.begin("memory")?
    } else {
        let size = parts as u64 * part_bytes;
        setup
            .backup_as(&serde_json::json!({"bucket": BUCKET, "key": "memory", "chunkSize": part_bytes, "size": size}))?
    };
    println!("| {what}: idle | {}", verdict(gateway.peak_mib(), None, " MiB"));
    let flight = Flight {
        host: &gateway.host,
        upload: &upload,
        way,
        part_bytes,
        digest,
        half_way: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        go_on: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..parts)
            .map(|number| {
                scope.spawn({
                    let flight = &flight;
                    move || flight.send(number)
                })
            })
            .collect();
        let begun = Instant::now();
        while flight.half_way.load(Ordering::Acquire) < parts
            && !flight.failed.load(Ordering::Acquire)
        {
            if begun.elapsed() > PATIENCE {
                flight.failed.store(true, Ordering::Release);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        println!("| {what}: half-way | {}", verdict(gateway.peak_mib(), Some(max_mib), " MiB"));
        flight.go_on.store(true, Ordering::Release);
        senders.into_iter().try_for_each(|sender| {
            sender.join().map_err(|_| io::Error::other("a sender panicked"))?
        })
    })?;
    println!("| {what}: all stored | {}", verdict(gateway.peak_mib(), Some(max_mib), " MiB"));
    Ok(())
}

impl Flight<'_> {
    fn send(&self, number: usize) -> io::Result<()> {
        let sent = self.part(number);
        if sent.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        sent
    }

    fn part(&self, number: usize) -> io::Result<()> {
        let mut caller = Caller::new(self.host);
        let length = ("content-length", self.part_bytes.to_string());
        let (path, headers, sha256);
        if self.way == Op::Upload {
            path = format!("/{BUCKET}/{}&partNumber={}", self.upload, number + 1);
            headers = vec![length];
            sha256 = Some(self.digest);
        } else {
            path = format!("/_ratchet/v1/backups/{}/chunks/{number}", self.upload);
            headers =
                vec![length, ("content-digest", format!("sha-256=:{}:", self.digest.base64()))];
            sha256 = None;
        }
        let head = caller.head(&Ask {
            method: "PUT",
            path: &path,
            headers: &headers,
            sha256,
            ..Ask::default()
        })?;
        let stream = caller.stream()?;
        let sent = self.halves(stream.get_mut(), &head);
        // A refusal says more than that the connection broke.
        match answer(stream, false, Keep::All) {
            Ok(answer) => answer.good().map(drop),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    fn halves(&self, socket: &mut TcpStream, head: &[u8]) -> io::Result<()> {
        let half = self.part_bytes / 2;
        socket.write_all(head)?;
        pieces(0, half).try_for_each(|piece| socket.write_all(piece))?;
        self.half_way.fetch_add(1, Ordering::AcqRel);
        while !self.go_on.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(10));
        }
        pieces(half, self.part_bytes).try_for_each(|piece| socket.write_all(piece))
    }
}
