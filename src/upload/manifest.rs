//! The session's documents: the root here, its segments in `segment`.
//!
//! Pure: it reads and writes no store. `codec` has the JSON, `session::commit` writes it.
//! Source: docs/architecture.md#root.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{self, Expected};
use crate::names::{AccountName, BackupId, Bucket, Key};
use crate::records::Stamp;
use crate::store::{ETag, PutMode, UploadId, UploadTarget};

use super::object_checksum::ObjectChecksum;
use super::placement::ObjectLayout;
use super::plan::Plan;
pub use super::s3::S3Terms;
pub use super::segment::{Change, GroupRecord, Outcome, PartFacts, Record, Segment};

/// Which checksum counts when one chunk is put twice with different bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Policy {
    /// The first one: the chunk API refuses another one.
    FirstWins,
    /// The last one: S3's rule for part numbers.
    LastWins,
}

/// A session's state; `Complete`, `Aborted` and `Superseded` are final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Status {
    InProgress,
    /// With what the finalize has to check; a gateway that takes it over repeats every check.
    Finalizing {
        #[serde(flatten)]
        checks: Checks,
    },
    Complete {
        object: Finished,
        completed_at: u64,
        /// The alias whose client completed the upload, while the session's own client has not
        /// (docs/architecture.md#aliases).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<BackupId>,
    },
    Aborted {
        reason: String,
        /// The parts still exist, for a successor to adopt
        /// (docs/architecture.md#abort-by-a-client).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        kept: bool,
        /// A sweep found that nothing is left of the session but this root.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        freed: bool,
    },
    Superseded {
        by: BackupId,
        /// The session's client may go on, in the store upload of the successor
        /// (docs/architecture.md#aliases).
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        alias: bool,
    },
}

/// What a finalize has to check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// The part numbers that S3's Complete named, ascending; None: all recorded ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<u16>>,
    /// The alias whose records make the object; None: the session's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<BackupId>,
    /// Decided by the store together with the object: a finalize that is repeated, or that another
    /// gateway takes over, asks for it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<TargetCondition>,
}

/// What S3's Complete demands of the object at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TargetCondition {
    /// There is none.
    Absent,
    /// It has this ETag.
    Tag(ETag),
}

impl Checks {
    pub fn put_mode(&self) -> PutMode {
        match &self.condition {
            None => PutMode::Overwrite,
            Some(TargetCondition::Absent) => PutMode::CreateOnly,
            Some(TargetCondition::Tag(tag)) => PutMode::IfMatch(tag.clone()),
        }
    }
}

impl Status {
    /// Whether the session may still become an object.
    pub fn is_unfinished(&self) -> bool {
        match self {
            Self::InProgress | Self::Finalizing { .. } => true,
            Self::Complete { .. } | Self::Aborted { .. } | Self::Superseded { .. } => false,
        }
    }

    /// Whether the session is in the index of open sessions: it is unfinished, or its parts are
    /// kept for a successor.
    pub fn is_indexed_open(&self) -> bool {
        match self {
            Self::InProgress | Self::Finalizing { .. } | Self::Aborted { kept: true, .. } => true,
            Self::Complete { .. } | Self::Aborted { .. } | Self::Superseded { .. } => false,
        }
    }

    /// Whether the client of an S3 upload may go on: it is unfinished, or an alias, or an alias of
    /// it was completed.
    pub fn is_usable(&self) -> bool {
        match self {
            Self::Superseded { alias, .. } => *alias,
            Self::Complete { of, .. } => of.is_some(),
            Self::InProgress | Self::Finalizing { .. } => true,
            Self::Aborted { .. } => false,
        }
    }

    /// Whether records of new parts may be acknowledged.
    pub(in crate::upload) fn takes_records(&self) -> bool {
        match self {
            Self::Finalizing { .. } => false,
            Self::InProgress
            | Self::Complete { .. }
            | Self::Aborted { .. }
            | Self::Superseded { .. } => self.is_usable(),
        }
    }

