//! `ratchet du`: how much the objects below a target hold, how much the store needs for them and
//! how much was sent; or which objects share bytes with one. With `--json` it prints one object:
//! the totals, with `--all` after one for each object; or one for each that shares bytes.

use std::io::IsTerminal;

use super::connection::{Connection, exit_code_of, print, print_json};
use super::failure;
use super::human::bytes;
use crate::client::{Result, Sharer, Target, Usage, UsageRow, sharers, usage};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket or s3://bucket/prefix.
    target: String,
    /// Each object too: what it adds to what the store needs for those before it, by key.
    #[arg(long)]
    all: bool,
    /// Instead the objects below the target that share bytes with this one.
    #[arg(long, value_name = "s3://BUCKET/KEY", conflicts_with = "all")]
    shared_with: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

/// Shows. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let outcome = match &args.shared_with {
        Some(object) => print_sharers(&args, object).await,
        None => print_usage(&args).await,
    };
    exit_code_of(outcome, |()| 0)
}

async fn print_usage(args: &Args) -> Result<()> {
    let target = Target::parse(&args.target)?;
    let (json, all) = (args.connection.json, args.all);
    let print_row = |row: &UsageRow| match (all, json) {
        (false, _) => {}
        (true, true) => print_json(row),
        (true, false) => print_name(&line(row)),
    };
    let usage = usage(&args.connection.open()?, &target, print_row).await?;
    if json {
        print_json(&usage);
    } else {
        if usage.objects == 0 {
            failure::note(format_args!("there is nothing below {target}"));
        }
        totals(&usage).iter().for_each(|line| print(line));
    }
    Ok(())
}

async fn print_sharers(args: &Args, object: &str) -> Result<()> {
    let (object, target) = (Target::parse(object)?, Target::parse(&args.target)?);
    let (json, mut count) = (args.connection.json, 0_u64);
    let print_sharer = |sharer: &Sharer| {
        count += 1;
        let Sharer { bucket, key, shared_bytes } = sharer;
        if json {
            print_json(sharer);
        } else {
            print_name(&format!("{:>9} shared s3://{bucket}/{key}", bytes(*shared_bytes)));
        }
    };
    sharers(&args.connection.open()?, &object, &target, print_sharer).await?;
    if count == 0 {
        failure::note(format_args!("nothing below {target} shares bytes with {object}"));
    }
    Ok(())
}

/// Prints a line with the name of an object.
fn print_name(line: &str) {
    let on_terminal = std::io::stdout().is_terminal();
    if on_terminal { print(&escaped(line)) } else { print(line) }
}

fn size(size: Option<u64>) -> String {
    size.map_or_else(|| "?".to_owned(), bytes)
}

fn line(row: &UsageRow) -> String {
    let UsageRow { bucket, key, logical_bytes, stored_bytes, sent_bytes, .. } = row;
    let (logical, stored) = (bytes(*logical_bytes), size(*stored_bytes));
    let sent = size(*sent_bytes);
    format!("{logical:>9} logical {stored:>9} stored {sent:>9} sent s3://{bucket}/{key}")
}

fn totals(usage: &Usage) -> Vec<String> {
    let Usage { objects, logical_bytes, sent_bytes, known_bytes, .. } = usage;
    let logical = bytes(*logical_bytes);
    let mut lines = vec![format!("{logical:>9} logical, the sizes of {objects} objects")];
    let stored = size(usage.stored_bytes);
    lines.push(match (usage.stored_bytes, usage.dedup_ratio) {
        (None, _) => format!("{stored:>9} stored: the store does not say what its objects share"),
        (Some(_), None) => format!("{stored:>9} stored"),
        (Some(_), Some(ratio)) => format!("{stored:>9} stored, {ratio:.2} logical bytes for each"),
    });
    let (sent, known) = (bytes(*sent_bytes), bytes(*known_bytes));
    lines.push(format!("{sent:>9} sent by clients"));
    lines.push(format!("{known:>9} known, so that no client had to send it"));
    if usage.unrecorded_bytes > 0 {
        let unrecorded = bytes(usage.unrecorded_bytes);
        lines.push(format!("{unrecorded:>9} of objects of which no backup says what was sent"));
    }
    if usage.open_backups > 0 {
        lines.push(format!("{:>9} backups in progress, which are not counted", usage.open_backups));
    }
    lines
}
