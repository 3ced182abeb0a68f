//! `ratchet status`: shows what is stored and what is missing of a backup, by its id or its target,
//! how much of it was sent, and what became of its object. With `--json` it prints one object per
//! backup.

use super::connection::{Connection, exit_code_of, print, print_json};
use super::human::bytes;
use crate::client::{BackupStatus, Missing, Result, State, statuses};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup's target (s3://bucket/key) or its backupId.
    backup: String,
    #[command(flatten)]
    connection: Connection,
}

/// Shows. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    exit_code_of(print_statuses(&args).await, |()| 0)
}

async fn print_statuses(args: &Args) -> Result<()> {
    let transport = args.connection.open()?;
    for status in statuses(&transport, &args.backup).await? {
        if args.connection.json {
            print_json(&status);
        } else {
            print(&escaped(line(&status)));
        }
    }
    Ok(())
}

fn line(status: &BackupStatus) -> String {
    let BackupStatus { missing, state, bucket, key, size } = status;
    let Some(missing) = missing else {
        let size = size.map_or_else(String::new, bytes);
        return format!("s3://{bucket}/{key} {state}: {size}, which no backup made");
    };
    let remaining = missing
        .remaining
        .map_or_else(|| "an unknown number".to_owned(), |remaining| remaining.to_string());
    let object = match state {
        State::Replaced => "; its object was replaced since",
        State::Removed => "; its object was removed since",
        State::Complete
        | State::Object
        | State::InProgress
        | State::Finalizing
        | State::Aborted => "",
    };
    let (id, stored) = (&missing.backup_id, missing.stored);
    let bytes = shares(missing, *size);
    format!("{id} {state}: {stored} chunks stored, {remaining} missing{bytes}{object}")
}

/// How many bytes the file has, and of those that are recorded how many were sent and how many the
/// store had; nothing where an older gateway does not say.
fn shares(missing: &Missing, size: Option<u64>) -> String {
    let Some((sent, known)) = missing.sent_bytes.zip(missing.known_bytes) else {
        return String::new();
    };
    let size = size.map_or_else(|| "an unknown size".to_owned(), bytes);
    format!("; {size}, of which {} sent and {} known", bytes(sent), bytes(known))
}
