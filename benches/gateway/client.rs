//! `ratchet backup` through a gateway, compared with `s5cmd cp` directly to the same S3 server; and
//! the way back (`restore`).
//!
//! Guarantees: the same file, part size and number of concurrent parts; each round runs both, in
//! alternating order; the result is the median of the rounds' ratios. The server is the one of
//! `RATCHET_TEST_S3`, with the usual AWS credentials.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::contestant::{at_gateway, ratchet_with};
use crate::restore;
use crate::table::{median, verdict};
use crate::wire::{Client, Request};

pub const BUCKET: &str = "bench-client";
const CONCURRENCY: &str = "8";

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// The file's size.
    #[arg(long, default_value_t = 4096)]
    pub mib: u64,
    /// Where the clients are that `scripts/bench.sh` installs.
    #[arg(long, default_value = ".venv/bin")]
    pub programs: PathBuf,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    pub ratchet: PathBuf,
}

pub fn run(args: &Args) -> io::Result<()> {
    let directory = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
    let file = directory.path().join("file");
    write_random(&file, args.mib)?;
    backups(args, &file)?;
    restore::run(args, &file, directory.path())
}

fn backups(args: &Args, file: &Path) -> io::Result<()> {
    println!(
        "| client, {} MiB, parts of 8 MiB, {CONCURRENCY} at a time | at least | measured | |",
        args.mib
    );
    println!("| --- | ---: | ---: | --- |");
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!("| SKIP backup: RATCHET_TEST_S3 names no server | | | |");
        return Ok(());
    };
    if !args.programs.join("s5cmd").exists() {
        println!("| SKIP backup: no s5cmd in {} | | | |", args.programs.display());
        return Ok(());
    }
    let store =
        std::env::var("AWS_ACCESS_KEY_ID").ok().zip(std::env::var("AWS_SECRET_ACCESS_KEY").ok());
    let (id, secret) =
        store.ok_or_else(|| io::Error::other("no AWS credentials for the server"))?;
    let mut server = Client::with(endpoint.trim_start_matches("http://"), &id, &secret);
    // The bucket may exist already.
    server.call(&Request { method: "PUT", path: &format!("/{BUCKET}"), ..Request::default() })?;
    let gateway = ratchet_with(&args.ratchet, &format!("s3+{endpoint}"), (&id, &secret))?;
    let (mut backups, mut copies, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let run_backup = || timed(backup(args, file, &gateway.host, round));
        let run_s5cmd = || timed(s5cmd(args, file, &endpoint, round));
        let (backup, copy) = if round % 2 == 0 {
            let backup = run_backup()?;
            (backup, run_s5cmd()?)
        } else {
            let copy = run_s5cmd()?;
            (run_backup()?, copy)
        };
        for key in ["backup", "s5cmd"] {
            let path = format!("/{BUCKET}/{key}-{round}");
            server
                .call(&Request { method: "DELETE", path: &path, ..Request::default() })?
                .require_success()?;
        }
        backups.push(backup);
        copies.push(copy);
        ratios.push(copy / backup);
    }
    let rate = |seconds: Vec<f64>| args.mib as f64 / median(seconds).unwrap_or(f64::INFINITY);
    println!("| ratchet backup | {}", verdict(rate(backups), None, " MiB/s"));
    println!("| s5cmd cp | {}", verdict(rate(copies), None, " MiB/s"));
    let ratio = median(ratios).unwrap_or(0.0);
    let met = if ratio >= 0.95 { "met" } else { "**not met**" };
    println!("| throughput, ratchet backup / s5cmd cp | 0.95 | {ratio:.3} | {met} |");
    Ok(())
}

pub fn write_random(path: &Path, mib: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut file = File::create(path)?;
    let mut bytes = vec![0; 1 << 20];
    for _ in 0..mib {
        random.fill(&mut bytes);
        file.write_all(&bytes)?;
    }
    file.sync_all()
}

fn backup(args: &Args, file: &Path, host: &str, round: usize) -> Command {
    let mut command = Command::new(&args.ratchet);
    command
        .args(["backup", "--jobs", CONCURRENCY, "--chunk-size", "8MiB", "--json"])
        .arg(file)
        .arg(format!("s3://{BUCKET}/backup-{round}"));
    at_gateway(&mut command, host);
    command
}

fn s5cmd(args: &Args, file: &Path, endpoint: &str, round: usize) -> Command {
    let mut command = Command::new(args.programs.join("s5cmd"));
    command
        .args(["--endpoint-url", endpoint, "cp", "--part-size", "8", "--concurrency", CONCURRENCY])
        .arg(file)
        .arg(format!("s3://{BUCKET}/s5cmd-{round}"))
        .env("AWS_REGION", "us-east-1");
    command
}

/// The duration of a command, which must succeed, in seconds.
pub fn timed(mut command: Command) -> io::Result<f64> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(started.elapsed().as_secs_f64());
    }
    Err(io::Error::other(format!(
        "{:?}: {}",
        command.get_program(),
        String::from_utf8_lossy(&output.stderr)
    )))
}