    /// The status in the words of the chunk API.
    pub fn word(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Finalizing { .. } => "finalizing",
            Self::Complete { .. } => "complete",
            Self::Aborted { .. } => "aborted",
            Self::Superseded { .. } => "superseded",
        }
    }
}

/// The object that a finalize made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    pub etag: ETag,
    /// In a bucket with versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    pub size_bytes: u64,
    /// All digests that were computed; `sha256-chunks` always is.
    pub digests: Vec<Expected>,
    /// In the algorithm that the S3 client named at create, in S3's notation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<ObjectChecksum>,
    /// Nobody hashed some of its parts, so its `sha256-chunks` identifies the parts only here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhashed_parts: bool,
    /// How many of its bytes clients sent; the store had the others
    /// (docs/architecture.md#sent-and-known-bytes). None: an older gateway completed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
    /// The condition that held when the object was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<TargetCondition>,
}

impl Finished {
    /// The digests of its bytes.
    pub fn digests_of_bytes(&self) -> impl Iterator<Item = &Expected> {
        let is_of_bytes =
            |digest: &&Expected| !self.unhashed_parts || digest.kind != digest::Kind::Sha256Chunks;
        self.digests.iter().filter(is_of_bytes)
    }
}

/// Where the bytes of a session go. In the document this is the id of the store upload, and an
/// empty text for `Whole`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "UploadId", into = "UploadId")]
pub enum Destination {
    /// Into parts of this multipart upload of the store.
    Parts(UploadId),
    /// There is no store upload: the object is put whole. The file has no bytes, and finalize puts
    /// an empty object (docs/architecture.md#empty-files), or it was backed up in one request
    /// (docs/architecture.md#backups-in-one-request).
    Whole,
}

impl From<UploadId> for Destination {
    fn from(upload: UploadId) -> Self {
        if upload.as_str().is_empty() { Self::Whole } else { Self::Parts(upload) }
    }
}

impl From<Destination> for UploadId {
    fn from(destination: Destination) -> Self {
        match destination {
            Destination::Parts(upload) => upload,
            Destination::Whole => Self::from(""),
        }
    }
}

/// The session's main document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Root {
    #[serde(flatten)]
    pub stamp: Stamp,
    pub backup_id: BackupId,
    pub account: AccountName,
    pub bucket: Bucket,
    pub key: Key,
    pub file_id: String,
    pub plan: Plan,
    pub policy: Policy,
    /// The digest kind that is computed in addition to SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<digest::Kind>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// How its object is kept in the store.
    #[serde(default, skip_serializing_if = "ObjectLayout::is_default")]
    pub layout: ObjectLayout,
    /// None: the session was created over the chunk API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Terms>,
    #[serde(rename = "storeUpload")]
    pub destination: Destination,
    /// The random tag that the object will carry (docs/architecture.md#upload-tag).
    pub upload_tag: String,
    /// Seconds since 1970, by the creating gateway's wall clock; for display, and for the entry in
    /// the index of open sessions.
    pub created_at: u64,
    pub status: Status,
}

impl Root {
    /// The object, once the session is complete.
    pub fn finished(&self) -> Option<&Finished> {
        match &self.status {
            Status::Complete { object, .. } => Some(object),
            Status::InProgress
            | Status::Finalizing { .. }
            | Status::Aborted { .. }
            | Status::Superseded { .. } => None,
        }
    }

    pub fn is_open(&self) -> bool {
        self.status == Status::InProgress
    }

    /// The session's multipart upload at the store, where it has one.
    pub fn upload_at<'a>(&'a self, target: &'a (Bucket, Key)) -> Option<UploadTarget<'a>> {
        match &self.destination {
            Destination::Parts(upload) => {
                Some(UploadTarget { bucket: &target.0, key: &target.1, upload })
            }
            Destination::Whole => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_the_id_of_the_store_upload_in_json() {
        for (destination, json) in [
            (Destination::Parts(UploadId::from("upload-1")), "\"upload-1\""),
            (Destination::Whole, "\"\""),
        ] {
            assert_eq!(serde_json::to_string(&destination).unwrap(), json);
            assert_eq!(serde_json::from_str::<Destination>(json).unwrap(), destination);
        }
    }
}
