//! The cost of the chunk protocol: CAS per chunk, manifest bytes, latency beyond the store's own,
//! time to resume.
//!
//! Guarantees: the store counts conditional writes and record bytes, not the gateway. The records
//! of a backup that is to be resumed are written directly into the store: they are copies of a
//! record that the gateway wrote for a chunk of zeros, and the file is sparse.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ratchet::digest::Sha256;
use ratchet::upload::{Segment, bench};
use serde_json::Value;

use crate::contestant::{null, ratchet};
use crate::load::{self, Amount, Figures, Op, Target};
use crate::process::Process;
use crate::table::verdict;
use crate::upload::{BUCKET, Setup};
use crate::wire::{Client, KEY, Keep, Request, plain};

/// Chunks in flight, and the delay of every call of the store.
const IN_FLIGHT: usize = 16;
const DELAY_MS: u64 = 60;
/// Chunks that are put one at a time.
const SEQUENTIAL_CHUNKS: u64 = 40;
/// Chunks in one segment.
const SEGMENT: u64 = 256;
/// The most chunks into which the client splits a file.
const MAX_CLIENT_CHUNKS: u64 = 10_000;
const TIMEOUT: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub struct Args {
    /// How many chunks of 8 MiB the measurement with a slow store sends.
    #[arg(long, default_value_t = 512)]
    chunks: u64,
    /// Skip the backups of 1,000,000 chunks.
    #[arg(long)]
    short: bool,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    ratchet: PathBuf,
}

pub fn run(args: &Args) -> io::Result<()> {
    println!("| chunk protocol | at most | measured | |\n| --- | ---: | ---: | --- |");
    commits(args)?;
    let resumes = [
        Resume {
            what: "10,000 x 8 MiB, chunk 0 missing",
            chunks: 10_000,
            chunk: 8 << 20,
            missing: 0,
            max: Some((1.0, None)),
        },
        Resume {
            what: "10,000 x 8 MiB, the last missing",
            chunks: 10_000,
            chunk: 8 << 20,
            missing: 9_999,
            max: Some((1.0, None)),
        },
        Resume {
            what: "10,000 x 16 KiB, the last missing",
            chunks: 10_000,
            chunk: 16 << 10,
            missing: 9_999,
            max: Some((1.0, None)),
        },
        Resume {
            what: "1,000,000 x 1 KiB, chunk 0 missing",
            chunks: 1_000_000,
            chunk: 1 << 10,
            missing: 0,
            max: Some((10.0, Some(256.0))),
        },
        Resume {
            what: "1,000,000 x 1 KiB, the last missing",
            chunks: 1_000_000,
            chunk: 1 << 10,
            missing: 999_999,
            max: Some((10.0, Some(256.0))),
        },
    ];
    for resume in resumes.iter().filter(|resume| !args.short || resume.chunks < 1_000_000) {
        if let Err(error) = resume.run(args) {
            println!("| resume: {} | | SKIP {error} | |", resume.what);
        }
    }
    Ok(())
}

fn figures(host: &str) -> io::Result<Value> {
    serde_json::from_str(&plain(host, "/__figures")?).map_err(io::Error::other)
}

fn counted(figures: &Value, name: &str) -> f64 {
    figures[name].as_f64().unwrap_or(0.0)
}

