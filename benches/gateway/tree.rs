//! A directory of many small files up, up again, and down: `ratchet`, rclone, s5cmd and the aws CLI
//! side by side, each through a gateway of its own on a new store.
//!
//! Guarantees: the same files for all; time, requests at the gateway, CPU and peak memory of the
//! client are of that client alone; what a client brought back is compared with the files.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::contestant::{at_gateway, ratchet, ratchet_with};
use crate::process::{Process, Ran};
use crate::table::goal;
use crate::wire::{Client, KEY, Request};

const BUCKET: &str = "bench-tree";
/// Files of one directory.
const PER_DIRECTORY: u64 = 100;
/// The shortest and the longest file. **Unit**: bytes.
const SIZES: std::ops::RangeInclusive<usize> = 512..=8192;
/// How much of rclone's time and requests ratchet may take.
const MAX_OF_RCLONE: f64 = 0.5;
/// How much the index of the embedded store may grow by for each file, besides its bytes.
const MAX_INDEX_BYTES: f64 = 2048.0;

#[derive(clap::Args)]
pub struct Args {
    #[arg(long, default_value_t = 10_000)]
    files: u64,
    #[arg(long, value_delimiter = ',', default_value = "ratchet,rclone,s5cmd,aws")]
    only: Vec<Name>,
    /// Where the clients are that `scripts/clients.sh` installs.
    #[arg(long, default_value = ".venv/bin")]
    programs: PathBuf,
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    ratchet: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    Ratchet,
    Rclone,
    S5cmd,
    Aws,
}

/// What is done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Up,
    Again,
    Down,
}

/// One client on one store: what each phase took, with its requests.
struct Course {
    name: Name,
    phases: Vec<(Phase, Ran, u64)>,
}

pub fn run(args: &Args) -> io::Result<()> {
    let directory = tempfile::Builder::new().prefix("ratchet-bench.").tempdir()?;
    let from = directory.path().join("from");
    let bytes = make_files(&from, args.files)?;
    println!(
        "| {} files, {:.0} MiB | store | time | requests | CPU of the client | memory |",
        args.files,
        bytes as f64 / f64::from(1 << 20)
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    let mut goals = Vec::new();
    for store in ["dir", "s3"] {
        let mut courses = Vec::new();
        for name in &args.only {
            match course(args, *name, store, &from, directory.path()) {
                Ok((course, index_bytes)) => {
                    if let (Name::Ratchet, Some(index)) = (name, index_bytes) {
                        let each = (index as f64 - bytes as f64) / args.files as f64;
                        goals.push(goal("index, bytes per file", each, MAX_INDEX_BYTES));
                    }
                    courses.push(course);
                }
                Err(error) => println!("| SKIP {name:?} | {store} | {error} | | | |"),
            }
        }
        goals.extend(ratios(store, &courses));
    }
    println!("\n| goal | at most | measured | |\n| --- | ---: | ---: | --- |");
    goals.iter().for_each(|goal| println!("{goal}"));
    Ok(())
}

/// The files, and how many bytes they have.
fn make_files(root: &Path, files: u64) -> io::Result<u64> {
    let (mut random, mut total) = (fastrand::Rng::with_seed(11), 0);
    for at in 0..files {
        let directory = root.join(format!("d{:04}", at / PER_DIRECTORY));
        if at % PER_DIRECTORY == 0 {
            fs::create_dir_all(&directory)?;
        }
        let mut bytes = vec![0; random.usize(SIZES)];
        random.fill(&mut bytes);
        fs::File::create(directory.join(format!("f{at:06}")))?.write_all(&bytes)?;
        total += bytes.len() as u64;
    }
    Ok(total)
}

/// Runs one client. Also returns the size of the index, of an embedded store.
fn course(
    args: &Args,
    name: Name,
    store: &str,
    from: &Path,
    work: &Path,
) -> io::Result<(Course, Option<u64>)> {
    let home = work.join(format!("{store}-{name:?}"));
    let gateway = gateway(args, store, &home)?;
    let mut control = Client::new(&gateway.host);
    // Nothing of an earlier run is in it, and nobody deletes the objects one by one.
    let bucket = format!("{BUCKET}-{:08x}", fastrand::u32(..));
    control.call(&Request { method: "PUT", path: &format!("/{bucket}"), ..Request::default() })?;
    let to = home.join("to");
    let mut phases = Vec::new();
    for phase in [Phase::Up, Phase::Again, Phase::Down] {
        fs::create_dir_all(&to)?;
        let before = requests(&mut control)?;
        let command = command(args, name, phase, (from, &to), &bucket, &gateway.host);
        let ran = Process::run(command)?;
        let requests = requests(&mut control)? - before;
        println!(
            "| {name:?} {phase:?} | {store} | {:.1} s | {requests} | {:.1} s | {:.0} MiB |",
            ran.seconds, ran.cpu_seconds, ran.peak_mib
        );
        phases.push((phase, ran, requests));
    }
    require_equal(from, &to)?;
    let index = fs::metadata(home.join("store/index.redb")).map(|meta| meta.len()).ok();
    Ok((Course { name, phases }, index))
}

fn gateway(args: &Args, store: &str, home: &Path) -> io::Result<Process> {
    fs::create_dir_all(home)?;
    if store == "dir" {
        return ratchet(&args.ratchet, &format!("dir:{}", home.join("store").display()));
    }
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| io::Error::other(format!("{name} names no server")))
    };
    let endpoint = variable("RATCHET_TEST_S3")?;
    let key = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
    ratchet_with(&args.ratchet, &format!("s3+{endpoint}"), (&key.0, &key.1))
}

