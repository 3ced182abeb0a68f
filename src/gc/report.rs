//! What a sweep did, for log lines and `ratchet gc`.

use crate::names::{AccountName, BackupId, Bucket, Key};
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A session of which a sweep reclaimed something, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReclaimedSession {
    pub account: AccountName,
    pub backup_id: BackupId,
    /// Empty if there was no root that names it; so is `key`.
    pub bucket: Bucket,
    pub key: Key,
    /// `expire`, `free` (parts), `forget` (documents), `unstage` (staged chunks), `orphan`.
    pub action: &'static str,
    /// The time since the newest document of the session was written.
    #[serde(rename = "idleSeconds", serialize_with = "in_seconds")]
    pub idle: Duration,
    /// Of parts and staged chunks.
    pub bytes: u64,
}

fn in_seconds<S: Serializer>(
    idle: &Duration,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(idle.as_secs())
}

/// What a sweep did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Sessions that were looked at.
    pub seen: u64,
    /// Sessions that could not be reclaimed.
    pub failed: u64,
    /// Sessions by action.
    pub actions: BTreeMap<&'static str, u64>,
    pub bytes: u64,
    /// Entries that named no open session.
    pub entries: u64,
    /// Recipes whose objects are gone.
    pub recipes: u64,
    /// Blobs that no recipe has.
    pub blobs: u64,
}

impl Report {
    pub(super) fn add(&mut self, reclaimed: &ReclaimedSession) {
        *self.actions.entry(reclaimed.action).or_default() += 1;
        self.bytes += reclaimed.bytes;
    }

    /// Whether there was anything to reclaim.
    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.entries + self.recipes + self.blobs == 0
    }
}
