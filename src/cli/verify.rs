//! `ratchet verify`: reads every chunk of the newest complete backup of a key again. Exit code 1 if
//! one is bad.

use super::connection::{Connection, ended, print, print_json};
use crate::client::{Progress, Result, Target, verify};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key.
    target: String,
    /// Chunks at the same time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    #[command(flatten)]
    connection: Connection,
}

#[derive(serde::Serialize)]
struct Verdict {
    chunks: u64,
    bad: Vec<u64>,
}

/// Verifies. The exit code.
pub async fn run(args: Args) -> u8 {
    let progress = Progress::new(args.connection.json);
    let outcome = check(&args, &progress).await;
    progress.finish();
    ended(outcome, |verdict| {
        if args.connection.json {
            print_json(&verdict);
        } else {
            print(&format!(
                "{} of {} chunks are as recorded",
                verdict.chunks - verdict.bad.len() as u64,
                verdict.chunks
            ));
        }
        for index in &verdict.bad {
            eprintln!(
                "ratchet: chunk {index} of {} is not what was backed up",
                escaped(&args.target)
            );
        }
        u8::from(!verdict.bad.is_empty())
    })
}

async fn check(args: &Args, progress: &Progress) -> Result<Verdict> {
    let transport = args.connection.open()?;
    let (bad, chunks) =
        verify(&transport, &Target::parse(&args.target)?, args.jobs, progress).await?;
    Ok(Verdict { chunks, bad })
}
