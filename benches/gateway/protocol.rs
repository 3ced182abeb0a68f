//! What the chunk protocol costs: CAS per chunk, manifest bytes, latency over the store's own, time
//! to resume.
//!
//! Guarantees: conditional writes and record bytes are counted by the store, not by the gateway. A
//! backup that is to be resumed is recorded straight into the store: its records are copies of one
//! that the gateway wrote for a chunk of zeros, and the file is a sparse one.

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
use crate::wire::{Ask, Caller, KEY, Keep, plain};

/// Chunks in flight, and what every call of the store takes longer.
const IN_FLIGHT: usize = 16;
const DELAY_MS: u64 = 60;
/// Chunks that are put one at a time.
const ALONE: u64 = 40;
/// Chunks that one record of the gateway's holds.
const SEGMENT: u64 = 256;
/// The most chunks that our client makes of a file.
const CLIENT_CHUNKS: u64 = 10_000;
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(clap::Args)]
pub struct Args {
    /// Chunks of 8 MiB of the measurement with a slow store.
    #[arg(long, default_value_t = 512)]
    chunks: u64,
    /// Leave out the backups of 1,000,000 chunks.
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
            most: Some((1.0, None)),
        },
        Resume {
            what: "10,000 x 8 MiB, the last missing",
            chunks: 10_000,
            chunk: 8 << 20,
            missing: 9_999,
            most: Some((1.0, None)),
        },
        Resume {
            what: "10,000 x 16 KiB, the last missing",
            chunks: 10_000,
            chunk: 16 << 10,
            missing: 9_999,
            most: Some((1.0, None)),
        },
        Resume {
            what: "1,000,000 x 1 KiB, chunk 0 missing",
            chunks: 1_000_000,
            chunk: 1 << 10,
            missing: 0,
            most: Some((10.0, Some(256.0))),
        },
        Resume {
            what: "1,000,000 x 1 KiB, the last missing",
            chunks: 1_000_000,
            chunk: 1 << 10,
            missing: 999_999,
            most: Some((10.0, Some(256.0))),
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

/// Chunks at a slow store: what is written beside them, and how much longer than the store itself a
/// chunk takes.
fn commits(args: &Args) -> io::Result<()> {
    let store = null(0)?;
    let gateway = ratchet(&args.ratchet, &format!("s3+http://{}", store.host))?;
    for (delay_ms, what) in [(DELAY_MS, "store delayed by 60 ms"), (0, "store not delayed")] {
        plain(&store.host, &format!("/__delay?ms={delay_ms}"))?;
        let mut setup = Setup::new(&gateway.host);
        setup.bucket(BUCKET).or_else(|error| if delay_ms == 0 { Ok(()) } else { Err(error) })?;
        let backup = setup.backup(&format!("commits-{delay_ms}"), args.chunks)?;
        let before = figures(&store.host)?;
        let amount = Amount { connections: IN_FLIGHT, requests: args.chunks, at_most: PATIENCE };
        let own = load::run(
            &Target { host: &gateway.host, bucket: BUCKET, upload: &backup },
            Op::Chunk,
            amount,
            0,
        )?;
        let after = figures(&store.host)?;
        let grown = |name| counted(&after, name) - counted(&before, name);
        let per_chunk = grown("conditionalPuts") / own.requests as f64;
        let share = 100.0 * grown("stateBytes") / own.bytes as f64;
        let most = (delay_ms > 0).then_some(0.125);
        println!(
            "| CAS per chunk, {IN_FLIGHT} in flight, {what} | {}",
            verdict(per_chunk, most, "")
        );
        println!("| manifest bytes of payload, {what} | {}", verdict(share, Some(0.5), " %"));
        // One at a time: else it is the machine that is measured, and who waits for it.
        let amount = Amount { connections: 1, requests: ALONE, at_most: PATIENCE };
        let backup = setup.backup(&format!("alone-{delay_ms}"), ALONE)?;
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

/// The same parts straight to the store.
fn direct(host: &str, amount: Amount) -> io::Result<Figures> {
    let upload = Setup::new(host).begin("direct")?;
    load::run(&Target { host, bucket: BUCKET, upload: &upload }, Op::Upload, amount, 0)
}

/// A backup of which one chunk is not recorded.
struct Resume {
    what: &'static str,
    chunks: u64,
    /// Bytes.
    chunk: u64,
    missing: u64,
    /// Seconds to the first chunk, and MiB of the gateway.
    most: Option<(f64, Option<f64>)>,
}

impl Resume {
    fn run(&self, args: &Args) -> io::Result<()> {
        let home = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
        let file = home.path().join("sparse");
        File::create(&file)?.set_len(self.chunks * self.chunk)?;
        let store = null(0)?;
        let url = format!("s3+http://{}", store.host);
        self.record(&store.host, &ratchet(&args.ratchet, &url)?)?;
        // A fresh one: it knows nothing of the backup but what the store says.
        let gateway = ratchet(&args.ratchet, &url)?;
        if self.chunks > CLIENT_CHUNKS {
            let seconds = self.by_calls(&gateway.host)?;
            self.tell(seconds, &gateway, None);
            return Ok(());
        }
        let before = figures(&store.host)?;
        let sent = |now: &Value| {
            ["parts", "staged"].iter().any(|name| counted(now, name) > counted(&before, name))
        };
        let begun = Instant::now();
        let client = Process::unwatched(self.client(args, &file, &gateway.host))?;
        while !sent(&figures(&store.host)?) {
            if begun.elapsed() > PATIENCE || client.has_ended() {
                return Err(io::Error::other("no chunk was sent"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.tell(begun.elapsed().as_secs_f64(), &gateway, Some(&client));
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

    fn terms(&self) -> Value {
        serde_json::json!({
            "bucket": BUCKET, "key": "resume", "chunkSize": self.chunk, "size": self.chunks * self.chunk,
            "fileId": "bench", "digest": "sha256-chunks",
        })
    }

    /// What a client does: finds the backup, reads its manifest, sends the missing chunk. Our own
    /// makes larger chunks before it makes so many. Seconds until the chunk is stored.
    fn by_calls(&self, host: &str) -> io::Result<f64> {
        let begun = Instant::now();
        let backup = Setup::new(host).backup_as(&self.terms())?;
        let mut caller = Caller::new(host);
        let path = format!("/_ratchet/v1/backups/{backup}");
        let manifest = caller
            .call(&Ask { method: "GET", path: &path, keep: Keep::Nothing, ..Ask::default() })?
            .good()?;
        if manifest.body_bytes < self.chunks {
            return Err(io::Error::other(format!("a manifest of {} bytes", manifest.body_bytes)));
        }
        self.put(&mut caller, &backup, self.missing)?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Sends a chunk of zeros.
    fn put(&self, caller: &mut Caller, backup: &str, index: u64) -> io::Result<()> {
        let zeros = vec![0; self.chunk as usize];
        let path = format!("/_ratchet/v1/backups/{backup}/chunks/{index}");
        let headers = [("content-digest", format!("sha-256=:{}:", Sha256::of(&zeros).base64()))];
        caller
            .call(&Ask {
                method: "PUT",
                path: &path,
                headers: &headers,
                body: &zeros,
                ..Ask::default()
            })?
            .good()?;
        Ok(())
    }

    fn tell(&self, seconds: f64, gateway: &Process, client: Option<&Process>) {
        let (most_seconds, max_mib) =
            (self.most.map(|most| most.0), self.most.and_then(|most| most.1));
        println!(
            "| resume: {}, first chunk after | {}",
            self.what,
            verdict(seconds, most_seconds, " s")
        );
        println!("| – peak RSS of the gateway | {}", verdict(gateway.peak_mib(), max_mib, " MiB"));
        if let Some(client) = client {
            println!("| – peak RSS of the client | {}", verdict(client.peak_mib(), None, " MiB"));
        }
    }

    /// Has the gateway record a chunk of zeros, and copies its record to all chunks but the missing
    /// one.
    fn record(&self, store: &str, gateway: &Process) -> io::Result<()> {
        let mut setup = Setup::new(&gateway.host);
        setup.bucket(BUCKET)?;
        let backup = setup.backup_as(&self.terms())?;
        self.put(&mut Caller::new(&gateway.host), &backup, 0)?;
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
        let mut writer = Caller::new(store);
        for number in 0..self.chunks.div_ceil(SEGMENT) {
            let held = number * SEGMENT..self.chunks.min((number + 1) * SEGMENT);
            let held = held
                .filter(|index| *index != self.missing)
                .filter_map(|index| u32::try_from(index).ok());
            let chunks = held.map(|index| (index, record.clone())).collect();
            let body = bench::encode(&Segment { chunks, ..template.clone() });
            let path = format!(
                "/ratchet-state/{}",
                first.replace("000000.json", &format!("{number:06}.json"))
            );
            writer
                .call(&Ask { method: "PUT", path: &path, body: &body, ..Ask::default() })?
                .good()?;
        }
        Ok(())
    }
}
