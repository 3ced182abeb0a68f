//! `ratchet doctor`: tests a store for the properties that the gateway depends on. The exit code is
//! 1 if the store must not be used.

use super::connection::{print, print_json};
use super::store::StoreArgs;
use crate::app::{self, Check, Weight};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Print one JSON object per check.
    #[arg(long)]
    json: bool,
}

/// Runs all checks. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let settings = match args.store.settings() {
        Ok(settings) => settings,
        Err(code) => return code,
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
            let result = match (check.passed, check.weight) {
                (true, _) => "ok",
                (false, Weight::Required) => "FAIL",
                (false, Weight::Informational) => "no",
                (false, Weight::Advised) => "WARN",
            };
            print(&format!("{result:<5} {} {}", check.name, check.detail));
        }
    }
    let is_usable = checks.iter().all(|check| check.passed || !is_required(check));
    if !is_usable {
        eprintln!("ratchet: the gateway must not use this store: it would lose updates or parts");
    }
    u8::from(!is_usable)
}

fn is_required(check: &Check) -> bool {
    check.weight == Weight::Required
}
