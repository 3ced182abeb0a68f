//! How sessions end: finalize, abort, and what a sweep reclaims.

pub(super) mod abort;
mod checks;
pub(super) mod finalize;
pub(super) mod inventory;
pub(super) mod reclaim;
pub(super) mod verify;

pub use reclaim::{Retention, SessionRecords, SessionRecordsPage};
