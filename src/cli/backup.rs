//! `ratchet backup`: a file, a directory or stdin to `s3://bucket/key`.
//!
//! With `--json` one object: for a file `backupId`, `bucket`, `key`, `etag`, `size`, `digests`,
//! `bytesSent`, `bytesSkipped`; for a directory `done`, `failed`, `leftOut`, `bytesMoved`,
//! `bytesSkipped`.

use std::path::{Path, PathBuf};

use super::connection::{Connection, ended, print, print_json};
use crate::client::{
    Backed, DigestKind, Error, Options, Progress, Result, Tally, Target, backup_file, backup_stdin,
    backup_tree, parse_size,
};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, a directory, or - for stdin.
    source: PathBuf,
    /// s3://bucket/key; a directory goes to s3://bucket/prefix/.
    target: String,
    /// Chunks at the same time.
    #[arg(long, default_value_t = Options::default().jobs)]
    jobs: usize,
    /// Bytes per chunk, as in 8MiB; doubled until the file fits 10,000 chunks.
    #[arg(long, value_parser = parse_size, default_value = "8MiB")]
    chunk_size: u64,
    /// The digest of the whole file that the gateway must confirm: blake3, crc64nvme, sha256-chunks
    /// or sha256 (one chunk at a time).
    #[arg(long, default_value_t = Options::default().digest)]
    digest: DigestKind,
    /// A name for this content; else the hash of its size, first and last chunk.
    #[arg(long)]
    file_id: Option<String>,
    /// Bytes per second over all jobs, as in 10MiB.
    #[arg(long, value_parser = parse_size)]
    limit_rate: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

enum Done {
    One(Box<Backed>),
    Tree(Tally),
}

/// Backs up. The exit code.
pub async fn run(args: Args) -> u8 {
    let progress = Progress::new(args.connection.json);
    let outcome = back_up(&args, &progress).await;
    progress.finish();
    ended(outcome, |done| match done {
        Done::One(backed) => {
            if args.connection.json {
                print_json(&backed);
            } else {
                let Backed { bucket, key, object, bytes_sent, bytes_skipped, .. } = *backed;
                let size = object.size;
                let line = format!(
                    "s3://{bucket}/{key} complete: {size} bytes, {bytes_sent} sent, {bytes_skipped} there"
                );
                print(&line);
            }
            0
        }
        Done::Tree(tally) => tell_tree(&tally, args.connection.json),
    })
}

async fn back_up(args: &Args, progress: &Progress) -> Result<Done> {
    let mut target = Target::parse(&args.target)?;
    let options = Options {
        jobs: args.jobs,
        chunk_size: args.chunk_size,
        digest: args.digest,
        file_id: args.file_id.clone(),
        ..Options::default()
    };
    let stdin = args.source == Path::new("-");
    let directory = !stdin && args.source.is_dir();
    if directory && !target.is_prefix() {
        return Err(Error::WrongUse(format!(
            "{target} is a key; a directory goes to a prefix, {target}/"
        )));
    }
    if !directory && target.is_prefix() {
        let name = args.source.file_name().and_then(|name| name.to_str()).filter(|_| !stdin);
        let name =
            name.ok_or_else(|| Error::WrongUse(format!("{target} has no key to back up to")))?;
        target = target.with_key(format!("{}{name}", target.key));
    }
    let transport = args.connection.open_at(args.limit_rate)?;
    if directory {
        return backup_tree(&transport, &args.source, &target, &options, progress)
            .await
            .map(Done::Tree);
    }
    let backed = if stdin {
        backup_stdin(&transport, &target, &options, progress).await?
    } else {
        backup_file(&transport, &args.source, &target, &options, progress).await?
    };
    Ok(Done::One(Box::new(backed)))
}

/// Says what became of a tree. The exit code.
pub fn tell_tree(tally: &Tally, json: bool) -> u8 {
    if json {
        print_json(tally);
    } else {
        print(&format!(
            "{} done, {} failed, {} left out",
            tally.done,
            tally.failed.len(),
            tally.left_out.len()
        ));
    }
    for (name, why) in &tally.failed {
        eprintln!("ratchet: {}", escaped(format_args!("{name}: {why}")));
    }
    for name in &tally.left_out {
        eprintln!(
            "ratchet: {} is no regular file, or its name is not UTF-8: left out",
            escaped(name)
        );
    }
    u8::from(!tally.failed.is_empty())
}
