//! What every client command takes, and how it ends.
//!
//! Guarantees: an error is one line on stderr with all that lies behind it; a closed stdout is
//! success.

use std::io::Write;
use std::time::Duration;

use crate::client::{Endpoint, Error, Result, Transport};

#[derive(Debug, clap::Args)]
pub struct Connection {
    /// The gateway; else AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile, http://127.0.0.1:9010.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// How many seconds of waiting one request may take when the network or the gateway is away.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    retry_for: u64,
    /// One JSON object on stdout, no bar on stderr.
    #[arg(long)]
    pub json: bool,
}

impl Connection {
    pub fn open(&self) -> Result<Transport> {
        self.open_at(None)
    }

    /// With a limit of bytes per second that are sent.
    pub fn open_at(&self, rate: Option<u64>) -> Result<Transport> {
        let endpoint = Endpoint::find(self.endpoint.as_deref())?;
        Transport::new(endpoint, Duration::from_secs(self.retry_for), rate)
    }
}

/// Prints what went wrong; the exit code.
pub fn ended<T>(outcome: Result<T>, code_of: impl FnOnce(T) -> u8) -> u8 {
    match outcome {
        Ok(done) => code_of(done),
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

/// A line of data on stdout.
pub fn print(line: &str) {
    // Whoever read it has seen enough.
    writeln!(std::io::stdout().lock(), "{line}").ok();
}

/// An object of data on stdout.
pub fn print_json(value: &impl serde::Serialize) {
    print(&serde_json::to_string(value).expect("results have string keys and no failing parts"));
}
