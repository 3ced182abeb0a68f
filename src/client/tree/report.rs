//! What was done with what lies in a tree.

use crate::client::{Error, Kind, Progress, Result, attributes::Kept, progress::Printer};
use crate::escape::error_chain;

/// What was done with what lies in a tree.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeReport {
    /// How many were backed up or restored, or were unchanged.
    pub done: u64,
    /// How many of them were there already.
    pub there_already: u64,
    /// Names and reasons.
    pub failed: Vec<(String, String)>,
    /// Names, and what of them could not be kept and why.
    pub left_out: Vec<(String, String)>,
    /// Names of objects that have no checksum: only their length was checked.
    pub unchecked: Vec<String>,
    /// Bytes that were sent or received.
    pub bytes_moved: u64,
    /// Bytes that the destination had already.
    pub bytes_skipped: u64,
    /// How long it took.
    pub elapsed_ms: u64,
    /// Whether something restored belongs to another user, because only root can give files away.
    pub other_owner: bool,
    /// How many were not tried, because the gateway could not be reached or no room was left.
    pub not_tried: u64,
    /// Whether the gateway could not be reached.
    pub unreachable: bool,
    /// Names of what was deleted, or would be, because the source does not have it.
    pub deleted: Vec<String>,
    /// Names each file that is done, if that was asked for.
    #[serde(skip)]
    names: Names,
}

#[derive(Clone, Default)]
struct Names(Option<Printer>);

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Names(each)" } else { "Names(none)" })
    }
}

impl TreeReport {
    /// A report that names each file that is done, if that was asked for.
    pub(super) fn naming(progress: &Progress) -> Self {
        Self { names: Names(progress.names()), ..Self::default() }
    }

    /// Takes over what was counted, at the end.
    pub(super) fn add_progress(&mut self, progress: &Progress) {
        (self.bytes_moved, self.bytes_skipped) = (progress.transferred(), progress.skipped());
        self.there_already = progress.known_files();
        self.elapsed_ms = u64::try_from(progress.elapsed().as_millis()).unwrap_or(u64::MAX);
    }

    /// Whether everything was done so far that was to be.
    pub(super) fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.not_tried == 0
    }

    /// Names one file and what was done with it, if that was asked for.
    pub(super) fn name(&self, name: &str, what: &str) {
        if let Names(Some(print)) = &self.names {
            print(&format!("{name}: {what}"));
        }
    }

    /// Adds the outcome of one file or directory.
    pub(super) fn add(&mut self, name: String, outcome: Result<()>) {
        match outcome {
            Ok(()) => {
                self.name(&name, "done");
                self.done += 1;
            }
            Err(Error::NotTried) => self.not_tried += 1,
            Err(error) => {
                self.unreachable |= error.kind() == Kind::Unreachable;
                let reason = error_chain(&error);
                // The error of a path begins with the path.
                let reason = reason.strip_prefix(&format!("{name}: ")).unwrap_or(&reason);
                self.failed.push((name, reason.to_owned()));
            }
        }
    }

    /// The same with what the restored file could not be given.
    pub(super) fn add_kept(&mut self, name: String, outcome: Result<Kept>) {
        let kept = outcome.map(|kept| {
            self.left_out.extend(kept.left_out.into_iter().map(|reason| (name.clone(), reason)));
        });
        self.add(name, kept);
    }
}
