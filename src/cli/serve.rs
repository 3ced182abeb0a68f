//! `ratchet serve`: runs the gateway until SIGTERM or SIGINT.
//!
//! Guarantees: stdout gets one line, `ready http://ADDRESS:PORT` (or `https`), when requests are
//! accepted; a second signal ends the process at once; without any setting the gateway runs on the
//! embedded store in `./ratchet-data`.

use std::io::Write;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::store::GatewayArgs;
use super::{WRONG_USE, failure};
use crate::app::{self, GeneratedKey, Ready};
use crate::observe;
use crate::settings;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Print a settings file with every key, its default and its meaning, then exit.
    #[arg(long)]
    print_config: bool,
}

/// Serves. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    if args.print_config {
        print!("{}", settings::reference());
        return 0;
    }
    let typed = args.gateway.typed();
    let environment = settings::environment();
    let settings = match settings::load_for_gateway(&typed, &environment) {
        Ok(settings) => settings,
        Err(error) => {
            failure::report(&error, error.code(), None);
            return WRONG_USE;
        }
    };
    if let Err(error) = observe::start(&settings.log) {
        let path = settings.log.access.unwrap_or_default();
        eprintln!("ratchet: log.access: {} cannot be opened: {error}", path.display());
        return WRONG_USE;
    }
    raise_descriptor_limit();
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!(
                    "ratchet: the handlers for SIGTERM and SIGINT cannot be installed: {error}"
                );
                return 1;
            }
        };
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("ratchet: stopping after the requests in flight; a second signal stops at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(1);
        });
    };
    let reload_accounts = move || {
        Ok(settings::load_for_gateway(&typed, &environment)
            .map_err(|error| super::chain(&error))?
            .accounts)
    };
    match app::run(settings, Arc::new(reload_accounts), announce, shutdown).await {
        Ok(()) => 0,
        Err(error) => {
            failure::report(&error, error.code(), None);
            error.exit_code()
        }
    }
}

/// Raises the soft limit of open files to the hard limit: each connection needs a descriptor, and
/// shells often allow only 1,024.
fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files cannot be raised");
    }
}

/// Prints the line on stdout, and how to use an access key that the gateway made.
fn announce(ready: Ready) {
    let scheme = if ready.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(ready.address));
    if let Some(key) = &ready.generated_key {
        eprint!("{}", shell_lines(key, &url));
    }
    let mut out = std::io::stdout().lock();
    // A closed stdout must not stop the gateway.
    if writeln!(out, "ready {url}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("stdout is closed");
    }
}

/// An address that a client on this machine can connect to.
fn reachable(mut address: std::net::SocketAddr) -> std::net::SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Lines to paste into a shell. They name the file of the secret, never the secret: this may be a
/// log.
fn shell_lines(key: &GeneratedKey, url: &str) -> String {
    let path = std::path::absolute(&key.path).unwrap_or_else(|_| key.path.clone());
    let what = if key.is_new { "created the access key" } else { "using the access key" };
    format!(
        "ratchet: {what} {id}; its secret is in {path}\n\
         Paste this into a shell, to use it with ratchet, aws, curl and others:\n\n  \
         export AWS_ACCESS_KEY_ID={id}\n  \
         export AWS_SECRET_ACCESS_KEY=\"$(sed -n 's/^aws_secret_access_key *= *//p' {quoted})\"\n  \
         export AWS_REGION=us-east-1 AWS_ENDPOINT_URL={url} AWS_ENDPOINT_URL_S3={url}\n\n\
         Then, for example: ratchet backup FILE s3://my-bucket/FILE\n\n",
        id = key.id,
        path = path.display(),
        quoted = quoted(&path),
    )
}

/// The path as one word of a shell.
fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_one_word_of_a_shell_whatever_is_in_it() {
        let quoted = super::quoted(std::path::Path::new("/a b/it's $(x)"));
        assert_eq!(quoted, r"'/a b/it'\''s $(x)'");
    }
}
