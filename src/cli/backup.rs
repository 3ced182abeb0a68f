//! `ratchet backup`: backs up a file, a directory or stdin to `s3://bucket/key`.
//!
//! With `--json` it prints one object: for a file `backupId`, `bucket`, `key`, `etag`, `size`,
//! `digests`, `bytesSent`, `bytesSkipped`; for a directory `done`, `failed`, `leftOut`,
//! `bytesMoved`, `bytesSkipped`.

use std::path::{Path, PathBuf};

use super::connection::{Connection, exit_code_of, print, print_json, print_tree_report};
use crate::client::{
    BackupOptions, BackupReport, DigestKind, Error, Progress, Result, Target, TreeReport,
    backup_file, backup_stdin, backup_tree, parse_size,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// A file, a directory, or - for stdin.
    source: PathBuf,
    /// s3://bucket/key; for a directory s3://bucket/prefix/.
    target: String,
    /// How many chunks to send at the same time.
    #[arg(long, default_value_t = BackupOptions::default().jobs)]
    jobs: usize,
    /// Bytes per chunk, such as 8MiB; doubled until the file has at most 10,000 chunks.
    #[arg(long, value_parser = parse_size, default_value = "8MiB")]
    chunk_size: u64,
    /// The digest of the whole file that the gateway must confirm: blake3, crc64nvme, sha256-chunks
    /// or sha256. sha256 sends one chunk at a time and reads the source twice.
    #[arg(long, default_value_t = BackupOptions::default().digest)]
    digest: DigestKind,
    /// A name for this content [default: the hash of its size, first and last chunk].
    #[arg(long)]
    file_id: Option<String>,
    /// The most bytes to send per second, over all jobs, such as 10MiB.
    #[arg(long, value_parser = parse_size)]
    limit_rate: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

enum Outcome {
    One(Box<BackupReport>),
    Tree(TreeReport),
}

/// Backs up. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let progress = Progress::new(args.connection.json);
    let outcome = back_up(&args, &progress).await;
    progress.finish();
    exit_code_of(outcome, |outcome| match outcome {
        Outcome::One(completed) => {
            if args.connection.json {
                print_json(&completed);
            } else {
                let BackupReport { bucket, key, object, bytes_sent, bytes_skipped, .. } =
                    *completed;
                print(&format!(
                    "s3://{bucket}/{key} complete: {} bytes, {bytes_sent} sent, {bytes_skipped} \
                     stored already",
                    object.size
                ));
            }
            0
        }
        Outcome::Tree(report) => print_tree_report(&report, args.connection.json),
    })
}

async fn back_up(args: &Args, progress: &Progress) -> Result<Outcome> {
    let mut target = Target::parse(&args.target)?;
    let options = BackupOptions {
        jobs: args.jobs,
        chunk_size: args.chunk_size,
        digest: args.digest,
        file_id: args.file_id.clone(),
        ..BackupOptions::default()
    };
    let is_stdin = args.source == Path::new("-");
    let is_directory = !is_stdin && args.source.is_dir();
    if is_directory && !target.is_prefix() {
        return Err(Error::WrongUse(format!(
            "a directory is backed up to a prefix, and {target} is a key; write {target}/"
        )));
    }
    if !is_directory && target.is_prefix() {
        let name = args.source.file_name().and_then(|name| name.to_str()).filter(|_| !is_stdin);
        let name = name.ok_or_else(|| {
            Error::WrongUse(format!(
                "{target} is a prefix, and the source has no name to make a key of; write \
                 s3://bucket/key"
            ))
        })?;
        target = target.with_key(format!("{}{name}", target.key));
    }
    let transport = args.connection.open_with(progress, args.limit_rate)?;
    if is_directory {
        return backup_tree(&transport, &args.source, &target, &options, progress)
            .await
            .map(Outcome::Tree);
    }
    let completed = if is_stdin {
        backup_stdin(&transport, &target, &options, progress).await?
    } else {
        backup_file(&transport, &args.source, &target, &options, progress).await?
    };
    Ok(Outcome::One(Box::new(completed)))
}