/// How many requests the gateway has answered.
fn requests(control: &mut Client) -> io::Result<u64> {
    let reply = control.call(&Request {
        method: "GET",
        path: "/_ratchet/v1/metrics",
        ..Request::default()
    })?;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let counts = text.lines().filter(|line| line.starts_with("ratchet_requests_total{"));
    Ok(counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum())
}

fn command(
    args: &Args,
    name: Name,
    phase: Phase,
    (from, to): (&Path, &Path),
    bucket: &str,
    host: &str,
) -> Command {
    let target = format!("s3://{bucket}/t/");
    let is_down = phase == Phase::Down;
    let program = match name {
        Name::Ratchet => args.ratchet.clone(),
        Name::Rclone => args.programs.join("rclone"),
        Name::S5cmd => args.programs.join("s5cmd"),
        Name::Aws => args.programs.join("aws"),
    };
    let mut command = Command::new(program);
    match name {
        Name::Ratchet if is_down => command.args(["restore", &target]).arg(to),
        Name::Ratchet => command.arg("backup").arg(from).arg(&target),
        Name::Rclone if is_down => command.args(["copy", &format!("here:{bucket}/t")]).arg(to),
        Name::Rclone => command.arg("copy").arg(from).arg(format!("here:{bucket}/t")),
        Name::S5cmd if is_down => {
            command.args(["sync", &format!("{target}*")]).arg(format!("{}/", to.display()))
        }
        Name::S5cmd => command.arg("sync").arg(format!("{}/", from.display())).arg(&target),
        Name::Aws if is_down => command.args(["s3", "sync", "--only-show-errors", &target]).arg(to),
        Name::Aws => command.args(["s3", "sync", "--only-show-errors"]).arg(from).arg(&target),
    };
    at_gateway(&mut command, host);
    command.envs([
        ("RCLONE_CONFIG", "/dev/null"),
        ("RCLONE_CONFIG_HERE_TYPE", "s3"),
        ("RCLONE_CONFIG_HERE_PROVIDER", "Other"),
        ("RCLONE_CONFIG_HERE_ACCESS_KEY_ID", KEY.0),
        ("RCLONE_CONFIG_HERE_SECRET_ACCESS_KEY", KEY.1),
        ("RCLONE_CONFIG_HERE_ENDPOINT", &format!("http://{host}")),
    ]);
    command
}

/// **Errors**: a file that did not come back as it was.
fn require_equal(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let (from, to) = (entry?.path(), to.to_owned());
        let to = to.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            require_equal(&from, &to)?;
        } else if fs::read(&from)? != fs::read(&to)? {
            return Err(io::Error::other(format!("{} did not come back", from.display())));
        }
    }
    Ok(())
}

/// Time and requests of ratchet beside those of rclone.
fn ratios(store: &str, courses: &[Course]) -> Vec<String> {
    let of = |name| courses.iter().find(|course| course.name == name);
    let (Some(own), Some(rclone)) = (of(Name::Ratchet), of(Name::Rclone)) else {
        return Vec::new();
    };
    let pairs = own.phases.iter().zip(&rclone.phases);
    let goals = pairs.flat_map(|((phase, own, own_requests), (_, other, requests))| {
        let time = format!("{store}, {phase:?}: time, ratchet / rclone");
        let count = format!("{store}, {phase:?}: requests, ratchet / rclone");
        [
            goal(&time, own.seconds / other.seconds, MAX_OF_RCLONE),
            goal(&count, *own_requests as f64 / *requests as f64, MAX_OF_RCLONE),
        ]
    });
    goals.collect()
}
