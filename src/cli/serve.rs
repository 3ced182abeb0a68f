//! `ratchet serve`: runs the gateway until SIGTERM or SIGINT.
//!
//! Guarantees: the one line on stdout is `ready http://ADDRESS:PORT`, once requests are accepted; a
//! second signal ends it at once; with no settings at all it works, on the embedded store in
//! `./ratchet-data`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{self, OwnKey, Ready};
use crate::observe;
use crate::settings;

/// A bad setting or a busy port; `app::Error` knows about the rest.
const WRONG_USE: u8 = 2;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Settings file; config/ratchet.toml shows every key.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where clients connect to; port 0 takes any free one.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// dir:PATH, s3+http://HOST:PORT or s3+https://HOST.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// Print a settings file with every key, its default and its meaning, and end.
    #[arg(long)]
    print_config: bool,
}

/// Serves. The exit code.
pub async fn run(args: Args) -> u8 {
    if args.print_config {
        print!("{}", settings::reference());
        return 0;
    }
    let typed = settings::Args { config: args.config, listen: args.listen, store: args.store };
    let environment = settings::environment();
    let settings = match settings::join_to_serve(&typed, &environment) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ratchet: {}", super::chain(&error));
            return WRONG_USE;
        }
    };
    observe::start(&settings.log);
    allow_descriptors();
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                eprintln!("ratchet: signals cannot be waited for: {error}");
                return 1;
            }
        };
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("ratchet: finishing what is in flight; a second signal ends it at once");
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            std::process::exit(1);
        });
    };
    let again = move || {
        Ok(settings::join_to_serve(&typed, &environment)
            .map_err(|error| super::chain(&error))?
            .accounts)
    };
    match app::run(settings, Arc::new(again), announce, shutdown).await {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("ratchet: {}", super::chain(&error));
            error.exit_code()
        }
    }
}

/// Lets the process open as many descriptors as it may: each connection is one, and shells allow
/// 1,024.
fn allow_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open descriptors stays as it is");
    }
}

fn announce(ready: Ready) {
    let scheme = if ready.tls { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(ready.address));
    if let Some(key) = &ready.own_key {
        eprint!("{}", to_paste(key, &url));
    }
    let mut out = std::io::stdout().lock();
    // Nobody may be reading: the gateway works all the same.
    if writeln!(out, "ready {url}").and_then(|()| out.flush()).is_err() {
        tracing::debug!("nobody reads stdout");
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

/// Lines for a shell. The secret stays in its file.
fn to_paste(key: &OwnKey, url: &str) -> String {
    let path = std::path::absolute(&key.path).unwrap_or_else(|_| key.path.clone());
    let made = if key.fresh { "made an access key" } else { "the access key is" };
    format!(
        "ratchet: {made} {id}; it is kept in {path}\n\
         To use it in a shell:\n\n  \
         export AWS_SHARED_CREDENTIALS_FILE='{path}' AWS_PROFILE=ratchet AWS_REGION=us-east-1\n  \
         export AWS_ENDPOINT_URL_S3={url}\n  \
         ratchet backup FILE s3://my-bucket/FILE\n\n",
        id = key.id,
        path = path.display(),
    )
}
