//! `ratchet restore`: `s3://bucket/key` to a file or stdout, `s3://bucket/prefix/` to a directory.
//!
//! With `--json` one object on stdout: `backupId`, `bytesRead`, `bytesKept`, or a directory's
//! tally; not with `-`.

use std::path::{Path, PathBuf};

use super::backup::tell_tree;
use super::connection::{Connection, ended, print, print_json};
use crate::client::{
    ByteRange, Error, Progress, Restored, Result, Tally, Target, restore, restore_to_stdout,
    restore_tree,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key, or s3://bucket/prefix/ for a directory.
    target: String,
    /// A file, a directory, or - for stdout.
    to: PathBuf,
    /// Only these bytes, both included, as in 0-1048575.
    #[arg(long, value_name = "FIRST-LAST")]
    range: Option<ByteRange>,
    /// Chunks at the same time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    #[command(flatten)]
    connection: Connection,
}

enum Done {
    One(Restored),
    Tree(Tally),
}

/// Restores. The exit code.
pub async fn run(args: Args) -> u8 {
    let stdout = args.to == Path::new("-");
    let progress = Progress::new(args.connection.json || stdout);
    let outcome = bring_back(&args, stdout, &progress).await;
    progress.finish();
    ended(outcome, |done| match done {
        Done::Tree(tally) => tell_tree(&tally, args.connection.json),
        Done::One(_) if stdout => 0,
        Done::One(restored) => {
            if args.connection.json {
                print_json(&restored);
            } else {
                let (read, kept) = (restored.bytes_read, restored.bytes_kept);
                print(&format!(
                    "{} restored: {read} bytes read, {kept} were there",
                    args.to.display()
                ));
            }
            0
        }
    })
}

async fn bring_back(args: &Args, stdout: bool, progress: &Progress) -> Result<Done> {
    let target = Target::parse(&args.target)?;
    let transport = args.connection.open()?;
    let terms = (args.jobs, args.range);
    if target.is_prefix() {
        if stdout || args.range.is_some() {
            return Err(Error::WrongUse(format!(
                "{target} is a directory: it goes to a directory, and whole"
            )));
        }
        return restore_tree(&transport, &target, &args.to, args.jobs, progress)
            .await
            .map(Done::Tree);
    }
    if stdout {
        return restore_to_stdout(&transport, &target, terms, progress).await.map(Done::One);
    }
    restore(&transport, &target, &args.to, terms, progress).await.map(Done::One)
}
