//! Staged chunks that a complete session no longer needs: finalize removes them after the root says
//! `complete`, and a crash before that leaves them behind.
//!
//! Guarantees: only those of a complete session are removed here. Staged chunks of any other
//! session are removed with it.

use super::sweep::{Result, Sweep};
use crate::upload::{Root, SessionRecords, Status};

/// Whether the session is complete and has staged chunks.
pub(super) fn are_left_over(records: &SessionRecords, root: &Root) -> bool {
    records.staged > 0 && matches!(root.status, Status::Complete { .. })
}

pub(super) async fn remove(sweep: &Sweep<'_>, root: &Root) -> Result<()> {
    sweep.uploads.delete_staged(root).await
}
