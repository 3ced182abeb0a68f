//! `ratchet doctor`: tries on a store what the gateway builds on. Exit code 1 if the store must not be used.

use std::path::PathBuf;

use super::connection::{print, print_json};
use crate::app::{self, Check, Weight};
use crate::settings;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Settings file of the gateway.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// dir:PATH, s3+http://HOST:PORT or s3+https://HOST.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// One JSON object per check.
    #[arg(long)]
    json: bool,
}

/// Probes. The exit code.
pub async fn run(args: Args) -> u8 {
    let typed = settings::Args { config: args.config, listen: None, store: args.store };
    let settings = match settings::join(&typed, &settings::environment()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ratchet: {}", super::chain(&error));
            return 2;
        }
    };
    let checks = match app::examine(&settings).await {
        Ok(checks) => checks,
        Err(error) => {
            eprintln!("ratchet: {}", super::chain(&error));
            return error.exit_code();
        }
    };
    for check in &checks {
        if args.json {
            print_json(check);
        } else {
            let word = match (check.passed, required(check)) {
                (true, _) => "ok",
                (false, true) => "FAIL",
                (false, false) => "no",
            };
            print(&format!("{word:<5} {} {}", check.name, check.detail));
        }
    }
    let usable = checks.iter().all(|check| check.passed || !required(check));
    if !usable {
        eprintln!("ratchet: this store would lose updates or parts; the gateway must not use it");
    }
    u8::from(!usable)
}

fn required(check: &Check) -> bool {
    check.weight == Weight::Required
}
