//! The chunk API's JSON types, shared by the front and the client (DESIGN §10).
//!
//! Guarantees: field names are camelCase and stable; requests refuse unknown fields, answers
//! tolerate them. It knows no HTTP, no store and no rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the chunk API lives. No bucket name can begin with `_`.
pub const ROOT: &str = "/_ratchet/v1";

/// `POST /backups` and `PUT /backups/{backupId}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateBackup {
    pub bucket: String,
    pub key: String,
    /// Bytes of every chunk but the last.
    pub chunk_size: u64,
    /// Bytes of the whole file, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The client's name for this very content; the same file again finds the same backup.
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
}

/// A backup's state: `in_progress` → `finalizing` → `complete`, or `aborted`, or `superseded`.
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
    pub file_id: String,
    pub bucket: String,
    pub key: String,
    pub chunk_size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    pub status: Status,
    /// The digest kind named at create.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Seconds since 1970-01-01T00:00:00Z, by the gateway that created it; for display.
    pub created_at: u64,
    /// As `created_at`; only of a complete backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<u64>,
    /// The object, once complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Finalized>,
    /// Why it was aborted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// `GET /backups/{backupId}`: the public manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    #[serde(flatten)]
    pub summary: Summary,
    /// Chunk index → `sha256:<hex>`, of every chunk that is durable and recorded.
    pub chunks: BTreeMap<String, String>,
}

/// `GET /backups/{backupId}?view=missing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Missing {
    pub backup_id: String,
    pub status: Status,
    /// Chunks recorded.
    pub stored: u64,
    /// Chunks still to come; None while the size is not known.
    pub remaining: Option<u64>,
    /// Missing chunks as `[first, last]`, both included, ascending; below the highest recorded one
    /// if the size is not known.
    pub missing: Vec<[u64; 2]>,
}

/// `GET /backups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupList {
    pub backups: Vec<Summary>,
    /// Goes into `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// `PUT …/chunks/{i}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredChunk {
    pub index: u64,
    /// `sha256:<hex>`.
    pub checksum: String,
}

/// `POST …/finalize`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finalize {
    /// `<kind>:<hex>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_digest: Option<String>,
}

/// The answer of finalize.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finalized {
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Kind → `<kind>:<hex>`.
    pub digests: BTreeMap<String, String>,
}

/// The stable word of a problem; `type` on the wire is this word under [`PROBLEM_BASE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NoSuchBackup,
    NoSuchBucket,
    LengthRequired,
    ChunkSizeMismatch,
    ChecksumMismatch,
    DigestMismatch,
    ChecksumConflict,
    BackupConflict,
    Incomplete,
    NotOpen,
    ObjectChanged,
    QuotaExceeded,
    RequestTimeout,
    SlowDown,
    StoreFull,
    StoreUnavailable,
    Internal,
}

/// What stands before the word in `type`.
pub const PROBLEM_BASE: &str = "urn:ratchet:problem:";

/// `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `urn:ratchet:problem:<word>`.
    #[serde(rename = "type")]
    pub type_uri: String,
    pub title: String,
    pub status: u16,
    /// What happened, to which thing.
    pub detail: String,
    /// What the caller should do next.
    pub action: String,
    pub request_id: String,
    /// `incomplete`: as in [`Missing`], at most 1,000 ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<[u64; 2]>,
    /// `checksum-conflict`: what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<String>,
    /// `checksum-conflict`, `checksum-mismatch`, `digest-mismatch`: what the request said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offered: Option<String>,
    /// `checksum-mismatch`, `digest-mismatch`: what the bytes have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Problem {
    /// The word of `type`, if it is one of ours.
    pub fn word(&self) -> Option<ProblemType> {
        let word = self.type_uri.strip_prefix(PROBLEM_BASE)?;
        serde_json::from_value(serde_json::Value::String(word.to_owned())).ok()
    }
}
