//! The chunk API's JSON types, shared by `front/chunk` and `client`.
//!
//! Guarantees: field names are camelCase and stable; requests with unknown fields are refused,
//! unknown fields of responses are ignored. It knows no HTTP, no store and no rules. Source:
//! docs/api.md#calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// The path of the chunk API. No bucket can have it: bucket names do not begin with `_`.
pub const ROOT: &str = "/_ratchet/v1";

/// Request of `POST /backups` and `PUT /backups/{backupId}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateBackup {
    pub bucket: String,
    pub key: String,
    /// Bytes of every chunk but the last.
    #[serde(deserialize_with = "whole_number")]
    pub chunk_size: u64,
    /// Bytes of the whole file, if known.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole_number_or_null"
    )]
    pub size: Option<u64>,
    /// The client's name for the content; the same file id finds the open backup again.
    #[serde(default)]
    pub file_id: String,
    /// The kind of whole-file digest to compute: `blake3`, `crc64nvme`, `sha256-chunks` or
    /// `sha256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `multipart` or `content`; absent: as the settings of the gateway say for the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
}

/// An integer as JSON Schema has it: `1.0` is the same number as `1` (draft 2020-12 §6.1.1), and
/// languages without integers print it so.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number from 0")]
enum WholeNumber {
    Integer(u64),
    Float(f64),
}

impl WholeNumber {
    fn value<E: serde::de::Error>(self) -> Result<u64, E> {
        /// Above this, a float may stand for another integer than the one that was meant.
        const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Self::Integer(value) => Ok(value),
            Self::Float(value) if value.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&value) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "checked"
                )]
                let value = value as u64;
                Ok(value)
            }
            Self::Float(value) => Err(E::custom(format!("{value} is not a whole number from 0"))),
        }
    }
}

fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    WholeNumber::deserialize(deserializer)?.value()
}

fn whole_number_or_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    Option::<WholeNumber>::deserialize(deserializer)?.map(WholeNumber::value).transpose()
}

/// The state of a backup: `in_progress` → `finalizing` → `complete`, or `aborted`, or `superseded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    Finalizing,
    Complete,
    Aborted,
    Superseded,
}

/// A backup without its chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    pub backup_id: String,
    /// The account that it belongs to; None from an older gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    pub file_id: String,
    pub bucket: String,
    pub key: String,
    pub chunk_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    pub status: Status,
    /// The kind of digest that was requested at create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Seconds since 1970-01-01T00:00:00Z by the clock of the creating gateway; for display only.
    pub created_at: u64,
    /// As `created_at`; only for a complete backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u64>,
    /// The object of a complete backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Finalized>,
    /// Why the backup was aborted or superseded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `content` where the object is made of blobs that other objects share; absent: `multipart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<String>,
}

/// Response of `GET /backups/{backupId}`: the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(flatten)]
    pub summary: Summary,
    /// Chunk index → `sha256:<hex>`, for every recorded chunk.
    pub chunks: BTreeMap<String, String>,
    /// Whether a chunk other than the last one has another length than `chunkSize`. Only parts of
    /// S3 uploads can.
    #[serde(default)]
    pub uneven: bool,
}

/// Response of `GET /backups/{backupId}?view=missing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    pub backup_id: String,
    pub status: Status,
    /// How many chunks are recorded.
    pub stored: u64,
    /// How many chunks are missing; None if the size is not known.
    pub remaining: Option<u64>,
    /// Missing chunks as `[first, last]`, both included, ascending. If the size is not known, only
    /// those below the highest recorded chunk.
    pub missing: Vec<[u64; 2]>,
    /// The bytes of the recorded chunks that clients sent; None from an older gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
    /// The bytes of the recorded chunks that the store had already; None from an older gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_bytes: Option<u64>,
}

/// Response of `GET /backups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupList {
    pub backups: Vec<Summary>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Response of `GET /usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsagePage {
    /// By key.
    pub objects: Vec<ObjectUsage>,
    /// The value of `after` for the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An object and what it is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectUsage {
    pub key: String,
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// In order; bytes of the object that are in none are its own. None: the store does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extents: Option<Vec<Extent>>,
}

/// Bytes in the store that one or more objects are made of: objects share them where extents with
/// the same id overlap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extent {
    /// 16 hex digits.
    pub id: String,
    /// Where its bytes begin among those of this id.
    pub first: u64,
    /// Bytes.
    pub length: u64,
}

/// Response of `PUT /backups/{backupId}/chunks/{index}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredChunk {
    pub index: u64,
    /// `sha256:<hex>`.
    pub checksum: String,
}

/// Request of `POST /backups/{backupId}/claims`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimChunks {
    /// At most 10,000, each index once.
    pub chunks: Vec<ClaimedChunk>,
}

/// A chunk that the client has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimedChunk {
    #[serde(deserialize_with = "whole_number")]
    pub index: u64,
    /// `sha256:<hex>`.
    pub checksum: String,
    /// Bytes.
    #[serde(deserialize_with = "whole_number")]
    pub length: u64,
}

/// Response of `POST /backups/{backupId}/claims`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// How many of the chunks were recorded before.
    pub recorded: u64,
    /// How many of them were copied inside the store.
    pub copied: u64,
    /// Those that must be sent, as `[first, last]`, both included, ascending.
    pub missing: Vec<[u64; 2]>,
}

/// Request of `POST /backups/{backupId}/finalize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finalize {
    /// `<kind>:<hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_digest: Option<String>,
}

/// The object that a complete backup has made; also the response of finalize.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finalized {
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// How many of them clients sent; the store had the others. None: an older gateway made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_bytes: Option<u64>,
    /// Kind → `<kind>:<hex>`.
    pub digests: BTreeMap<String, String>,
}

/// Body of `POST /materialize`: an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectName {
    pub bucket: String,
    pub key: String,
}

/// Response of `POST /materialize`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Materialized {
    /// Whether the object was in blobs; false: it was a plain one already.
    pub was_content: bool,
}

/// The type of a problem; the field `type` is [`PROBLEM_BASE`] and this word in kebab-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NoSuchBackup,
    NoSuchChunk,
    NoSuchBucket,
    NoSuchObject,
    LengthRequired,
    ChunkSizeMismatch,
    ChecksumMismatch,
    DigestMismatch,
    DigestUnavailable,
    ChecksumConflict,
    BackupConflict,
    Incomplete,
    NotOpen,
    ObjectChanged,
    ConditionFailed,
    QuotaExceeded,
    RequestTimeout,
    SlowDown,
    StoreFull,
    StoreUnavailable,
    Internal,
}

/// The prefix of the word in the field `type` of a problem.
pub const PROBLEM_BASE: &str = "urn:ratchet:problem:";

/// The body of every failure, `application/problem+json`. Source: RFC 9457.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:ratchet:problem:<word>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: String,
    pub status: u16,
    /// What happened, and to which thing.
    pub detail: String,
    /// What the caller has to do next.
    pub action: String,
    pub request_id: String,
    /// `incomplete`: as in [`Missing`], at most 1,000 ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<[u64; 2]>,
    /// `checksum-conflict`: the checksum that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// `checksum-conflict`, `checksum-mismatch`, `digest-mismatch`: the checksum in the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<String>,
    /// `checksum-mismatch`, `digest-mismatch`: the checksum of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Problem {
    /// The type, if it is one of the chunk API.
    pub fn problem_type(&self) -> Option<ProblemType> {
        let word = self.type_uri.strip_prefix(PROBLEM_BASE)?;
        serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
    }
}
