//! What all client commands have in common: the options for the gateway, and how results and errors
//! are printed.
//!
//! Guarantees: a closed stdout is success; errors are printed as `failure` does.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::failure;
use super::human::{bytes, time};
use super::pace::Pace;
use super::talk::Summary;
use crate::client::{
    Delete, Endpoint, Error, Progress, Result, Transport, TreeReport, for_terminal,
};
use crate::escape::escaped;

/// The exit code for a gateway that cannot be reached.
const UNREACHABLE: u8 = 3;

#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The gateway [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, endpoint_url of the AWS
    /// profile, or http://127.0.0.1:9010].
    #[arg(long, value_name = "URL", global = true)]
    endpoint: Option<String>,
    /// Trusted certificates for https, PEM: of an authority, or the gateway's own [default:
    /// AWS_CA_BUNDLE, ca_bundle of the AWS profile, or the machine's].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// How long a request that fails is tried again: while the gateway, the network or the store is
    /// away.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    retry_for: u64,
    /// Print JSON objects on stdout, and no progress bar.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Connection {
    /// For commands without a progress bar.
    pub fn open(&self) -> Result<Transport> {
        self.open_with(&self.progress(true), &Pace::default())
    }

    /// The progress of a command. If `quiet`, only messages are shown.
    pub fn progress(&self, quiet: bool) -> Progress {
        if self.json { Progress::for_machines() } else { Progress::new(quiet) }
    }

    /// `pace` limits how many bytes of files are sent and received.
    pub fn open_with(&self, progress: &Progress, pace: &Pace) -> Result<Transport> {
        let mut endpoint = Endpoint::find(self.endpoint.as_deref())?;
        if let Some(file) = &self.ca {
            endpoint.ca_bundle = Some(file.clone());
        }
        let retry_for = Duration::from_secs(self.retry_for);
        Transport::new(endpoint, retry_for, pace.limit_rate.clone(), progress)
    }
}

/// The exit code of a command: `on_success` prints the result and returns the code; an error is
/// printed here.
pub fn exit_code_of<T>(outcome: Result<T>, on_success: impl FnOnce(T) -> u8) -> u8 {
    match outcome {
        Ok(value) => on_success(value),
        Err(Error::Io { path, source, .. }) if is_closed_pipe(&path, &source) => 0,
        Err(error) => {
            failure::report(&error, error.code(), error.request_id());
            error.exit_code()
        }
    }
}

fn is_closed_pipe(path: &std::path::Path, source: &std::io::Error) -> bool {
    path.as_os_str() == "-" && source.kind() == std::io::ErrorKind::BrokenPipe
}

/// Prints a line of data on stdout.
pub fn print(line: &str) {
    // A reader that closed the pipe needs no more lines.
    writeln!(std::io::stdout().lock(), "{line}").ok();
}

/// Prints a summary on stdout, in lines that fit on a terminal.
pub fn print_for_people(text: &str) {
    print(&for_terminal(&escaped(text), std::io::stdout()));
}

/// Prints an object of data on stdout.
pub fn print_json(value: &impl serde::Serialize) {
    print(&serde_json::to_string(value).expect("results have string keys and no failing parts"));
}

/// Says why restored files belong to whoever restores them. That is no failure: `cp`, `tar` and
/// `rsync` do the same.
pub fn note_other_owner() {
    failure::note("owners and groups are not as backed up: only root can give files away");
}

/// Says that objects have no checksum. That is no failure: no backup made them.
pub fn note_unchecked(names: &[String]) {
    for name in names {
        failure::note(format_args!("{name}: it has no checksum; only its length was checked"));
    }
}

/// How much was moved, in what time and how fast, such as `8.0 MiB sent in 2.0 s, 4.0 MiB/s`.
pub fn pace(moved_bytes: u64, moved: Moved, elapsed: Duration) -> String {
    let text = format!("{} {moved} in {}", bytes(moved_bytes), time(elapsed));
    match u128::from(moved_bytes) * 1000 / elapsed.as_millis().max(1) {
        0 => text,
        per_second => format!("{text}, {}/s", bytes(u64::try_from(per_second).unwrap_or(u64::MAX))),
    }
}

/// What a command does with the bytes of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    Sent,
    Received,
    /// Nothing but read, so that nothing can be there already or be left out.
    Read,
}

impl std::fmt::Display for Moved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Read => "read",
        })
    }
}

/// What was done with a directory, in numbers.
fn counts(report: &TreeReport, moved: Moved, delete: Delete) -> String {
    let TreeReport { done, there_already, not_tried, bytes_moved, .. } = report;
    let new = done.saturating_sub(*there_already);
    let (lost, errors) = (report.left_out.len(), report.failed.len());
    let mut text = match moved {
        Moved::Sent | Moved::Received => format!(
            "{new} {moved}, {there_already} there already, {not_tried} skipped, {lost} left out, \
             {errors} failed"
        ),
        Moved::Read => format!("{done} read, {not_tried} skipped, {errors} failed"),
    };
    if delete != Delete::Never {
        text.push_str(&format!(", {} deleted", report.deleted.len()));
    }
    let pace = pace(*bytes_moved, moved, Duration::from_millis(report.elapsed_ms));
    format!("{text}; {pace}")
}

/// Prints what was done with a directory. Returns the exit code.
pub fn print_tree_report(
    report: &TreeReport,
    moved: Moved,
    summary: Summary,
    delete: Delete,
) -> u8 {
    let TreeReport { not_tried, failed, left_out, deleted, .. } = report;
    match summary {
        Summary::Json => print_json(report),
        Summary::Nothing => {}
        Summary::Text if delete == Delete::Show => {
            deleted.iter().for_each(|name| print(&escaped(name)));
            print(&format!("{} would be deleted", deleted.len()));
        }
        Summary::Text => print_for_people(&counts(report, moved, delete)),
    }
    failed.iter().for_each(|(name, reason)| failure::note(format_args!("{name}: {reason}")));
    for (name, reason) in left_out {
        failure::note(format_args!("{name}: left out: {reason}"));
    }
    note_unchecked(&report.unchecked);
    if report.other_owner {
        note_other_owner();
    }
    if report.unreachable {
        return UNREACHABLE;
    }
    u8::from(!failed.is_empty() || !left_out.is_empty() || *not_tried > 0)
}
