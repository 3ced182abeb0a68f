//! How sessions end: finalize, abort, and what a sweep reclaims.

pub(super) mod abort;
mod checks;
pub(super) mod finalize;
pub(super) mod inventory;
pub(super) mod reclaim;
mod tagged;
pub(super) mod verify;

pub(super) use checks::{condition_failed, is_unmet};
pub(super) use tagged::tagged_object;
pub(super) use verify::hash;

pub use reclaim::{Retention, SessionRecords, SessionRecordsPage};
