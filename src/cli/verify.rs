//! `ratchet verify`: reads every chunk of the newest complete backup of a key again and checks it.
//! The exit code is 1 if a chunk is bad.

use super::connection::{Connection, exit_code_of, print, print_json};
use crate::client::{Progress, Result, Target, Verification, verify};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key.
    target: String,
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
    exit_code_of(outcome, |verification| {
        let Verification { chunks, bad } = &verification;
        if args.connection.json {
            print_json(&verification);
        } else {
            print(&format!("{} of {chunks} chunks are as recorded", chunks - bad.len() as u64));
        }
        for index in bad {
            eprintln!(
                "ratchet: chunk {index} of {} is not as it was backed up; back the file up again",
                escaped(&args.target)
            );
        }
        u8::from(!bad.is_empty())
    })
}

async fn verify_newest(args: &Args, progress: &Progress) -> Result<Verification> {
    let transport = args.connection.open_with(progress, None)?;
    verify(&transport, &Target::parse(&args.target)?, args.jobs, progress).await
}
