//! `ratchet abort`: aborts a backup by its id, or the open backups of a target.

use super::connection::{Connection, exit_code_of, print};
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
        ids.iter().for_each(|id| print(&format!("{id} aborted")));
        0
    })
}

async fn abort_backups(args: &Args) -> Result<Vec<String>> {
    abort(&args.connection.open()?, &args.backup).await
}
