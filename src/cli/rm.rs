//! `ratchet rm`: removes an object, or everything below a prefix.
//!
//! With `--json` it prints one object: `dryRun`, `removed`, `failed`.

use super::connection::{Connection, exit_code_of, print, print_json};
use super::failure;
use super::pace::Pace;
use super::talk::{Summary, Talk};
use crate::client::{Error, Mode, Progress, RemovalReport, Result, Target, remove};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key; with --recursive s3://bucket/prefix/.
    target: String,
    /// Remove everything below a prefix.
    #[arg(short, long)]
    recursive: bool,
    /// Change nothing; print what would be removed.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    connection: Connection,
}

/// Removes. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let progress = args.talk.progress(&args.connection, true);
    let outcome = remove_target(&args, &progress).await;
    exit_code_of(outcome, |(target, report)| {
        match args.talk.summary(args.connection.json) {
            Summary::Json => print_json(&report),
            Summary::Nothing => {}
            Summary::Text => print_report(&target, &report),
        }
        for (key, reason) in &report.failed {
            failure::note(format_args!("{key}: {reason}"));
        }
        u8::from(!report.failed.is_empty())
    })
}

fn print_report(target: &Target, report: &RemovalReport) {
    let count = report.removed.len();
    if report.dry_run {
        for key in &report.removed {
            print(&escaped(target.with_key(key.clone())));
        }
        print(&format!("{count} would be removed"));
    } else {
        print(&format!("{count} removed"));
    }
}

async fn remove_target(args: &Args, progress: &Progress) -> Result<(Target, RemovalReport)> {
    let target = Target::parse(&args.target)?;
    let wrong = |text: String| Err(Error::WrongUse(text));
    match (target.is_prefix(), args.recursive) {
        (true, false) => {
            return wrong(format!(
                "{target} is a prefix; --recursive removes everything below it, and --dry-run \
                 shows what that is"
            ));
        }
        (false, true) => {
            return wrong(format!(
                "{target} is a key; write {target}/ to remove everything below it"
            ));
        }
        (true, true) | (false, false) => {}
    }
    let transport = args.connection.open_with(progress, &Pace::default())?;
    let mode = if args.dry_run { Mode::Show } else { Mode::Change };
    let report = remove(&transport, &target, mode, progress).await?;
    Ok((target, report))
}
