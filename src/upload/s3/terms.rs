//! What only the root of an S3 upload has, and what it says of adoption.
//!
//! Pure. Source: docs/architecture.md#root, docs/architecture.md#handing-over-a-store-upload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::manifest::{Root, Status};
use super::super::object_checksum::ChecksumKind;
use crate::digest::Algorithm;
use crate::names::BackupId;
use crate::store::{Tags, UploadId};

/// Fields of the root that only the session of an S3 multipart upload has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Terms {
    /// The algorithm that the client named for the parts, and the kind of the object's checksum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<(Algorithm, ChecksumKind)>,
    /// `cache-control` and similar headers of the object.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The object's tags.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Sessions whose parts are in the same store upload, newest first; the first is the
    /// predecessor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<BackupId>,
    /// Sessions that the upload may take over, the newest first, while it has no part of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predecessors: Vec<BackupId>,
    /// Which of them it is taking over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<BackupId>,
    /// The store upload that the session had before it took over another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spare: Option<UploadId>,
    /// The last sessions whose claim of this one was refused, for good.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<BackupId>,
    /// The client aborted it, but an alias goes on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub given_up: bool,
    /// How many heartbeats the session had.
    #[serde(default, rename = "beats")]
    pub heartbeats: u64,
    /// The client disconnected in the middle of a part, with nothing else in flight.
    #[serde(rename = "left", default, skip_serializing_if = "std::ops::Not::not")]
    pub client_disconnected: bool,
}

impl S3Terms {
    /// The algorithm and kind of the object's checksum. As at S3, an upload for which the client
    /// named none gets a CRC64NVME.
    pub fn object_checksum(&self) -> (Algorithm, ChecksumKind) {
        self.checksum.unwrap_or((Algorithm::Crc64Nvme, ChecksumKind::FullObject))
    }

    /// The algorithm in which the gateway computes the checksum of a part, because the object's
    /// checksum needs it and the client sends none, or one in another algorithm.
    pub fn missing_checksum(&self, sent: Option<Algorithm>) -> Option<Algorithm> {
        Some(self.object_checksum().0).filter(|needed| sent != Some(*needed))
    }
}

impl Root {
    /// Whether the session may still take over a predecessor.
    pub(in crate::upload) fn is_undecided(&self) -> bool {
        self.s3.as_ref().is_some_and(|s3| !s3.predecessors.is_empty())
    }

    /// The predecessor that the session is taking over.
    pub(in crate::upload) fn claim(&self) -> Option<&BackupId> {
        self.s3.as_ref()?.claim.as_ref()
    }

    /// Whether the client of an S3 upload aborted it while an alias goes on.
    pub fn is_given_up(&self) -> bool {
        self.s3.as_ref().is_some_and(|s3| s3.given_up)
    }

    /// The alias whose Complete the session is carrying out.
    pub(in crate::upload) fn alias_that_completes(&self) -> Option<BackupId> {
        match &self.status {
            Status::Finalizing { checks } => checks.of.clone(),
            Status::InProgress
            | Status::Complete { .. }
            | Status::Aborted { .. }
            | Status::Superseded { .. } => None,
        }
    }
}
