//! `ratchet doctor`: tries on a store what the gateway builds on. Exit code 1 if the store must not
//! be used.

use super::connection::{print, print_json};
use super::store::StoreArgs;
use crate::app::{self, Check, Weight};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// One JSON object per check.
    #[arg(long)]
    json: bool,
}

/// Probes. The exit code.
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
            let word = match (check.passed, check.weight) {
                (true, _) => "ok",
                (false, Weight::Required) => "FAIL",
                (false, Weight::Informational) => "no",
                (false, Weight::Advised) => "MEND",
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
