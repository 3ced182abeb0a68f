//! `ratchet verify`: reads every chunk of the newest complete backup of a key again and checks it.
//! The exit code is 1 if a chunk is bad and was not repaired.

use std::path::PathBuf;

use super::connection::{Connection, exit_code_of, print, print_json};
use crate::client::{Progress, Repair, Result, Target, verify, verify_and_repair};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key.
    target: String,
    /// The file that was backed up: if a chunk is bad, all of it is sent again.
    #[arg(long, value_name = "FILE")]
    repair: Option<PathBuf>,
    /// How many chunks to read at the same time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    #[command(flatten)]
    connection: Connection,
}

/// Verifies. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let progress = Progress::new(args.connection.json);
    let outcome = verify_newest(&args, &progress).await;
    progress.finish();
    exit_code_of(outcome, |Repair { found, repaired }| {
        let good = found.chunks - found.bad.len() as u64;
        for reason in found.reasons.values() {
            eprintln!("ratchet: {}", escaped(reason));
        }
        if args.connection.json {
            print_json(&Repair { found: found.clone(), repaired: repaired.clone() });
        } else {
            print(&format!("{good} of {} chunks are as recorded", found.chunks));
        }
        match repaired {
            Some(repaired) => {
                if !args.connection.json {
                    print(&format!(
                        "{} repaired: {} bytes sent again",
                        args.target, repaired.object.size
                    ));
                }
                0
            }
            None => u8::from(!found.bad.is_empty()),
        }
    })
}

async fn verify_newest(args: &Args, progress: &Progress) -> Result<Repair> {
    let transport = args.connection.open_with(progress, None)?;
    let target = Target::parse(&args.target)?;
    match &args.repair {
        Some(path) => verify_and_repair(&transport, &target, path, args.jobs, progress).await,
        None => {
            let found = verify(&transport, &target, args.jobs, progress).await?;
            Ok(Repair { found, repaired: None })
        }
    }
}
