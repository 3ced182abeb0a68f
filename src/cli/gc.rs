//! `ratchet gc`: frees what was abandoned, or shows what would be freed. Exit code 1 if a session could not be swept or a
//! gateway is at it.

use std::path::PathBuf;

use super::connection::{print, print_json};
use crate::app::{self, Swept};
use crate::settings;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing; show what a sweep would do now.
    #[arg(long)]
    dry_run: bool,
    /// Settings file of the gateway.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// dir:PATH (of no running gateway), s3+http://HOST:PORT or s3+https://HOST.
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// One JSON object per session, and one for the whole.
    #[arg(long)]
    json: bool,
}

/// Sweeps once. The exit code.
pub async fn run(args: Args) -> u8 {
    let typed = settings::Args { config: args.config, listen: None, store: args.store };
    let settings = match settings::join(&typed, &settings::environment()) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ratchet: {}", super::chain(&error));
            return 2;
        }
    };
    let told = |swept: &Swept| if args.json { print_json(swept) } else { print(&line(swept)) };
    let report = match app::sweep(&settings, args.dry_run, told).await {
        Ok(Some(report)) => report,
        Ok(None) => {
            eprintln!("ratchet: a gateway is sweeping this store; try again later");
            return 1;
        }
        Err(error) => {
            eprintln!("ratchet: {}", super::chain(&error));
            return error.exit_code();
        }
    };
    if args.json {
        print_json(&report);
    } else {
        let (would, of) = (if args.dry_run { "would be " } else { "" }, report.actions.values().sum::<u64>());
        let (seen, failed, bytes, entries) = (report.seen, report.failed, report.bytes, report.entries);
        print(&format!(
            "{of} of {seen} sessions {would}swept, {bytes} bytes and {entries} entries {would}freed, {failed} failed"
        ));
    }
    u8::from(report.failed > 0)
}

fn line(swept: &Swept) -> String {
    let Swept { action, backup_id, bucket, key, bytes, idle, .. } = swept;
    format!("{action:<7} {backup_id} s3://{bucket}/{key} {bytes} bytes, idle for {} s", idle.as_secs())
}
