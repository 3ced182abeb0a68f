//! Every contestant with every operation, round by round, so that disturbances of the machine
//! affect all of them.
//!
//! Guarantees: all contestants run on the same machine in the same run, each with a warm-up; the
//! result is the median of the rounds. The order of contestants is reversed in each round.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use ratchet::digest::{DigestSet, Hasher, Sha256, update_all};

use crate::contestant::{self, Contestant, Name, Programs};
use crate::load::{self, Amount, BODIES, Figures, Op, PART, Target};
use crate::pages;
use crate::process::thread_cpu_seconds;
use crate::table;
use crate::upload::{BUCKET, Setup};

const GIB: f64 = (1 << 30) as f64;

#[derive(clap::Args)]
pub struct Args {
    /// Contestants; default: all that are available.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Name>,
    /// Operations; default: all.
    #[arg(long, value_delimiter = ',')]
    ops: Vec<Op>,
    /// Rounds; the result is their median.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests of each run, in percent of the default.
    #[arg(long, default_value_t = 100)]
    percent: u64,
    /// The gateway's program; default: that of this build.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_ratchet"))]
    ratchet: PathBuf,
    /// Another build of the gateway, which takes part as `before` and `before-dir`.
    #[arg(long)]
    before: Option<PathBuf>,
}

/// The figures of one run.
#[derive(Clone, Copy)]
pub struct Sample {
    pub figures: Figures,
    pub cpu_seconds: f64,
}

impl Sample {
    /// CPU seconds per GiB of payload.
    pub fn per_gib(&self) -> f64 {
        self.cpu_seconds * GIB / self.figures.bytes.max(1) as f64
    }

    /// Microseconds of CPU per request.
    pub fn per_request(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.figures.requests.max(1) as f64
    }
}

/// The figures of all runs.
#[derive(Default)]
pub struct Results {
    pub samples: BTreeMap<(Op, Name), Vec<Sample>>,
    pub peak_mib: BTreeMap<Name, f64>,
    /// CPU seconds of one SHA-256 pass over a GiB, by round.
    pub sha256: Vec<f64>,
    /// The same for several bodies at once, as the gateway hashes uploads. Depends on what a
    /// neighbour does with the core's other thread.
    pub sha256_together: Vec<f64>,
    pub skipped: Vec<String>,
}

/// Runs all operations and prints the tables.
pub fn run(args: &Args) -> io::Result<()> {
    let programs = Programs { ratchet: args.ratchet.clone(), before: args.before.clone() };
    let mut results = Results::default();
    let mut contestants = Vec::new();
    let names: Vec<Name> =
        if args.only.is_empty() { Name::ALL.to_vec() } else { args.only.clone() };
    for name in names {
        let skip = matches!(name, Name::Before | Name::BeforeDir)
            && args.before.is_none()
            && args.only.is_empty();
        if skip {
            continue;
        }
        match contestant::start(name, &programs).and_then(prepared) {
            Ok(contestant) => contestants.push(contestant),
            Err(error) => results.skipped.push(format!("SKIP {}: {error}", name.text())),
        }
    }
    let ops: Vec<Op> = if args.ops.is_empty() { Op::ALL.to_vec() } else { args.ops.clone() };
    for op in ops {
        measure(op, &mut contestants, args, &mut results);
    }
    for contestant in &contestants {
        results.peak_mib.insert(contestant.name, contestant.server.peak_mib());
    }
    drop(contestants);
    print!("{}", table::markdown(&results));
    Ok(())
}

fn prepared(contestant: Contestant) -> io::Result<Contestant> {
    Setup::new(&contestant.server.host).create_objects()?;
    Ok(contestant)
}

/// Measures an operation in all rounds. A contestant that fails is reported, and skipped in the
/// following rounds of the operation.
fn measure(op: Op, contestants: &mut [Contestant], args: &Args, results: &mut Results) {
    let amount = amount(op, args);
    let warm_up = Amount { requests: (amount.requests / 10).max(8), ..amount };
    let supports = |contestant: &Contestant| op != Op::Chunk || contestant.name.is_ratchet();
    let mut failed = Vec::new();
    for round in 0..=args.rounds {
        if op == Op::Upload && round > 0 {
            results.sha256.push(hash_pass(one_by_one));
            results.sha256_together.push(hash_pass(together));
        }
        contestants.reverse();
        for contestant in contestants.iter().filter(|contestant| supports(contestant)) {
            if failed.contains(&contestant.name) {
                continue;
            }
            // The first round is the warm-up.
            let amount = if round == 0 { warm_up } else { amount };
            match sample(op, contestant, amount, round) {
                Ok(sample) if round > 0 => {
                    results.samples.entry((op, contestant.name)).or_default().push(sample)
                }
                Ok(_) => {}
                Err(error) => {
                    results.skipped.push(format!(
                        "SKIP {} of {}: {error}",
                        op.name(),
                        contestant.name.text()
                    ));
                    failed.push(contestant.name);
                }
            }
        }
    }
}

fn amount(op: Op, args: &Args) -> Amount {
    let (requests, seconds) = match op {
        Op::Upload | Op::Chunk => (128, 20),
        Op::Download => (16, 20),
        Op::Range => (2000, 10),
        Op::Put4k | Op::Get4k | Op::Head => (45_000, 3),
        Op::List => (1500, 3),
    };
    let requests = (requests * args.percent / 100).max(args.connections as u64);
    Amount { connections: args.connections, requests, max_duration: Duration::from_secs(seconds) }
}

fn sample(op: Op, contestant: &Contestant, amount: Amount, round: usize) -> io::Result<Sample> {
    let host = &contestant.server.host;
    let mut setup = Setup::new(host);
    let key = format!("parts-{}-{round}", op.name());
    let upload = setup.open(op, &key, amount.requests)?;
    if matches!(op, Op::Upload | Op::Chunk) {
        pages::touch()?;
    }
    let before = contestant.server.cpu_seconds();
    let figures = load::run(&Target { host, bucket: BUCKET, upload: &upload }, op, amount, 0)?;
    let cpu_seconds = contestant.server.cpu_seconds() - before;
    setup.close(op, &upload)?;
    Ok(Sample { figures, cpu_seconds })
}

/// As many bodies as the gateway hashes at once.
type Several<'a> = [&'a [u8]; Hasher::SHA256_LANES];

/// CPU seconds of SHA-256 over a GiB of the bodies, with the gateway's own hash.
fn hash_pass(hash: impl Fn(Several<'_>)) -> f64 {
    let parts = GIB as u64 / PART as u64;
    let before = thread_cpu_seconds();
    for first in (0..parts).step_by(Hasher::SHA256_LANES) {
        hash(std::array::from_fn(|lane| BODIES.part(first + lane as u64).0));
    }
    thread_cpu_seconds() - before
}

fn one_by_one(parts: Several<'_>) {
    for part in parts {
        std::hint::black_box(Sha256::of(part));
    }
}

fn together(parts: Several<'_>) {
    let mut lanes = parts.map(|part| (Hasher::new(DigestSet { sha256: true, md5: false }), part));
    update_all(&mut lanes);
    std::hint::black_box(lanes);
}
