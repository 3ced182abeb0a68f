//! `ratchet gc`: reclaims what was abandoned, or shows what would be reclaimed. Exit code 1 if a
//! session could not be reclaimed or if a gateway is sweeping.

use super::connection::{print, print_json};
use super::failure;
use super::store::StoreArgs;
use crate::app::{self, ReclaimedSession, Report};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Change nothing; show what a sweep would do now.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreArgs,
    /// Print one JSON object per session, and one for the whole sweep.
    #[arg(long)]
    json: bool,
}

/// Sweeps once and returns the exit code.
pub async fn run(args: Args) -> u8 {
    let settings = match args.store.settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let is_json = args.json;
    let show = |reclaimed: &ReclaimedSession| {
        if is_json { print_json(reclaimed) } else { print(&line(reclaimed)) }
    };
    let report = match app::sweep(&settings, args.dry_run, show).await {
        Ok(Some(report)) => report,
        Ok(None) => {
            let text = "a gateway is sweeping this store; try again later";
            failure::report_text(text, "sweep-running", None);
            return 1;
        }
        Err(error) => {
            failure::report(&error, error.code(), None);
            return error.exit_code();
        }
    };
    if args.json {
        print_json(&report);
    } else {
        let (would, reclaimed) =
            (if args.dry_run { "would be " } else { "" }, report.actions.values().sum::<u64>());
        let Report { seen, failed, bytes, entries, recipes, blobs, .. } = report;
        print(&format!(
            "{reclaimed} of {seen} sessions {would}swept, {recipes} recipes, {blobs} blobs and {entries} entries {would}removed, {bytes} bytes {would}freed, {failed} failed"
        ));
    }
    u8::from(report.failed > 0)
}

fn line(reclaimed: &ReclaimedSession) -> String {
    let ReclaimedSession { action, backup_id, bucket, key, bytes, idle, .. } = reclaimed;
    format!(
        "{action:<7} {backup_id} s3://{bucket}/{key} {bytes} bytes, idle for {} s",
        idle.as_secs()
    )
}
