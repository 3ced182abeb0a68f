//! `ratchet status`: how far a backup is, by its id or its target. With `--json` an object per
//! backup.

use super::connection::{Connection, ended, print, print_json};
use crate::client::{Result, statuses};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key or a backupId.
    backup: String,
    #[command(flatten)]
    connection: Connection,
}

/// Shows. The exit code.
pub async fn run(args: Args) -> u8 {
    ended(show(&args).await, |()| 0)
}

async fn show(args: &Args) -> Result<()> {
    let transport = args.connection.open()?;
    for missing in statuses(&transport, &args.backup).await? {
        if args.connection.json {
            print_json(&missing);
            continue;
        }
        let left = missing
            .remaining
            .map_or_else(|| "an unknown number of".to_owned(), |left| left.to_string());
        let status = serde_json::to_value(missing.status).ok();
        let status = status.as_ref().and_then(serde_json::Value::as_str).unwrap_or("?");
        print(&format!(
            "{} {status}: {} chunks stored, {left} to come",
            missing.backup_id, missing.stored
        ));
    }
    Ok(())
}
