//! The two layouts of objects in an S3 store side by side: a backup, the object read back over S3,
//! and the backup of the same file after one part of it changed.
//!
//! Guarantees: the same file, parts and gateway; each round runs both layouts, in alternating
//! order; a ratio is the median of the rounds' ratios.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::client::{timed, write_random};
use crate::contestant::{at_gateway, ratchet_with};
use crate::table::median;
use crate::wire::{Client, Keep, Request};

const BUCKET: &str = "bench-layouts";
const LAYOUTS: [&str; 2] = ["multipart", "content"];
const STEPS: [&str; 3] = ["backup", "read", "backup, one part changed"];
/// `content` may take so much of the time of `multipart`.
const GOALS: [Option<f64>; 3] = [None, Some(1.15), None];

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// The file's size.
    #[arg(long, default_value_t = 512)]
    pub mib: u64,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    pub ratchet: PathBuf,
}

pub fn run(args: &Args) -> io::Result<()> {
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!("SKIP layouts: RATCHET_TEST_S3 names no server");
        return Ok(());
    };
    let key =
        std::env::var("AWS_ACCESS_KEY_ID").ok().zip(std::env::var("AWS_SECRET_ACCESS_KEY").ok());
    let (id, secret) = key.ok_or_else(|| io::Error::other("no AWS credentials for the server"))?;
    let gateway = ratchet_with(&args.ratchet, &format!("s3+{endpoint}"), (&id, &secret))?;
    let directory = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
    let file = directory.path().join("file");
    write_random(&file, args.mib)?;
    let mut client = Client::new(&gateway.host);
    client.call(&Request { method: "PUT", path: &format!("/{BUCKET}"), ..Request::default() })?;
    // By step and layout, of each round.
    let mut seconds = [const { [const { Vec::new() }; LAYOUTS.len()] }; STEPS.len()];
    for round in 0..args.rounds {
        for turn in 0..LAYOUTS.len() {
            let layout = (round + turn) % LAYOUTS.len();
            // Other bytes for each, so that no part is known from the other one.
            change(&file, u64::MAX)?;
            let took = measure(args, &mut client, &gateway.host, &file, (layout, round))?;
            for (step, took) in took.into_iter().enumerate() {
                seconds[step][layout].push(took);
            }
        }
    }
    print(args.mib, seconds);
    Ok(())
}

/// The durations of the steps, in seconds.
fn measure(
    args: &Args,
    client: &mut Client,
    host: &str,
    file: &Path,
    (layout, round): (usize, usize),
) -> io::Result<[f64; STEPS.len()]> {
    let layout = LAYOUTS[layout];
    let backup = |key: &str| {
        let mut command = Command::new(&args.ratchet);
        command.args(["backup", "--chunk-size", "8MiB", "--json", "--layout", layout]).arg(file);
        command.arg(format!("s3://{BUCKET}/{key}"));
        at_gateway(&mut command, host);
        timed(command)
    };
    let (first, second) = (format!("{layout}-{round}"), format!("{layout}-{round}-again"));
    let up = backup(&first)?;
    let started = Instant::now();
    let path = format!("/{BUCKET}/{first}");
    let get = Request { method: "GET", path: &path, keep: Keep::Nothing, ..Request::default() };
    let response = client.call(&get)?.require_success()?;
    let down = started.elapsed().as_secs_f64();
    if response.body_bytes != args.mib << 20 {
        return Err(io::Error::other(format!("{path} has {} bytes", response.body_bytes)));
    }
    change(file, 1)?;
    let again = backup(&second)?;
    for key in [first, second] {
        let path = format!("/{BUCKET}/{key}");
        client
            .call(&Request { method: "DELETE", path: &path, ..Request::default() })?
            .require_success()?;
    }
    Ok([up, down, again])
}

/// Changes a byte in each of so many parts.
fn change(file: &Path, parts: u64) -> io::Result<()> {
    let mut file: File = OpenOptions::new().read(true).write(true).open(file)?;
    let len = file.metadata()?.len();
    let mut byte = [0];
    for at in (0..len).step_by(8 << 20).take(usize::try_from(parts).unwrap_or(usize::MAX)) {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut byte)?;
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&[byte[0].wrapping_add(1)])?;
    }
    Ok(())
}

fn print(mib: u64, seconds: [[Vec<f64>; LAYOUTS.len()]; STEPS.len()]) {
    println!("| {mib} MiB, parts of 8 MiB | multipart | content | ratio | at most | |");
    println!("| --- | ---: | ---: | ---: | ---: | --- |");
    for ((step, goal), [plain, blobs]) in STEPS.iter().zip(GOALS).zip(seconds) {
        let ratios = plain.iter().zip(&blobs).map(|(plain, blobs)| blobs / plain).collect();
        let ratio = median(ratios).unwrap_or(f64::NAN);
        let (plain, blobs) = (median(plain).unwrap_or_default(), median(blobs).unwrap_or_default());
        let (bound, verdict) = match goal {
            None => ("–".to_owned(), ""),
            Some(goal) if ratio <= goal => (format!("{goal:.2}"), "met"),
            Some(goal) => (format!("{goal:.2}"), "**not met**"),
        };
        println!("| {step} | {plain:.2} s | {blobs:.2} s | {ratio:.2} | {bound} | {verdict} |");
    }
}
