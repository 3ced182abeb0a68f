//! The gateway benchmark: who does the same work with how much CPU, memory and time, side by side
//! in one run.
//!
//! `cargo bench --bench gateway -- side-by-side --only ratchet,nginx --ops put4k,head` and the
//! like; `--help` tells more, and `scripts/bench.sh` sets up what is compared with. Figures are for
//! comparison within one run, never across machines.

mod client;
mod contestant;
mod embedded;
mod load;
mod memory;
mod null;
mod pages;
mod process;
mod protocol;
mod side;
mod table;
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
    /// Sends a signed load to a server and prints what it took as JSON.
    Load(Load),
    /// Every contestant by every operation, as a Markdown table with ratios and goals.
    SideBySide(side::Args),
    /// The chunk protocol: CAS per chunk, manifest bytes, latency, time to resume.
    Protocol(protocol::Args),
    /// `ratchet backup` beside `s5cmd cp`.
    Client(client::Args),
    /// Peak memory with many parts in flight.
    Memory(memory::Args),
    /// The embedded store beside plain files and hashes.
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
    /// Make the bucket and the objects first.
    #[arg(long)]
    prepare: bool,
}

fn main() -> ExitCode {
    // `cargo bench` adds a flag that harnesses of its own understand.
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
        setup.objects()?;
    }
    let upload = setup.open(load.op, "load", load.requests)?;
    let target = Target { host: &load.host, bucket: upload::BUCKET, upload: &upload };
    let at_most = Duration::from_secs_f64(load.seconds);
    let amount = Amount { connections: load.connections, requests: load.requests, at_most };
    let figures = load::run(&target, load.op, amount, 0)?;
    println!("{}", serde_json::to_string(&figures).map_err(std::io::Error::other)?);
    Ok(())
}
