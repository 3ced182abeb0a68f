//! `ratchet backup`: backs up a file, a directory, stdin or the output of a command to
//! `s3://bucket/key`.
//!
//! With `--json` it prints one object: for a file `backupId`, `bucket`, `key`, `etag`, `size`,
//! `digests`, `bytesSent`, `bytesSkipped`; for a directory `done`, `failed`, `leftOut`,
//! `bytesMoved`, `bytesSkipped`.

use std::path::{Path, PathBuf};

use super::connection::{Connection, exit_code_of, print, print_json, print_tree_report};
use super::pace::Pace;
use super::talk::{Summary, Talk};
use crate::client::{
    BackupOptions, BackupReport, DigestKind, Error, Known, Progress, Result, Target, TreeReport,
    backup_command, backup_file, backup_stdin, backup_tree, parse_size,
};

#[derive(Debug, clap::Args)]
#[command(override_usage = "ratchet backup [OPTIONS] <SOURCE> <TARGET>\n       \
                            ratchet backup [OPTIONS] --stdin-from-command <COMMAND> <TARGET>")]
pub struct Args {
    /// A file, a directory, or - for stdin; then s3://bucket/key, for a directory
    /// s3://bucket/prefix/.
    #[arg(required = true, num_args = 1..=2, value_names = ["SOURCE", "TARGET"])]
    paths: Vec<PathBuf>,
    /// Back up what this shell command prints, in place of SOURCE. The backup is complete only if
    /// the command, with every part of a pipe in it, ends with exit code 0.
    #[arg(long, value_name = "COMMAND")]
    stdin_from_command: Option<String>,
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
    /// Read what is stored already of the same content, and send it again if it is damaged.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    pace: Pace,
    #[command(flatten)]
    talk: Talk,
    #[command(flatten)]
    connection: Connection,
}

enum Outcome {
    One(Box<BackupReport>),
    Tree(TreeReport),
}

/// Backs up. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let progress = args.talk.progress(args.connection.json);
    let outcome = back_up(&args, &progress).await;
    progress.finish();
    exit_code_of(outcome, |outcome| match outcome {
        Outcome::One(completed) => {
            match args.talk.summary(args.connection.json) {
                Summary::Json => print_json(&completed),
                Summary::Nothing => {}
                Summary::Text => print_completed(*completed),
            }
            0
        }
        Outcome::Tree(report) => {
            let summary = args.talk.summary(args.connection.json);
            print_tree_report(&report, summary)
        }
    })
}

fn print_completed(completed: BackupReport) {
    let BackupReport { bucket, key, object, bytes_sent, bytes_skipped, .. } = completed;
    print(&format!(
        "s3://{bucket}/{key} complete: {} bytes, {bytes_sent} sent, {bytes_skipped} stored already",
        object.size
    ));
}

/// What is backed up.
enum Source<'a> {
    Path(&'a Path),
    Stdin,
    Command(&'a str),
}

impl Args {
    /// **Errors**: `WrongUse` if one is missing or there is one too many.
    fn source_and_target(&self) -> Result<(Source<'_>, Target)> {
        let wrong = |text: &str| Err(Error::WrongUse(text.to_owned()));
        let (source, target) = match (&self.stdin_from_command, self.paths.as_slice()) {
            (Some(command), [target]) => (Source::Command(command), target),
            (Some(_), _) => {
                return wrong(
                    "--stdin-from-command takes the place of SOURCE; name the target alone",
                );
            }
            (None, [source, target]) if source == Path::new("-") => (Source::Stdin, target),
            (None, [source, target]) => (Source::Path(source), target),
            (None, _) => return wrong("name what to back up, and then s3://bucket/key"),
        };
        let target = target.to_str().ok_or_else(|| {
            Error::WrongUse(format!("{} is not of the form s3://bucket/key", target.display()))
        })?;
        Ok((source, Target::parse(target)?))
    }
}

async fn back_up(args: &Args, progress: &Progress) -> Result<Outcome> {
    let (source, mut target) = args.source_and_target()?;
    let options = BackupOptions {
        jobs: args.jobs,
        chunk_size: args.chunk_size,
        digest: args.digest,
        file_id: args.file_id.clone(),
        known: if args.check { Known::Check } else { Known::Keep },
        ..BackupOptions::default()
    };
    let is_directory = matches!(source, Source::Path(path) if path.is_dir());
    if is_directory && !target.is_prefix() {
        return Err(Error::WrongUse(format!(
            "a directory is backed up to a prefix, and {target} is a key; write {target}/"
        )));
    }
    if !is_directory && target.is_prefix() {
        let name = match source {
            Source::Path(path) => path.file_name().and_then(|name| name.to_str()),
            Source::Stdin | Source::Command(_) => None,
        };
        let name = name.ok_or_else(|| {
            Error::WrongUse(format!(
                "{target} is a prefix, and the source has no name to make a key of; write \
                 s3://bucket/key"
            ))
        })?;
        target = target.with_key(format!("{}{name}", target.key));
    }
    let transport = args.connection.open_with(progress, &args.pace)?;
    let completed = match source {
        Source::Path(path) if is_directory => {
            let report = backup_tree(&transport, path, &target, &options, progress).await?;
            return Ok(Outcome::Tree(report));
        }
        Source::Path(path) => backup_file(&transport, path, &target, &options, progress).await?,
        Source::Stdin => backup_stdin(&transport, &target, &options, progress).await?,
        Source::Command(command) => {
            backup_command(&transport, command, &target, &options, progress).await?
        }
    };
    Ok(Outcome::One(Box::new(completed)))
}
