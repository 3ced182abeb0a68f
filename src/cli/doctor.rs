//! `ratchet doctor`: tests a store for the properties that the gateway depends on, and asks a
//! gateway whether it can be used. The exit code is 1 if the store must not be used or the gateway
//! cannot be.

use std::time::Duration;

use super::connection::{exit_code_of, print, print_json};
use super::failure;
use super::store::StoreArgs;
use crate::app::{self, Check, Weight};
use crate::client::{Endpoint, GatewayCheck, Progress, Result, Transport, examine_gateway};
use crate::escape::escaped;

/// How long the pauses between retries may be together: who asks waits for the answer.
const RETRY_FOR: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Ask this gateway too; without --store and --config ask only the gateway.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Print one JSON object per check.
    #[arg(long)]
    json: bool,
}

/// Runs all checks. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let asks_store = args.endpoint.is_none() || args.store.names_a_store();
    let mut code = 0;
    if let Some(url) = &args.endpoint {
        code = exit_code_of(ask_gateway(url).await, |checks| print_gateway(&checks, args.json));
    }
    if asks_store {
        code = code.max(examine_store(args).await);
    }
    code
}

async fn ask_gateway(url: &str) -> Result<Vec<GatewayCheck>> {
    // The result says that the gateway is away; no line before it needs to.
    let transport =
        Transport::new(Endpoint::find(Some(url))?, RETRY_FOR, None, &Progress::silent())?;
    examine_gateway(&transport).await
}

/// Prints the checks. Returns the exit code.
fn print_gateway(checks: &[GatewayCheck], is_json: bool) -> u8 {
    for check in checks {
        if is_json {
            print_json(check);
        } else {
            let result = if check.passed { "ok" } else { "FAIL" };
            print(&format!("{result:<5} {} {}", check.name, escaped(&check.detail)));
        }
    }
    u8::from(checks.iter().any(|check| !check.passed))
}

async fn examine_store(args: Args) -> u8 {
    let settings = match args.store.settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let checks = match app::examine(&settings).await {
        Ok(checks) => checks,
        Err(error) => {
            failure::report(&error, error.code(), None);
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
        failure::note("the gateway must not use this store: it would lose updates or parts");
    }
    u8::from(!is_usable)
}

fn is_required(check: &Check) -> bool {
    check.weight == Weight::Required
}
