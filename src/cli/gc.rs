//! `ratchet gc`: frees what was abandoned, or shows what would be freed. Exit code 1 if a session
//! could not be swept or a gateway is at it.

use super::connection::{print, print_json};
use super::store::StoreArgs;
use crate::app::{self, Swept};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing; show what a sweep would do now.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// One JSON object per session, and one for the whole.
    #[arg(long)]
    json: bool,
}

/// Sweeps once. The exit code.
pub async fn run(args: Args) -> u8 {
    let settings = match args.store.settings() {
        Ok(settings) => settings,
        Err(code) => return code,
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
        let (would, of) =
            (if args.dry_run { "would be " } else { "" }, report.actions.values().sum::<u64>());
        let (seen, failed, bytes, entries) =
            (report.seen, report.failed, report.bytes, report.entries);
        print(&format!(
            "{of} of {seen} sessions {would}swept, {bytes} bytes and {entries} entries {would}freed, {failed} failed"
        ));
    }
    u8::from(report.failed > 0)
}

fn line(swept: &Swept) -> String {
    let Swept { action, backup_id, bucket, key, bytes, idle, .. } = swept;
    format!(
        "{action:<7} {backup_id} s3://{bucket}/{key} {bytes} bytes, idle for {} s",
        idle.as_secs()
    )
}
