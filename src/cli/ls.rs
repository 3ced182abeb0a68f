//! `ratchet ls`: lists buckets, or what there is below a target: one row for each key, with its
//! date, size and state. With `--json` it prints one object per line.

use std::io::IsTerminal;

use super::connection::{Connection, exit_code_of, print, print_json};
use super::failure;
use super::human::bytes;
use crate::client::{History, Result, Row, Target, buckets, list};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket or s3://bucket/prefix; s3:// lists the buckets.
    #[arg(default_value = "s3://")]
    target: String,
    /// Each backup of a key, with its id: also those whose object was replaced or removed.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Lists. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    exit_code_of(print_rows(&args).await, |()| 0)
}

async fn print_rows(args: &Args) -> Result<()> {
    let is_json = args.connection.json;
    if args.target == "s3://" {
        for bucket in buckets(&args.connection.open()?).await? {
            if is_json {
                print_json(&bucket);
            } else {
                print(&format!("{} s3://{}", seconds(&bucket.created), bucket.bucket));
            }
        }
        return Ok(());
    }
    let target = Target::parse(&args.target)?;
    let history = if args.all { History::All } else { History::Newest };
    let rows = list(&args.connection.open()?, &target, history).await?;
    if rows.is_empty() && !is_json {
        failure::note(format_args!("there is nothing below {target}"));
    }
    let on_terminal = std::io::stdout().is_terminal();
    for row in &rows {
        if is_json {
            print_json(row);
            continue;
        }
        let line = line(row, history);
        print(&if on_terminal { escaped(line) } else { line });
    }
    Ok(())
}

fn line(row: &Row, history: History) -> String {
    let Row { bucket, key, state, size, modified, backup, open, .. } = row;
    let size = size.map_or_else(|| "?".to_owned(), bytes);
    let mut line = format!("{} {size:>9} {state:<11} s3://{bucket}/{key}", seconds(modified));
    match backup {
        Some(backup) if history == History::All => line.push_str(&format!(" {}", backup.backup_id)),
        _ => {}
    }
    if history == History::Newest && *open > 0 && !row.is_open() {
        line.push_str(" (and a backup in progress)");
    }
    line
}

/// A time of S3 without its fraction.
fn seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}
