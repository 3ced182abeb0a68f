//! `ratchet mb`: makes a bucket. With `--json` it prints one object, `bucket`.

use super::connection::{Connection, exit_code_of, print, print_json};
use crate::client::{Error, Result, Target, make_bucket};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// s3://bucket.
    target: String,
    #[command(flatten)]
    connection: Connection,
}

/// Makes the bucket. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    exit_code_of(make(&args).await, |bucket| {
        if args.connection.json {
            print_json(&serde_json::json!({ "bucket": bucket }));
        } else {
            print(&format!("s3://{bucket} made"));
        }
        0
    })
}

async fn make(args: &Args) -> Result<String> {
    let target = Target::parse(&args.target)?;
    if !target.key.is_empty() {
        let bucket = target.bucket;
        return Err(Error::WrongUse(format!("a bucket has no key; write s3://{bucket}")));
    }
    make_bucket(&args.connection.open()?, &target.bucket).await?;
    Ok(target.bucket)
}
