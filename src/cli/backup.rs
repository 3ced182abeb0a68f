//! `ratchet backup`: backs up files, directories, stdin or the output of a command to
//! `s3://bucket/key`.
//!
//! With `--json` it prints one object: for a file `backupId`, `bucket`, `key`, `etag`, `size`,
//! `digests`, `bytesSent`, `bytesSkipped`; for a directory `done`, `failed`, `leftOut`, `deleted`,
//! `bytesMoved`, `bytesSkipped`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection::{
    Connection, Moved, exit_code_of, pace, print_for_people, print_json, print_tree_report,
};
use super::human::bytes;
use super::pace::Pace;
use super::talk::{Summary, Talk};
use super::tree::TreeArgs;
use crate::client::{
    BackupOptions, BackupReport, DigestKind, Error, Known, Progress, Result, Sources, Target,
    TreeReport, backup_command, backup_file, backup_stdin, backup_tree, parse_size,
};

#[derive(Debug, clap::Args)]
#[command(override_usage = "ratchet backup [OPTIONS] <SOURCE>... <TARGET>\n       \
                            ratchet backup [OPTIONS] --stdin-from-command <COMMAND> <TARGET>")]
pub struct Args {
    /// A file, a directory, or - for stdin; then s3://bucket/key, for a directory
    /// s3://bucket/prefix/. Of several files and directories each is backed up under its own name
    /// below the prefix.
    #[arg(required = true, num_args = 1.., value_names = ["SOURCE", "TARGET"])]
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
    /// How an S3 store behind the gateway keeps the object: multipart, as a plain object, or
    /// content, in blobs that other backups share [default: as the gateway's settings say].
    #[arg(long, value_name = "LAYOUT", value_parser = ["multipart", "content"])]
    layout: Option<String>,
    /// Read what is stored already of the same content, and send it again if it is damaged.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    tree: TreeArgs,
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
    let progress = args.talk.progress(&args.connection, false);
    let outcome = back_up(&args, &progress).await;
    progress.finish();
    let elapsed = progress.elapsed();
    exit_code_of(outcome, |outcome| match outcome {
        Outcome::One(completed) => {
            match args.talk.summary(args.connection.json) {
                Summary::Json => print_json(&completed),
                Summary::Nothing => {}
                Summary::Text => print_completed(*completed, elapsed),
            }
            0
        }
        Outcome::Tree(report) => {
            let summary = args.talk.summary(args.connection.json);
            print_tree_report(&report, Moved::Sent, summary, args.tree.delete())
        }
    })
}

fn print_completed(completed: BackupReport, elapsed: Duration) {
    let BackupReport { bucket, key, object, bytes_sent, bytes_skipped, .. } = completed;
    print_for_people(&format!(
        "s3://{bucket}/{key} complete: {}, {} there already; {}",
        bytes(object.size),
        bytes(bytes_skipped),
        pace(bytes_sent, Moved::Sent, elapsed)
    ));
}

/// What is backed up.
enum Source<'a> {
    Path(&'a Path),
    /// More than one.
    Paths(&'a [PathBuf]),
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
            (None, [sources @ .., target]) if !sources.is_empty() => {
                (Source::Paths(sources), target)
            }
            (None, _) => return wrong("name what to back up, and then s3://bucket/key"),
        };
        let target = target.to_str().ok_or_else(|| {
            Error::WrongUse(format!("{} is not of the form s3://bucket/key", target.display()))
        })?;
        Ok((source, Target::parse(target)?))
    }

    fn options(&self) -> BackupOptions {
        BackupOptions {
            jobs: self.jobs,
            chunk_size: self.chunk_size,
            digest: self.digest,
            file_id: self.file_id.clone(),
            layout: self.layout.clone(),
            known: if self.check { Known::Check } else { Known::Keep },
            ..BackupOptions::default()
        }
    }
}

/// The tree that the source is; None for a single file. **Errors**: `WrongUse` for a tree without a
/// prefix to back it up to.
fn sources_of_tree(source: &Source<'_>, target: &Target) -> Result<Option<Sources>> {
    let sources = match source {
        Source::Path(path) if path.is_dir() => Sources::Below(path.to_path_buf()),
        Source::Paths(paths) => Sources::each(paths)?,
        Source::Path(_) | Source::Stdin | Source::Command(_) => return Ok(None),
    };
    if target.is_prefix() {
        return Ok(Some(sources));
    }
    let what = match sources {
        Sources::Below(_) => "a directory is backed up",
        Sources::Each(_) => "several sources are backed up",
    };
    Err(Error::WrongUse(format!("{what} to a prefix, and {target} is a key; write {target}/")))
}

/// The key of a single file. **Errors**: `WrongUse` if there is no name to make one of.
fn target_of_file(source: &Source<'_>, target: Target) -> Result<Target> {
    if !target.is_prefix() {
        return Ok(target);
    }
    let name = match source {
        Source::Path(path) => path.file_name().and_then(|name| name.to_str()),
        Source::Paths(_) | Source::Stdin | Source::Command(_) => None,
    };
    let name = name.ok_or_else(|| {
        Error::WrongUse(format!(
            "{target} is a prefix, and the source has no name to make a key of; write \
             s3://bucket/key"
        ))
    })?;
    Ok(target.with_key(format!("{}{name}", target.key)))
}

async fn back_up(args: &Args, progress: &Progress) -> Result<Outcome> {
    let (source, target) = args.source_and_target()?;
    let options = args.options();
    if let Some(sources) = sources_of_tree(&source, &target)? {
        let tree = args.tree.options()?;
        let transport = args.connection.open_with(progress, &args.pace)?;
        let report = backup_tree(&transport, &sources, &target, &options, &tree, progress).await?;
        return Ok(Outcome::Tree(report));
    }
    args.tree.require_tree(false)?;
    let target = target_of_file(&source, target)?;
    let transport = args.connection.open_with(progress, &args.pace)?;
    let completed = match source {
        Source::Path(path) => backup_file(&transport, path, &target, &options, progress).await?,
        Source::Stdin => backup_stdin(&transport, &target, &options, progress).await?,
        Source::Command(command) => {
            backup_command(&transport, command, &target, &options, progress).await?
        }
        // They are a tree.
        Source::Paths(_) => {
            return Err(Error::WrongUse("several sources need a prefix".to_owned()));
        }
    };
    Ok(Outcome::One(Box::new(completed)))
}