/// Chunks on a slow store: what is written beside them, and by how much a chunk takes longer than
/// the store itself.
fn commits(args: &Args) -> io::Result<()> {
    let store = null(0)?;
    let gateway = ratchet(&args.ratchet, &format!("s3+http://{}", store.host))?;
    for (delay_ms, what) in [(DELAY_MS, "store delayed by 60 ms"), (0, "store not delayed")] {
        plain(&store.host, &format!("/__delay?ms={delay_ms}"))?;
        let mut setup = Setup::new(&gateway.host);
        setup.bucket(BUCKET).or_else(|error| if delay_ms == 0 { Ok(()) } else { Err(error) })?;
        let backup = setup.backup(&format!("commits-{delay_ms}"), args.chunks)?;
        let before = figures(&store.host)?;
        let amount =
            Amount { connections: IN_FLIGHT, requests: args.chunks, max_duration: TIMEOUT };
        let own = load::run(
            &Target { host: &gateway.host, bucket: BUCKET, upload: &backup },
            Op::Chunk,
            amount,
            0,
        )?;
        let after = figures(&store.host)?;
        let increase = |name| counted(&after, name) - counted(&before, name);
        let per_chunk = increase("conditionalPuts") / own.requests as f64;
        let share = 100.0 * increase("stateBytes") / own.bytes as f64;
        let max = (delay_ms > 0).then_some(0.125);
        println!(
            "| CAS per chunk, {IN_FLIGHT} in flight, {what} | {}",
            verdict(per_chunk, max, "")
        );
        println!("| manifest bytes of payload, {what} | {}", verdict(share, Some(0.5), " %"));
        // One at a time: concurrent chunks would measure the machine, and the waiting for it.
        let amount = Amount { connections: 1, requests: SEQUENTIAL_CHUNKS, max_duration: TIMEOUT };
        let backup = setup.backup(&format!("alone-{delay_ms}"), SEQUENTIAL_CHUNKS)?;
        let own = load::run(
            &Target { host: &gateway.host, bucket: BUCKET, upload: &backup },
            Op::Chunk,
            amount,
            0,
        )?;
        let direct = direct(&store.host, amount)?;
        let (over50, over99) =
            ((own.p50_us - direct.p50_us) / 1000.0, (own.p99_us - direct.p99_us) / 1000.0);
        println!(
            "| one chunk put over the store's own, p50, {what} | {}",
            verdict(over50, None, " ms")
        );
        println!(
            "| one chunk put over the store's own, p99, {what} | {}",
            verdict(over99, None, " ms")
        );
    }
    Ok(())
}

/// The same parts directly to the store.
fn direct(host: &str, amount: Amount) -> io::Result<Figures> {
    let upload = Setup::new(host).create_upload("direct")?;
    load::run(&Target { host, bucket: BUCKET, upload: &upload }, Op::Upload, amount, 0)
}

/// A backup of which one chunk is missing.
struct Resume {
    what: &'static str,
    chunks: u64,
    /// Bytes.
    chunk: u64,
    missing: u64,
    /// At most so many seconds to the first chunk, and MiB of the gateway.
    max: Option<(f64, Option<f64>)>,
}

