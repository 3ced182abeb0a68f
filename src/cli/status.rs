//! `ratchet status`: shows what is stored and what is missing of a backup, by its id or its target.
//! With `--json` it prints one object per backup.

use super::connection::{Connection, exit_code_of, print, print_json};
use crate::client::{Result, statuses};

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
    for missing in statuses(&transport, &args.backup).await? {
        if args.connection.json {
            print_json(&missing);
            continue;
        }
        let remaining = missing
            .remaining
            .map_or_else(|| "an unknown number".to_owned(), |remaining| remaining.to_string());
        let status = serde_json::to_value(missing.status).ok();
        let status = status.as_ref().and_then(serde_json::Value::as_str).unwrap_or("?");
        print(&format!(
            "{} {status}: {} chunks stored, {remaining} missing",
            missing.backup_id, missing.stored
        ));
    }
    Ok(())
}
