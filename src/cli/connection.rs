//! What all client commands have in common: the options for the gateway, and how results and errors
//! are printed.
//!
//! Guarantees: an error is one line on stderr, with its causes; a closed stdout is success.

use std::io::Write;
use std::time::Duration;

use crate::client::{Endpoint, Error, Progress, Result, Transport, TreeReport};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The gateway [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, endpoint_url of the AWS
    /// profile, or http://127.0.0.1:9010].
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// How long a request that fails is tried again: while the gateway, the network or the store is
    /// away.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    retry_for: u64,
    /// Print JSON objects on stdout, and no progress bar.
    #[arg(long)]
    pub json: bool,
}

impl Connection {
    /// For commands without a progress bar.
    pub fn open(&self) -> Result<Transport> {
        self.transport(None, |text| eprintln!("ratchet: {}", escaped(text)))
    }

    /// `bytes_per_second` limits how many bytes are sent.
    pub fn open_with(
        &self,
        progress: &Progress,
        bytes_per_second: Option<u64>,
    ) -> Result<Transport> {
        self.transport(bytes_per_second, progress.printer())
    }

    fn transport(
        &self,
        bytes_per_second: Option<u64>,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Transport> {
        let endpoint = Endpoint::find(self.endpoint.as_deref())?;
        Transport::new(endpoint, Duration::from_secs(self.retry_for), bytes_per_second, tell)
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

/// Prints what was done with a directory. Returns the exit code.
pub fn print_tree_report(report: &TreeReport, json: bool) -> u8 {
    if json {
        print_json(report);
    } else {
        print(&format!(
            "{} done, {} failed, {} left out",
            report.done,
            report.failed.len(),
            report.left_out.len()
        ));
    }
    for (name, reason) in &report.failed {
        eprintln!("ratchet: {}", escaped(format_args!("{name}: {reason}")));
    }
    for name in &report.left_out {
        eprintln!(
            "ratchet: {}: left out, because it is not a regular file or its name is not UTF-8",
            escaped(name)
        );
    }
    u8::from(!report.failed.is_empty())
}
