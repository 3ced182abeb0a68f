//! `ratchet restore`: restores `s3://bucket/key` to a file or stdout, `s3://bucket/prefix/` to a
//! directory.
//!
//! With `--json` it prints one object on stdout: `backupId`, `bytesRead`, `bytesKept`, or the same
//! as `backup` for a directory. It prints nothing else where stdout gets the file.

use std::path::{Path, PathBuf};

use super::connection::{Connection, exit_code_of, print, print_json, print_tree_report};
use crate::client::{
    ByteRange, Error, Progress, RestoreOptions, RestoreReport, Result, Target, TreeReport,
    restore_to_file, restore_to_stdout, restore_tree,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key; for a directory s3://bucket/prefix/.
    target: String,
    /// A file, a directory, or - for stdout.
    to: PathBuf,
    /// Restore only these bytes, both ends included, such as 0-1048575.
    #[arg(long, value_name = "FIRST-LAST")]
    range: Option<ByteRange>,
    /// How many chunks to receive at the same time.
    #[arg(long, default_value_t = RestoreOptions::default().jobs)]
    jobs: usize,
    #[command(flatten)]
    connection: Connection,
}

enum Outcome {
    One(RestoreReport),
    Tree(TreeReport),
}

/// Restores. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let to_stdout = args.to == Path::new("-");
    let progress = Progress::new(args.connection.json || to_stdout);
    let outcome = restore(&args, to_stdout, &progress).await;
    progress.finish();
    exit_code_of(outcome, |outcome| match outcome {
        Outcome::Tree(report) => print_tree_report(&report, args.connection.json),
        Outcome::One(_) if to_stdout => 0,
        Outcome::One(restored) => {
            if args.connection.json {
                print_json(&restored);
            } else {
                let RestoreReport { bytes_read, bytes_kept, .. } = restored;
                print(&format!(
                    "{} restored: {bytes_read} bytes received, {bytes_kept} there already",
                    args.to.display()
                ));
            }
            0
        }
    })
}

async fn restore(args: &Args, to_stdout: bool, progress: &Progress) -> Result<Outcome> {
    let target = Target::parse(&args.target)?;
    let transport = args.connection.open()?;
    let options = RestoreOptions { jobs: args.jobs, range: args.range };
    if target.is_prefix() {
        if to_stdout || args.range.is_some() {
            return Err(Error::WrongUse(format!(
                "{target} is a prefix, which can only be restored to a directory and without \
                 --range"
            )));
        }
        return restore_tree(&transport, &target, &args.to, args.jobs, progress)
            .await
            .map(Outcome::Tree);
    }
    if to_stdout {
        return restore_to_stdout(&transport, &target, options, progress).await.map(Outcome::One);
    }
    restore_to_file(&transport, &target, &args.to, options, progress).await.map(Outcome::One)
}
