//! `ratchet check`: compares the index of an embedded store with its files. The exit code is 1 if
//! something is lost or the index is not in order.

use super::connection::{print, print_json};
use super::failure;
use super::store::StoreArgs;
use crate::app::{self, CheckReport, Finding};
use crate::escape::escaped;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    store: StoreArgs,
    /// Make the index anew, also out of what is left of a damaged one, and keep the old one beside
    /// it. Stop the gateway first.
    #[arg(long)]
    rebuild: bool,
    /// Print one JSON object per finding, and one for the whole check.
    #[arg(long)]
    json: bool,
}

/// Checks the store. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let settings = match args.store.settings() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let is_json = args.json;
    let show = move |finding: &Finding| {
        if is_json { print_json(finding) } else { print(&line(finding)) }
    };
    let report = match app::check(&settings, args.rebuild, show).await {
        Ok(report) => report,
        Err(error) => {
            failure::report(&error, error.code(), None);
            return error.exit_code();
        }
    };
    if is_json {
        print_json(&report);
    } else {
        print(&summary(&report));
    }
    u8::from(!report.is_sound())
}

fn line(finding: &Finding) -> String {
    let text = match finding {
        Finding::Lost { bucket, key, part, upload, parts, file, needed_bytes, found_bytes } => {
            let of = match (upload, parts) {
                (Some(upload), _) => format!("part {part} of the upload {upload}"),
                (None, Some(parts)) => format!("part {part} of {parts}"),
                (None, None) => format!("part {part}"),
            };
            let found = match found_bytes {
                Some(found) => format!("has {found} of {needed_bytes} bytes"),
                None => format!("is not there, with {needed_bytes} bytes"),
            };
            format!("lost      s3://{bucket}/{key} {of}: {file} {found}")
        }
        Finding::LeftOver { file, bytes } => format!("left over {file} {bytes} bytes"),
        Finding::Row { table, key } => format!("unread    a row of {table}: {key}"),
        Finding::Count { file, counted, rows } => {
            format!(
                "miscount  {file}: {counted} references in the index's books, {rows} in its rows"
            )
        }
        Finding::Pack { file, counted_bytes, rows_bytes } => {
            format!(
                "miscount  {file}: {counted_bytes} bytes needed by the index's books, {rows_bytes} by its \
                 rows"
            )
        }
    };
    escaped(text)
}

fn summary(report: &CheckReport) -> String {
    let CheckReport { objects, parts, files, lost, left_over, left_over_bytes, .. } = report;
    let mut text = format!(
        "{objects} objects and {parts} parts of unfinished uploads in {files} files: {lost} lost or \
         shortened, {left_over} left over with {left_over_bytes} bytes, {} rows unreadable, {} \
         counts wrong",
        report.unreadable_rows, report.wrong_counts
    );
    if let Some(old) = &report.old_index {
        let from = if report.salvaged { "the pages of the damaged one" } else { "its rows" };
        text.push_str(&format!("; the index was made anew from {from}, the old one is {old}"));
    }
    text
}
