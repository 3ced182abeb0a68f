//! `ratchet restore`: restores `s3://bucket/key` to a file or stdout, `s3://bucket/prefix/` to a
//! directory.
//!
//! With `--json` it prints one object on stdout: `backupId`, `checkedBy`, `bytesRead`, `bytesKept`,
//! or the same as `backup` for a directory. It prints nothing else where stdout gets the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection::{
    Connection, Moved, exit_code_of, note_other_owner, note_unchecked, pace, print_for_people,
    print_json, print_tree_report,
};
use super::failure;
use super::human::bytes;
use super::pace::Pace;
use super::talk::{Summary, Talk};
use super::tree::TreeArgs;
use crate::client::{
    ByteRange, Destination, Error, Progress, RestoreOptions, RestoreReport, Result, Target,
    TreeReport, restore, restore_tree,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key; for a directory s3://bucket/prefix/.
    target: String,
    /// A file, a directory, a device, a FIFO, or - for stdout. In a directory a file gets the name
    /// that its key ends in.
    to: PathBuf,
    /// Restore only these bytes, both ends included, such as 0-1048575; 100- for all from there
    /// on, -500 for the last ones.
    #[arg(long, value_name = "FIRST-LAST", allow_hyphen_values = true)]
    range: Option<ByteRange>,
    /// How many chunks to receive at the same time.
    #[arg(long, default_value_t = RestoreOptions::default().jobs)]
    jobs: usize,
    #[command(flatten)]
    tree: TreeArgs,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    connection: Connection,
}

enum Outcome {
    One(RestoreReport),
    Tree(TreeReport),
}

/// Where everything below a prefix, or one file, is restored to.
enum To {
    Directory,
    File(Destination),
}

/// Restores. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let (target, to) = match find_destination(&args) {
        Ok(found) => found,
        Err(error) => return exit_code_of(Err(error), |()| 0),
    };
    let to_stdout = matches!(to, To::File(Destination::Stdout));
    let progress = args.talk.progress(&args.connection, to_stdout);
    let outcome = restore_to(&args, &target, &to, &progress).await;
    progress.finish();
    let elapsed = progress.elapsed();
    exit_code_of(outcome, |outcome| match outcome {
        Outcome::Tree(report) => {
            let summary = args.talk.summary(args.connection.json);
            print_tree_report(&report, Moved::Received, summary, args.tree.delete())
        }
        Outcome::One(restored) if to_stdout => {
            note_unchecked_one(&args.target, &restored);
            0
        }
        Outcome::One(restored) => {
            let path = match &to {
                To::File(destination) => destination.path().unwrap_or(&args.to),
                To::Directory => &args.to,
            };
            match args.talk.summary(args.connection.json) {
                Summary::Json => print_json(&restored),
                Summary::Nothing => {}
                Summary::Text => print_restored(path, &restored, elapsed),
            }
            note_unchecked_one(&args.target, &restored);
            for reason in &restored.kept.left_out {
                failure::note(format_args!("{}: left out: {reason}", args.to.display()));
            }
            if restored.kept.other_owner {
                note_other_owner();
            }
            u8::from(!restored.kept.left_out.is_empty())
        }
    })
}

fn print_restored(path: &Path, restored: &RestoreReport, elapsed: Duration) {
    let RestoreReport { bytes_read, bytes_kept, checked_by, .. } = restored;
    print_for_people(&format!(
        "{} restored: {}, {} there already; checked by {checked_by}",
        path.display(),
        pace(*bytes_read, Moved::Received, elapsed),
        bytes(*bytes_kept)
    ));
}

fn note_unchecked_one(target: &str, restored: &RestoreReport) {
    if restored.unchecked {
        note_unchecked(&[target.to_owned()]);
    }
}

/// What is written, found out before the gateway is asked for anything.
fn find_destination(args: &Args) -> Result<(Target, To)> {
    let target = Target::parse(&args.target)?;
    if !target.is_prefix() {
        let destination = Destination::find(&args.to, &target)?;
        args.tree.require_tree(false)?;
        return Ok((target, To::File(destination)));
    }
    if args.to.as_os_str() == "-" || args.range.is_some() {
        return Err(Error::WrongUse(format!(
            "{target} is a prefix, which can only be restored to a directory and without --range"
        )));
    }
    if std::fs::metadata(&args.to).is_ok_and(|meta| !meta.is_dir()) {
        return Err(Error::WrongUse(format!(
            "{target} is a prefix, and {} is no directory to restore it to",
            args.to.display()
        )));
    }
    Ok((target, To::Directory))
}

async fn restore_to(args: &Args, target: &Target, to: &To, progress: &Progress) -> Result<Outcome> {
    let transport = args.connection.open_with(progress, &args.pace)?;
    match to {
        To::Directory => {
            let tree = args.tree.options()?;
            let (to, jobs) = (&args.to, args.jobs);
            let report = restore_tree(&transport, target, to, jobs, &tree, progress).await?;
            Ok(Outcome::Tree(report))
        }
        To::File(destination) => {
            let options =
                RestoreOptions { jobs: args.jobs, range: args.range, ..Default::default() };
            let report = restore(&transport, target, destination, options, progress).await?;
            Ok(Outcome::One(report))
        }
    }
}
