//! `ratchet restore` and `ratchet verify` through a gateway on a directory, beside what brings back
//! or checks the same bytes without it: `s5cmd cp` and `aws s3 cp` through the same gateway, a plain
//! write with fsync, and a pass of SHA-256 over two cores.
//!
//! Guarantees: each round runs all of them one after the other, in alternating order; what was
//! written is compared with the file and removed before the next one. Time, CPU and memory are
//! those of the client alone. The result is the median of the rounds, or of their ratios.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use ratchet::digest::RunningSha256;

use crate::client::{Args, BUCKET};
use crate::contestant::{at_gateway, ratchet};
use crate::process::{Process, Ran};
use crate::table::{goal, median};
use crate::wire::{Client, Request};

const KEY: &str = "file";
/// How many cores the pass of SHA-256 has.
const HASHING_CORES: u64 = 2;
const READ_BYTES: usize = 256 << 10;
/// How much longer than the slower of writing and hashing it may take.
const MAX_OF_SLOWER: f64 = 1.25;
/// **Unit**: CPU seconds per GiB.
const MAX_CPU: f64 = 1.8;
const MAX_MIB: f64 = 64.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Restore,
    Verify,
    S5cmd,
    Aws,
    Dd,
}

impl What {
    const ALL: [Self; 5] = [Self::Restore, Self::Verify, Self::S5cmd, Self::Aws, Self::Dd];

    fn text(self) -> &'static str {
        match self {
            Self::Restore => "ratchet restore",
            Self::Verify => "ratchet verify",
            Self::S5cmd => "s5cmd cp",
            Self::Aws => "aws s3 cp",
            Self::Dd => "dd conv=fsync",
        }
    }

    fn command(self, args: &Args, (from, to): (&Path, &Path), host: &str) -> Command {
        let source = format!("s3://{BUCKET}/{KEY}");
        let mut command = match self {
            Self::Restore | Self::Verify => Command::new(&args.ratchet),
            Self::S5cmd => Command::new(args.programs.join("s5cmd")),
            Self::Aws => Command::new(args.programs.join("aws")),
            Self::Dd => Command::new("dd"),
        };
        match self {
            Self::Restore => command.args(["restore", &source]).arg(to),
            Self::Verify => command.args(["verify", &source]),
            Self::S5cmd => command.args(["cp", &source]).arg(to),
            Self::Aws => command.args(["s3", "cp", "--only-show-errors", &source]).arg(to),
            Self::Dd => command
                .args(["bs=1M", "conv=fsync", "status=none"])
                .args([format!("if={}", from.display()), format!("of={}", to.display())]),
        };
        at_gateway(&mut command, host);
        command
    }
}

/// What each took in one round, of those that could be run.
struct Round {
    ran: Vec<(What, Ran)>,
    sha256_seconds: f64,
}

impl Round {
    fn of(&self, what: What) -> Option<Ran> {
        self.ran.iter().find(|(of, _)| *of == what).map(|(_, ran)| *ran)
    }
}

/// Restores and verifies the file, which has random bytes.
pub fn run(args: &Args, file: &Path, home: &Path) -> io::Result<()> {
    let gateway = ratchet(&args.ratchet, &format!("dir:{}", home.join("store").display()))?;
    let bucket = Request { method: "PUT", path: &format!("/{BUCKET}"), ..Request::default() };
    Client::new(&gateway.host).call(&bucket)?.require_success()?;
    let mut backup = Command::new(&args.ratchet);
    backup.arg("backup").arg(file).arg(format!("s3://{BUCKET}/{KEY}"));
    at_gateway(&mut backup, &gateway.host);
    Process::run(backup)?;
    let mut chosen = What::ALL.to_vec();
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        rounds.push(round(args, &mut chosen, (file, home), &gateway.host)?);
        chosen.reverse();
    }
    print(args, &rounds);
    Ok(())
}

