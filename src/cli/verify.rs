//! `ratchet verify`: reads every chunk of a file, or of everything below a prefix, again and checks
//! it. The exit code is 1 if something is bad and was not repaired.
//!
//! With `--json` it prints one object: for a file `backupId`, `checkedBy`, `chunks`, `bad`,
//! `reasons`; for a prefix the same as `backup` for a directory.

use std::path::PathBuf;
use std::time::Duration;

use super::connection::{
    Connection, Moved, exit_code_of, note_unchecked, pace, print_for_people, print_json,
    print_tree_report,
};
use super::failure;
use super::pace::Pace;
use super::talk::{Summary, Talk};
use super::tree::FilterArgs;
use crate::client::{
    Delete, Error, Progress, Repair, Result, Target, TreeReport, verify, verify_and_repair,
    verify_tree,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key, or s3://bucket/prefix/ for everything below it.
    target: String,
    /// The file that was backed up: if a chunk is bad, all of it is sent again.
    #[arg(long, value_name = "FILE")]
    repair: Option<PathBuf>,
    /// How many chunks to read at the same time.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    connection: Connection,
}

enum Outcome {
    One(Box<Repair>),
    Tree(TreeReport),
}

/// Verifies. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let progress = args.talk.progress(&args.connection, false);
    let outcome = verify_target(&args, &progress).await;
    progress.finish();
    let elapsed = progress.elapsed();
    exit_code_of(outcome, |outcome| match outcome {
        Outcome::One(repair) => print_repair(&args, &repair, elapsed),
        Outcome::Tree(report) => {
            let summary = args.talk.summary(args.connection.json);
            print_tree_report(&report, Moved::Read, summary, Delete::Never)
        }
    })
}

fn print_repair(args: &Args, repair: &Repair, elapsed: Duration) -> u8 {
    let Repair { found, repaired } = repair;
    for reason in found.reasons.values() {
        failure::note(reason);
    }
    if found.unchecked {
        note_unchecked(std::slice::from_ref(&args.target));
    }
    let summary = args.talk.summary(args.connection.json);
    let pace = pace(found.size, Moved::Read, elapsed);
    match summary {
        Summary::Json => print_json(repair),
        Summary::Nothing => {}
        Summary::Text if found.backup_id.is_some() => {
            let good = found.chunks - found.bad.len() as u64;
            print_for_people(&format!("{good} of {} chunks are as recorded; {pace}", found.chunks));
        }
        Summary::Text => {
            let by = &found.checked_by;
            print_for_people(&format!("the object is as recorded; checked by {by}; {pace}"));
        }
    }
    match repaired {
        Some(repaired) => {
            if summary == Summary::Text {
                let size = repaired.object.size;
                print_for_people(&format!("{} repaired: {size} bytes sent again", args.target));
            }
            0
        }
        None => u8::from(!found.bad.is_empty()),
    }
}

async fn verify_target(args: &Args, progress: &Progress) -> Result<Outcome> {
    let target = Target::parse(&args.target)?;
    if target.is_prefix() && args.repair.is_some() {
        return Err(Error::WrongUse(format!(
            "{target} is a prefix, and --repair takes one file; `ratchet backup --check DIRECTORY \
             {target}` repairs a directory"
        )));
    }
    args.filter.require_tree(target.is_prefix())?;
    let transport = args.connection.open_with(progress, &args.pace)?;
    if target.is_prefix() {
        let filter = args.filter.filter()?;
        let report = verify_tree(&transport, &target, args.jobs, &filter, progress).await?;
        return Ok(Outcome::Tree(report));
    }
    let repair = match &args.repair {
        Some(path) => verify_and_repair(&transport, &target, path, args.jobs, progress).await?,
        None => {
            let found = verify(&transport, &target, args.jobs, progress).await?;
            Repair { found, repaired: None }
        }
    };
    Ok(Outcome::One(Box::new(repair)))
}
