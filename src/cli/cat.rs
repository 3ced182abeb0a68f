//! `ratchet cat`: writes objects to stdout, one after the other, each chunk checked before it is
//! written. It prints nothing else there.

use super::connection::{Connection, exit_code_of, note_unchecked};
use super::pace::Pace;
use crate::client::{ByteRange, Destination, Error, RestoreOptions, Result, Target, restore};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket/key.
    #[arg(required = true)]
    targets: Vec<String>,
    /// Write only these bytes of each, both ends included, such as 0-1048575; 100- for all from
    /// there on, -500 for the last ones.
    #[arg(long, value_name = "FIRST-LAST", allow_hyphen_values = true)]
    range: Option<ByteRange>,
    /// How many chunks to receive at the same time.
    #[arg(long, default_value_t = RestoreOptions::default().jobs)]
    jobs: usize,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    connection: Connection,
}

/// Writes the objects. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    exit_code_of(write(&args).await, |unchecked| {
        note_unchecked(&unchecked);
        0
    })
}

/// Returns the targets that have no checksum.
async fn write(args: &Args) -> Result<Vec<String>> {
    let targets = args.targets.iter().map(|text| Target::parse(text));
    let targets = targets.collect::<Result<Vec<Target>>>()?;
    if let Some(prefix) = targets.iter().find(|target| target.is_prefix()) {
        return Err(Error::WrongUse(format!("{prefix} is a prefix; name objects")));
    }
    let progress = args.connection.progress(true);
    let transport = args.connection.open_with(&progress, &args.pace)?;
    let options = RestoreOptions { jobs: args.jobs, range: args.range, ..Default::default() };
    let mut unchecked = Vec::new();
    for target in &targets {
        let report = restore(&transport, target, &Destination::Stdout, options, &progress).await?;
        if report.unchecked {
            unchecked.push(target.to_string());
        }
    }
    Ok(unchecked)
}
