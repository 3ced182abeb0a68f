//! `ratchet config check`: says everything that is wrong with the settings of a gateway.
//! `ratchet config show`: shows the settings that count, and where each comes from.
//!
//! Guarantees: no secret is shown; the exit code is 2 if something is wrong. With `--json` `check`
//! prints one object, `valid` and `faults`, and `show` one for each setting.

use super::connection::{print, print_json};
use super::store::GatewayArgs;
use super::{WRONG_USE, failure};
use crate::escape::escaped;
use crate::settings::{self, Loaded, Shown};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check the settings file and the variables, and name every fault.
    Check(ActionArgs),
    /// Show each setting, with the place that it comes from.
    Show(ActionArgs),
}

#[derive(Debug, clap::Args)]
struct ActionArgs {
    #[command(flatten)]
    gateway: GatewayArgs,
    /// Print JSON objects on stdout.
    #[arg(long, global = true)]
    json: bool,
}

/// Checks or shows. Returns the exit code.
pub fn run(args: Args) -> u8 {
    let environment = settings::environment();
    let load = |args: GatewayArgs| settings::inspect(&args.typed(), &environment);
    for name in settings::unknown_variables(&environment) {
        failure::note(format_args!("{name} is no setting and has no effect"));
    }
    match args.action {
        Action::Check(ActionArgs { gateway, json }) => check(&load(gateway), json),
        Action::Show(ActionArgs { gateway, json }) => show(&load(gateway), json),
    }
}

fn check(loaded: &Loaded, json: bool) -> u8 {
    let faults: Vec<String> = loaded.faults.iter().map(|fault| super::chain(fault)).collect();
    let is_valid = faults.is_empty();
    if json {
        print_json(&serde_json::json!({ "valid": is_valid, "faults": faults }));
    } else {
        report(loaded);
        if is_valid {
            print("the settings are valid");
        }
    }
    if is_valid { 0 } else { WRONG_USE }
}

fn show(loaded: &Loaded, json: bool) -> u8 {
    for row in settings::shown(loaded) {
        if json {
            print_json(&row);
        } else {
            print_row(&row);
        }
    }
    report(loaded);
    if loaded.faults.is_empty() { 0 } else { WRONG_USE }
}

/// Prints every fault as an error.
fn report(loaded: &Loaded) {
    loaded.faults.iter().for_each(|fault| failure::report(fault, fault.code(), None));
}

/// Prints TOML.
fn print_row(row: &Shown) {
    let origin = escaped(&row.origin);
    if let Some(table) = row.table {
        print(&format!("\n[[{table}]]  # {origin}"));
        for (key, value) in &row.entries {
            print(&format!("{key} = {value}"));
        }
    } else {
        for (key, value) in &row.entries {
            print(&format!("{:<60}  # {origin}", format!("{key} = {value}")));
        }
    }
}
