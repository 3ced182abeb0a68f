//! What all client commands have in common: the options for the gateway, and how results and errors
//! are printed.
//!
//! Guarantees: an error is one line on stderr, with its causes; a closed stdout is success.

use std::io::Write;
use std::time::Duration;

use super::pace::Pace;
use super::talk::Summary;
use crate::client::{Delete, Endpoint, Error, Progress, Rates, Result, Transport, TreeReport};
use crate::escape::escaped;

/// The exit code for a gateway that cannot be reached.
const UNREACHABLE: u8 = 3;

#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The gateway [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, endpoint_url of the AWS
    /// profile, or http://127.0.0.1:9010].
    #[arg(long, value_name = "URL", global = true)]
    endpoint: Option<String>,
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
        self.transport(None, |text| eprintln!("ratchet: {}", escaped(text)))
    }

    /// `pace` limits how many bytes of files are sent and received.
    pub fn open_with(&self, progress: &Progress, pace: &Pace) -> Result<Transport> {
        self.transport(pace.limit_rate.clone(), progress.printer())
    }

    fn transport(
        &self,
        rates: Option<Rates>,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Transport> {
        let endpoint = Endpoint::find(self.endpoint.as_deref())?;
        Transport::new(endpoint, Duration::from_secs(self.retry_for), rates, tell)
    }
}

/// The exit code of a command: `on_success` prints the result and returns the code; an error is
/// printed here.
pub fn exit_code_of<T>(outcome: Result<T>, on_success: impl FnOnce(T) -> u8) -> u8 {
    match outcome {
        Ok(value) => on_success(value),
        Err(Error::Io { path, source, .. }) if is_closed_pipe(&path, &source) => 0,
        Err(error) => {
            eprintln!("ratchet: {}", super::chain(&error));
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

/// Prints an object of data on stdout.
pub fn print_json(value: &impl serde::Serialize) {
    print(&serde_json::to_string(value).expect("results have string keys and no failing parts"));
}

/// Says why restored files belong to whoever restores them. That is no failure: `cp`, `tar` and
/// `rsync` do the same.
pub fn note_other_owner() {
    eprintln!("ratchet: owners and groups are not as backed up: only root can give files away");
}

/// Says that objects have no checksum. That is no failure: no backup made them.
pub fn note_unchecked(names: &[String]) {
    for name in names {
        eprintln!(
            "ratchet: {}",
            escaped(format_args!("{name}: it has no checksum; only its length was checked"))
        );
    }
}

fn counts(report: &TreeReport, delete: Delete) -> String {
    let (failed, left_out) = (report.failed.len(), report.left_out.len());
    let mut text = format!("{} done, {failed} failed, {left_out} left out", report.done);
    if report.not_tried > 0 {
        text.push_str(&format!(", {} not tried", report.not_tried));
    }
    if delete != Delete::Never {
        text.push_str(&format!(", {} deleted", report.deleted.len()));
    }
    text
}

/// Prints what was done with a directory. Returns the exit code.
pub fn print_tree_report(report: &TreeReport, summary: Summary, delete: Delete) -> u8 {
    match summary {
        Summary::Json => print_json(report),
        Summary::Nothing => {}
        Summary::Text if delete == Delete::Show => {
            report.deleted.iter().for_each(|name| print(&escaped(name)));
            print(&format!("{} would be deleted", report.deleted.len()));
        }
        Summary::Text => print(&counts(report, delete)),
    }
    for (name, reason) in &report.failed {
        eprintln!("ratchet: {}", escaped(format_args!("{name}: {reason}")));
    }
    for (name, reason) in &report.left_out {
        eprintln!("ratchet: {}", escaped(format_args!("{name}: left out: {reason}")));
    }
    note_unchecked(&report.unchecked);
    if report.other_owner {
        note_other_owner();
    }
    if report.unreachable {
        return UNREACHABLE;
    }
    let is_done = report.failed.is_empty() && report.left_out.is_empty() && report.not_tried == 0;
    u8::from(!is_done)
}
