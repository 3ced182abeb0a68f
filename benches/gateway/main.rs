//! The gateway benchmark: CPU, memory and time of the gateway and of other programs that do the
//! same work, side by side in one run.
//!
//! `cargo bench --bench gateway -- side-by-side --only ratchet,nginx --ops put4k,head` and the
//! like; `--help` has the options, and `scripts/bench.sh` installs the other programs. Figures are
//! for comparison within one run, never across machines.

mod client;
mod contestant;
mod embedded;
mod layouts;
mod load;
mod memory;
mod null;
mod pages;
mod process;
mod protocol;
mod restore;
mod side;
mod table;
mod tree;
mod upload;
mod wire;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::load::{Amount, Op, Target};

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Serves the null S3 backend on a free port of 127.0.0.1 until stdin ends.
    NullS3 {
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
    },
    /// Sends a signed load to a server and prints its duration and latencies as JSON.
    Load(Load),
    /// Every contestant with every operation, as a Markdown table with ratios and goals.
    SideBySide(side::Args),
    /// The chunk protocol: CAS per chunk, manifest bytes, latency, time to resume.
    Protocol(protocol::Args),
    /// `ratchet backup`, `restore` and `verify` compared with other clients and with `dd`.
    Client(client::Args),
    /// Objects as plain ones and in blobs, on an S3 store: backup, read, backup of what changed.
    Layouts(layouts::Args),
    /// Many small files up, again and down: `ratchet`, rclone, s5cmd, the aws CLI.
    Tree(tree::Args),
    /// Peak memory with many parts in flight.
    Memory(memory::Args),
    /// The embedded store compared with plain files and hashes.
    Embedded(embedded::Args),
}

#[derive(clap::Args)]
struct Load {
    /// `ADDRESS:PORT`.
    host: String,
    op: Op,
    #[arg(long, default_value_t = 8)]
    connections: usize,
    #[arg(long, default_value_t = 1000)]
    requests: u64,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Create the bucket and the objects first.
    #[arg(long)]
    prepare: bool,
}

fn main() -> ExitCode {
    // `cargo bench` adds a flag for the standard harness.
    let args = Args::parse_from(std::env::args().filter(|word| word != "--bench"));
    let outcome = match &args.command {
        Command::NullS3 { delay_ms } => {
            null::serve(*delay_ms);
            Ok(())
        }
        Command::Load(load) => run_load(load),
        Command::SideBySide(args) => side::run(args),
        Command::Protocol(args) => protocol::run(args),
        Command::Client(args) => client::run(args),
        Command::Layouts(args) => layouts::run(args),
        Command::Tree(args) => tree::run(args),
        Command::Memory(args) => memory::run(args),
        Command::Embedded(args) => embedded::run(args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_load(load: &Load) -> std::io::Result<()> {
    let mut setup = upload::Setup::new(&load.host);
    if load.prepare {
        setup.create_objects()?;
    }
    let upload = setup.open(load.op, "load", load.requests)?;
    let target = Target { host: &load.host, bucket: upload::BUCKET, upload: &upload };
    let max_duration = Duration::from_secs_f64(load.seconds);
    let amount = Amount { connections: load.connections, requests: load.requests, max_duration };
    let figures = load::run(&target, load.op, amount, 0)?;
    println!("{}", serde_json::to_string(&figures).map_err(std::io::Error::other)?);
    Ok(())
}
