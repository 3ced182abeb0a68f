//! How much a command says.
//!
//! Guarantees: errors, and what could not be done, are always said.

use super::connection::Connection;
use crate::client::Progress;

#[derive(Debug, clap::Args)]
pub struct Talk {
    /// Name each file that is done, on stderr.
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
    /// Print no progress and no summary.
    #[arg(short, long)]
    quiet: bool,
}

/// What is printed on stdout at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    Text,
    Json,
    Nothing,
}

impl Talk {
    /// The progress of a command. If `quiet`, or if the user wants that, only messages are shown.
    pub fn progress(&self, connection: &Connection, quiet: bool) -> Progress {
        let progress = connection.progress(quiet || self.quiet);
        if self.verbose { progress.naming_files() } else { progress }
    }

    pub fn summary(&self, json: bool) -> Summary {
        match (json, self.quiet) {
            (true, _) => Summary::Json,
            (false, true) => Summary::Nothing,
            (false, false) => Summary::Text,
        }
    }
}
