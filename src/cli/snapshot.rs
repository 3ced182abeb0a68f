//! `ratchet snapshot`: copies the directory of an embedded store while a gateway may run on it.

use std::path::PathBuf;

use super::connection::{print, print_json};
use super::failure;
use crate::app;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory of the store.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The directory to make: it must not exist, or be empty. On the same file system it shares the
    /// store's files and takes hardly any room.
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Makes the snapshot. Returns the exit code.
pub async fn run(args: Args) -> u8 {
    let Args { directory, to, json } = args;
    // As `--store` names it.
    let directory = match directory.to_str().and_then(|text| text.strip_prefix("dir:")) {
        Some(path) => PathBuf::from(path),
        None => directory,
    };
    match app::snapshot(directory, to.clone()).await {
        Ok(snapshot) if json => print_json(&snapshot),
        Ok(app::Snapshot { files, linked, bytes, index_bytes }) => print(&format!(
            "{}: {files} files with {bytes} bytes, {linked} of them linked, and an index of \
             {index_bytes} bytes",
            crate::escape::escaped(to.display())
        )),
        Err(error) => {
            failure::report(&error, error.code(), None);
            return error.exit_code();
        }
    }
    0
}