impl Resume {
    fn run(&self, args: &Args) -> io::Result<()> {
        let directory = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
        let file = directory.path().join("sparse");
        File::create(&file)?.set_len(self.chunks * self.chunk)?;
        let store = null(0)?;
        let url = format!("s3+http://{}", store.host);
        self.record(&store.host, &ratchet(&args.ratchet, &url)?)?;
        // A new gateway: it knows the backup only from the store.
        let gateway = ratchet(&args.ratchet, &url)?;
        if self.chunks > MAX_CLIENT_CHUNKS {
            let seconds = self.resume_by_requests(&gateway.host)?;
            self.print(seconds, &gateway, None);
            return Ok(());
        }
        let before = figures(&store.host)?;
        let sent = |now: &Value| {
            ["parts", "staged"].iter().any(|name| counted(now, name) > counted(&before, name))
        };
        let started = Instant::now();
        let client = Process::without_output(self.client(args, &file, &gateway.host))?;
        while !sent(&figures(&store.host)?) {
            if started.elapsed() > TIMEOUT || client.has_ended() {
                return Err(io::Error::other("no chunk was sent"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.print(started.elapsed().as_secs_f64(), &gateway, Some(&client));
        Ok(())
    }

    fn client(&self, args: &Args, file: &Path, host: &str) -> Command {
        let mut command = Command::new(&args.ratchet);
        command
            .args([
                "backup",
                "--file-id",
                "bench",
                "--chunk-size",
                &self.chunk.to_string(),
                "--json",
            ])
            .arg(file)
            .args([&format!("s3://{BUCKET}/resume"), "--endpoint", &format!("http://{host}")])
            .envs([
                ("AWS_ACCESS_KEY_ID", KEY.0),
                ("AWS_SECRET_ACCESS_KEY", KEY.1),
                ("AWS_REGION", "us-east-1"),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn create_request(&self) -> Value {
        serde_json::json!({
            "bucket": BUCKET, "key": "resume", "chunkSize": self.chunk, "size": self.chunks * self.chunk,
            "fileId": "bench", "digest": "sha256-chunks",
        })
    }

    /// Does what a client does: finds the backup, reads its manifest, sends the missing chunk. The
    /// client of this project would choose larger chunks instead of so many. Returns the seconds
    /// until the chunk is stored.
    fn resume_by_requests(&self, host: &str) -> io::Result<f64> {
        let started = Instant::now();
        let backup = Setup::new(host).create_backup(&self.create_request())?;
        let mut client = Client::new(host);
        let path = format!("/_ratchet/v1/backups/{backup}");
        let manifest = client
            .call(&Request {
                method: "GET",
                path: &path,
                keep: Keep::Nothing,
                ..Request::default()
            })?
            .require_success()?;
        if manifest.body_bytes < self.chunks {
            return Err(io::Error::other(format!("a manifest of {} bytes", manifest.body_bytes)));
        }
        self.put(&mut client, &backup, self.missing)?;
        Ok(started.elapsed().as_secs_f64())
    }

    /// Sends a chunk of zeros.
    fn put(&self, client: &mut Client, backup: &str, index: u64) -> io::Result<()> {
        let zeros = vec![0; self.chunk as usize];
        let path = format!("/_ratchet/v1/backups/{backup}/chunks/{index}");
        let headers = [("content-digest", format!("sha-256=:{}:", Sha256::of(&zeros).base64()))];
        client
            .call(&Request {
                method: "PUT",
                path: &path,
                headers: &headers,
                body: &zeros,
                ..Request::default()
            })?
            .require_success()?;
        Ok(())
    }

    fn print(&self, seconds: f64, gateway: &Process, client: Option<&Process>) {
        let (max_seconds, max_mib) = (self.max.map(|max| max.0), self.max.and_then(|max| max.1));
        println!(
            "| resume: {}, first chunk after | {}",
            self.what,
            verdict(seconds, max_seconds, " s")
        );
        println!("| – peak RSS of the gateway | {}", verdict(gateway.peak_mib(), max_mib, " MiB"));
        if let Some(client) = client {
            println!("| – peak RSS of the client | {}", verdict(client.peak_mib(), None, " MiB"));
        }
    }

    /// Makes the gateway record a chunk of zeros, and copies its record to all chunks but the
    /// missing one.
    fn record(&self, store: &str, gateway: &Process) -> io::Result<()> {
        let mut setup = Setup::new(&gateway.host);
        setup.bucket(BUCKET)?;
        let backup = setup.create_backup(&self.create_request())?;
        self.put(&mut Client::new(&gateway.host), &backup, 0)?;
        let listing = plain(store, "/ratchet-state?prefix=v1%2F&max-keys=1000")?;
        let names = listing.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once('<')?.0));
        let first = names
            .into_iter()
            .find(|name| name.contains(&backup) && name.ends_with("segments/000000.json"));
        let first = first.ok_or_else(|| io::Error::other("the gateway recorded no segment"))?;
        let template = bench::decode(plain(store, &format!("/ratchet-state/{first}"))?.as_bytes());
        let template =
            template.ok_or_else(|| io::Error::other("the recorded segment cannot be read"))?;
        let record =
            template.stored(0).ok_or_else(|| io::Error::other("the chunk is not recorded"))?;
        let mut writer = Client::new(store);
        for number in 0..self.chunks.div_ceil(SEGMENT) {
            let indices = number * SEGMENT..self.chunks.min((number + 1) * SEGMENT);
            let indices = indices
                .filter(|index| *index != self.missing)
                .filter_map(|index| u32::try_from(index).ok());
            let chunks = indices.map(|index| (index, record.clone())).collect();
            let body = bench::encode(&Segment { chunks, ..template.clone() });
            let path = format!(
                "/ratchet-state/{}",
                first.replace("000000.json", &format!("{number:06}.json"))
            );
            writer
                .call(&Request { method: "PUT", path: &path, body: &body, ..Request::default() })?
                .require_success()?;
        }
        Ok(())
    }
}
