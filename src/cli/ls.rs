//! `ratchet ls`: lists the backups below a target, open ones first. With `--json` it prints one
//! object per line.

use super::connection::{Connection, exit_code_of, print, print_json};
use crate::client::{Result, Target, list};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket or s3://bucket/prefix.
    target: String,
    #[command(flatten)]
    connection: Connection,
}

/// Lists. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    exit_code_of(print_backups(&args).await, |()| 0)
}

async fn print_backups(args: &Args) -> Result<()> {
    let transport = args.connection.open()?;
    for backup in list(&transport, &Target::parse(&args.target)?).await? {
        if args.connection.json {
            print_json(&backup);
            continue;
        }
        let size = backup.object.as_ref().map(|object| object.size).or(backup.size);
        let size = size.map_or_else(|| "?".to_owned(), |size| size.to_string());
        let status = serde_json::to_value(backup.status).ok();
        let status = status.as_ref().and_then(serde_json::Value::as_str).unwrap_or("?");
        print(&format!(
            "{status:<11} {size:>14} s3://{}/{} {}",
            backup.bucket, backup.key, backup.backup_id
        ));
    }
    Ok(())
}
