//! `ratchet backup` through a gateway beside `s5cmd cp` straight to the same S3 server.
//!
//! Guarantees: the same file, part size and number of parts at a time; each round runs both, in
//! turn first; what is told is the median of the rounds' ratios. The server is the one of
//! `RATCHET_TEST_S3`, with the usual AWS credentials.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::contestant::ratchet_with;
use crate::table::{median, verdict};
use crate::wire::{Ask, Caller, KEY};

const BUCKET: &str = "bench-client";
const AT_A_TIME: &str = "8";

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The file's size.
    #[arg(long, default_value_t = 4)]
    gib: u64,
    #[arg(long, default_value = ".venv/bin/s5cmd")]
    s5cmd: PathBuf,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    ratchet: PathBuf,
}

pub fn run(args: &Args) -> io::Result<()> {
    println!(
        "| client, {} GiB, parts of 8 MiB, {AT_A_TIME} at a time | at least | measured | |",
        args.gib
    );
    println!("| --- | ---: | ---: | --- |");
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!("| SKIP client: RATCHET_TEST_S3 names no server | | | |");
        return Ok(());
    };
    if !args.s5cmd.exists() {
        println!("| SKIP client: no {} | | | |", args.s5cmd.display());
        return Ok(());
    }
    let home = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
    let file = home.path().join("file");
    write_random(&file, args.gib)?;
    let store =
        std::env::var("AWS_ACCESS_KEY_ID").ok().zip(std::env::var("AWS_SECRET_ACCESS_KEY").ok());
    let (id, secret) =
        store.ok_or_else(|| io::Error::other("no AWS credentials for the server"))?;
    let mut server = Caller::with(endpoint.trim_start_matches("http://"), &id, &secret);
    // It may be there already.
    server.call(&Ask { method: "PUT", path: &format!("/{BUCKET}"), ..Ask::default() })?;
    let gateway = ratchet_with(&args.ratchet, &format!("s3+{endpoint}"), (&id, &secret))?;
    let (mut own, mut others, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..args.rounds {
        let through = || timed(backup(args, &file, &gateway.host, round));
        let straight = || timed(s5cmd(args, &file, &endpoint, round));
        let (through, straight) = if round % 2 == 0 {
            let through = through()?;
            (through, straight()?)
        } else {
            let straight = straight()?;
            (through()?, straight)
        };
        for key in ["backup", "s5cmd"] {
            let path = format!("/{BUCKET}/{key}-{round}");
            server.call(&Ask { method: "DELETE", path: &path, ..Ask::default() })?.good()?;
        }
        own.push(through);
        others.push(straight);
        ratios.push(straight / through);
    }
    let rate =
        |seconds: Vec<f64>| args.gib as f64 * 1024.0 / median(seconds).unwrap_or(f64::INFINITY);
    println!("| ratchet backup | {}", verdict(rate(own), None, " MiB/s"));
    println!("| s5cmd cp | {}", verdict(rate(others), None, " MiB/s"));
    let ratio = median(ratios).unwrap_or(0.0);
    let met = if ratio >= 0.95 { "met" } else { "**not met**" };
    println!("| throughput, ratchet backup / s5cmd cp | 0.95 | {ratio:.3} | {met} |");
    Ok(())
}

fn write_random(path: &Path, gib: u64) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut file = File::create(path)?;
    let mut bytes = vec![0; 1 << 20];
    for _ in 0..gib * 1024 {
        random.fill(&mut bytes);
        file.write_all(&bytes)?;
    }
    file.sync_all()
}

fn backup(args: &Args, file: &Path, host: &str, round: usize) -> Command {
    let mut command = Command::new(&args.ratchet);
    command
        .args(["backup", "--jobs", AT_A_TIME, "--chunk-size", "8MiB", "--json"])
        .arg(file)
        .args([&format!("s3://{BUCKET}/backup-{round}"), "--endpoint", &format!("http://{host}")])
        .envs([
            ("AWS_ACCESS_KEY_ID", KEY.0),
            ("AWS_SECRET_ACCESS_KEY", KEY.1),
            ("AWS_REGION", "us-east-1"),
        ]);
    command
}

fn s5cmd(args: &Args, file: &Path, endpoint: &str, round: usize) -> Command {
    let mut command = Command::new(&args.s5cmd);
    command
        .args(["--endpoint-url", endpoint, "cp", "--part-size", "8", "--concurrency", AT_A_TIME])
        .arg(file)
        .arg(format!("s3://{BUCKET}/s5cmd-{round}"))
        .env("AWS_REGION", "us-east-1");
    command
}

/// Seconds of a command that must succeed.
fn timed(mut command: Command) -> io::Result<f64> {
    let begun = Instant::now();
    let told = command.stdin(Stdio::null()).output()?;
    if told.status.success() {
        return Ok(begun.elapsed().as_secs_f64());
    }
    Err(io::Error::other(format!(
        "{:?}: {}",
        command.get_program(),
        String::from_utf8_lossy(&told.stderr)
    )))
}
