//! `ratchet abort`: aborts a backup by its id, or the open backups of a target. With
//! `--json` it prints one object per backup.

use super::connection::{Connection, exit_code_of, print, print_json};
use crate::client::{Result, abort};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup's target (s3://bucket/key) or its backupId.
    backup: String,
    #[command(flatten)]
    connection: Connection,
}

/// Aborts. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    exit_code_of(abort_backups(&args).await, |ids: Vec<String>| {
        for id in &ids {
            if args.connection.json {
                print_json(&serde_json::json!({ "backupId": id, "state": "aborted" }));
            } else {
                print(&format!("{id} aborted"));
            }
        }
        0
    })
}

async fn abort_backups(args: &Args) -> Result<Vec<String>> {
    abort(&args.connection.open()?, &args.backup).await
}
