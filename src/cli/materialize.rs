//! `ratchet materialize`: makes plain objects of those that are kept in blobs. With `--json` it
//! prints one object: `made`, `plain`.

use super::connection::{Connection, exit_code_of, print, print_json};
use super::talk::{Summary, Talk};
use crate::client::{MaterializeReport, Result, Target, materialize};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key, or s3://bucket/prefix/ for everything below it.
    target: String,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    connection: Connection,
}

/// Makes them. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    exit_code_of(make(&args).await, |MaterializeReport { made, plain }| {
        match args.talk.summary(args.connection.json) {
            Summary::Json => print_json(&MaterializeReport { made, plain }),
            Summary::Nothing => {}
            Summary::Text => {
                print(&format!("{} made plain, {plain} were plain already", made.len()));
            }
        }
        0
    })
}

async fn make(args: &Args) -> Result<MaterializeReport> {
    let target = Target::parse(&args.target)?;
    let progress = args.talk.progress(&args.connection, true);
    materialize(&args.connection.open()?, &target, &progress).await
}