/// Runs each; a client of others that cannot be run is named and not tried again.
fn round(
    args: &Args,
    chosen: &mut Vec<What>,
    (file, home): (&Path, &Path),
    host: &str,
) -> io::Result<Round> {
    let to = home.join("restored");
    let mut ran = Vec::new();
    for what in chosen.clone() {
        match Process::run(what.command(args, (file, &to), host)) {
            Ok(took) => ran.push((what, took)),
            Err(error) if matches!(what, What::S5cmd | What::Aws) => {
                println!("SKIP {}: {error}", what.text());
                chosen.retain(|of| *of != what);
                // A restore would find there what it left. There may be nothing.
                fs::remove_file(&to).ok();
                continue;
            }
            Err(error) => return Err(error),
        }
        if what != What::Verify {
            require_equal(file, &to)?;
            fs::remove_file(&to)?;
        }
    }
    Ok(Round { ran, sha256_seconds: sha256_pass(file)? })
}

fn print(args: &Args, rounds: &[Round]) {
    println!("\n| down, {} MiB, from a directory | time | CPU of the client | memory |", args.mib);
    println!("| --- | ---: | ---: | ---: |");
    for what in What::ALL {
        let ran: Vec<Ran> = rounds.iter().filter_map(|round| round.of(what)).collect();
        let of = |value: fn(&Ran) -> f64| median(ran.iter().map(value).collect()).unwrap_or(0.0);
        if !ran.is_empty() {
            println!(
                "| {} | {:.2} s | {:.2} s | {:.0} MiB |",
                what.text(),
                of(|ran| ran.seconds),
                of(|ran| ran.cpu_seconds),
                of(|ran| ran.peak_mib)
            );
        }
    }
    let sha256 = rounds.iter().map(|round| round.sha256_seconds).collect();
    let sha256 = median(sha256).unwrap_or(0.0);
    println!("| SHA-256, {HASHING_CORES} cores | {sha256:.2} s | – | – |");
    println!("\n| goal | at most | measured | |\n| --- | ---: | ---: | --- |");
    let gib = args.mib as f64 / 1024.0;
    let median_of = |value: &dyn Fn(&Round) -> Option<f64>| {
        median(rounds.iter().filter_map(value).collect()).unwrap_or(f64::INFINITY)
    };
    let restore = median_of(&|round| {
        let slower = round.of(What::Dd)?.seconds.max(round.sha256_seconds);
        Some(round.of(What::Restore)?.seconds / slower)
    });
    let verify = median_of(&|round| Some(round.of(What::Verify)?.seconds / round.sha256_seconds));
    println!("{}", goal("restore: time / the slower of dd and SHA-256", restore, MAX_OF_SLOWER));
    println!("{}", goal("verify: time / SHA-256", verify, MAX_OF_SLOWER));
    for what in [What::Restore, What::Verify] {
        let cpu = median_of(&|round| Some(round.of(what)?.cpu_seconds / gib));
        let memory = median_of(&|round| Some(round.of(what)?.peak_mib));
        println!("{}", goal(&format!("{}: CPU, s/GiB", what.text()), cpu, MAX_CPU));
        println!("{}", goal(&format!("{}: memory, MiB", what.text()), memory, MAX_MIB));
    }
}

/// Seconds of SHA-256 over the file, of which each core reads and hashes its share.
fn sha256_pass(path: &Path) -> io::Result<f64> {
    let share = fs::metadata(path)?.len() / HASHING_CORES;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let cores =
            (0..HASHING_CORES).map(|core| scope.spawn(move || hash(path, core * share, share)));
        let cores: Vec<_> = cores.collect();
        cores.into_iter().try_for_each(|core| core.join().expect("hashing does not panic"))
    })?;
    Ok(started.elapsed().as_secs_f64())
}

fn hash(path: &Path, offset: u64, len_bytes: u64) -> io::Result<()> {
    let (file, mut bytes) = (File::open(path)?, vec![0; READ_BYTES]);
    let mut running = RunningSha256::default();
    for at in (0..len_bytes).step_by(READ_BYTES) {
        let read = file.read_at(&mut bytes, offset + at)?;
        running.update(&bytes[..read]);
    }
    std::hint::black_box(running.finish());
    Ok(())
}

/// **Errors**: the bytes of the two files differ.
fn require_equal(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut restored) = (File::open(from)?, File::open(to)?);
    let (mut expected, mut found) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    loop {
        let len = from.read(&mut expected)?;
        if len == 0 && restored.read(&mut found)? == 0 {
            return Ok(());
        }
        if len == 0
            || restored.read_exact(&mut found[..len]).is_err()
            || expected[..len] != found[..len]
        {
            return Err(io::Error::other(format!("{} did not come back", to.display())));
        }
    }
}
