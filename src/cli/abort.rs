//! `ratchet abort`: ends a backup by its id, or the open ones of a target.

use super::connection::{Connection, ended, print};
use crate::client::{Result, abort};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key or a backupId.
    backup: String,
    #[command(flatten)]
    connection: Connection,
}

/// Aborts. The exit code.
pub async fn run(args: Args) -> u8 {
    ended(end(&args).await, |ended: Vec<String>| {
        ended.iter().for_each(|id| print(&format!("{id} aborted")));
        0
    })
}

async fn end(args: &Args) -> Result<Vec<String>> {
    abort(&args.connection.open()?, &args.backup).await
}
