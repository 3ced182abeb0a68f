//! Problem documents: type, status and text for each failure.
//!
//! Guarantees: each kind of failure has one problem type, and each type one status, title and
//! action; a golden file lists them all. This is the only file of the chunk API that maps failures
//! to statuses. The client gets the text of the failure, the request id and what to do next; the
//! cause of a 5xx goes to the log only. Source: RFC 9457, docs/api.md#problems.

use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};

use crate::accounts::Access;
use crate::api::{self, ProblemType};
use crate::escape::error_chain;
use crate::header_names;
use crate::names::{AccountName, Bucket, Key};
use crate::upload;
use crate::web::{self, Reply, full};

/// The most ranges that one problem lists.
const MAX_RANGES: usize = 1000;

/// `Retry-After` of a 503 for which the store gave no value.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A failure, as a client of the chunk API gets it.
#[derive(Debug)]
pub struct Problem {
    problem_type: ProblemType,
    detail: String,
    retry_after: Option<Duration>,
    cause: Option<web::BoxError>,
    /// Boxed, because few problems have any and every call returns a `Problem`.
    extras: Box<Extras>,
}

#[derive(Debug, Default)]
struct Extras {
    missing: Vec<[u64; 2]>,
    stored: Option<String>,
    offered: Option<String>,
    found: Option<String>,
    /// The allowed methods of a `MethodNotAllowed`.
    allow: Option<String>,
}

/// Status, title and action of a problem type.
#[expect(clippy::too_many_lines, reason = "a table with a row for each problem")]
fn row(problem_type: ProblemType) -> (StatusCode, &'static str, &'static str) {
    use StatusCode as S;
    match problem_type {
        ProblemType::BadRequest => (
            S::BAD_REQUEST,
            "the request is not valid",
            "correct the request; do not retry it unchanged",
        ),
        ProblemType::Unauthorized => (
            S::UNAUTHORIZED,
            "the request is not signed correctly",
            "check access key, secret and clock, and sign again",
        ),
        ProblemType::Forbidden => {
            (S::FORBIDDEN, "the account has no permission for this", "ask the operator for a grant")
        }
        ProblemType::NotFound => {
            (S::NOT_FOUND, "nothing is served at this path", "see openapi.json for all paths")
        }
        ProblemType::MethodNotAllowed => (
            S::METHOD_NOT_ALLOWED,
            "the method is not allowed",
            "use a method that the Allow header lists",
        ),
        ProblemType::NoSuchBackup => {
            (S::NOT_FOUND, "no such backup", "check the id, or create the backup")
        }
        ProblemType::NoSuchChunk => (
            S::NOT_FOUND,
            "the backup has no such chunk",
            "count the chunks from 0, by the backup's chunkSize and size",
        ),
        ProblemType::NoSuchBucket => {
            (S::NOT_FOUND, "no such bucket", "create the bucket, or name another one")
        }
        ProblemType::NoSuchObject => {
            (S::NOT_FOUND, "no such object", "check the key, or list the bucket")
        }
        ProblemType::LengthRequired => {
            (S::LENGTH_REQUIRED, "the length is missing", "send Content-Length")
        }
        ProblemType::ChunkSizeMismatch => (
            S::BAD_REQUEST,
            "the chunk has the wrong length",
            "split the file according to the backup's chunkSize and size",
        ),
        ProblemType::ChecksumMismatch => (
            S::UNPROCESSABLE_ENTITY,
            "the bytes do not match their checksum",
            "send the chunk again",
        ),
        ProblemType::DigestMismatch => (
            S::UNPROCESSABLE_ENTITY,
            "the file does not match the expected digest",
            "read the file again, and start a new backup if it changed",
        ),
        ProblemType::DigestUnavailable => (
            S::CONFLICT,
            "this digest cannot be computed for this backup",
            "expect sha256-chunks, or name the digest when you create the backup",
        ),
        ProblemType::ChecksumConflict => (
            S::CONFLICT,
            "another checksum is stored for this chunk",
            "start a new backup: this is a different file",
        ),
        ProblemType::BackupConflict => {
            (S::CONFLICT, "the id belongs to a backup with other parameters", "use another id")
        }
        ProblemType::Incomplete => {
            (S::CONFLICT, "chunks are missing", "send the missing chunks, then finalize again")
        }
        ProblemType::NotOpen => {
            (S::CONFLICT, "the backup's status does not allow this", "check the backup's status")
        }
        ProblemType::ObjectChanged => (
            S::CONFLICT,
            "the object was replaced or removed after the backup",
            "back the file up again if it is still needed",
        ),
        ProblemType::ConditionFailed => (
            S::PRECONDITION_FAILED,
            "the object at the target is not as the condition says",
            "look at the object that is there now, then decide again",
        ),
        ProblemType::QuotaExceeded => (
            S::FORBIDDEN,
            "the account has too many open uploads",
            "complete or abort open backups and uploads, then retry",
        ),
        ProblemType::RequestTimeout => {
            (S::REQUEST_TIMEOUT, "the body did not arrive in time", "send the request again")
        }
        ProblemType::SlowDown => {
            (S::SERVICE_UNAVAILABLE, "too many requests", "wait as Retry-After says, then retry")
        }
        ProblemType::StoreFull => {
            (S::INSUFFICIENT_STORAGE, "the store is full", "ask the operator to free space")
        }
        ProblemType::StoreUnavailable => (
            S::SERVICE_UNAVAILABLE,
            "the store does not respond",
            "wait as Retry-After says, then retry",
        ),
        ProblemType::Internal => {
            (S::INTERNAL_SERVER_ERROR, "the gateway failed", "tell the operator the request id")
        }
    }
}

fn type_of_upload_error(kind: upload::Kind) -> ProblemType {
    match kind {
        upload::Kind::BadRequest => ProblemType::BadRequest,
        upload::Kind::NoSuchBackup => ProblemType::NoSuchBackup,
        upload::Kind::NoSuchChunk => ProblemType::NoSuchChunk,
        upload::Kind::NoSuchBucket => ProblemType::NoSuchBucket,
        upload::Kind::ChunkSizeMismatch => ProblemType::ChunkSizeMismatch,
        upload::Kind::ChecksumMismatch => ProblemType::ChecksumMismatch,
        upload::Kind::DigestMismatch => ProblemType::DigestMismatch,
        upload::Kind::DigestUnavailable => ProblemType::DigestUnavailable,
        upload::Kind::ChecksumConflict => ProblemType::ChecksumConflict,
        upload::Kind::BackupConflict => ProblemType::BackupConflict,
        upload::Kind::Incomplete => ProblemType::Incomplete,
        upload::Kind::NotOpen => ProblemType::NotOpen,
        // Only S3 CompleteMultipartUpload lists parts.
        upload::Kind::InvalidPart | upload::Kind::PartTooSmall => ProblemType::BadRequest,
        upload::Kind::ConditionFailed => ProblemType::ConditionFailed,
        upload::Kind::ObjectChanged => ProblemType::ObjectChanged,
        upload::Kind::QuotaExceeded => ProblemType::QuotaExceeded,
        upload::Kind::BodyBroken => ProblemType::RequestTimeout,
        upload::Kind::SlowDown => ProblemType::SlowDown,
        upload::Kind::StoreFull => ProblemType::StoreFull,
        upload::Kind::StoreUnavailable => ProblemType::StoreUnavailable,
        upload::Kind::Denied => ProblemType::Forbidden,
        upload::Kind::Internal => ProblemType::Internal,
    }
}

fn type_of_web_error(kind: web::Kind) -> ProblemType {
    match kind {
        web::Kind::BadRequest => ProblemType::BadRequest,
        web::Kind::Unauthorized
        | web::Kind::MalformedUrlSignature
        | web::Kind::UnsupportedSignature
        | web::Kind::InvalidSignatureArgument
        | web::Kind::UnknownAccessKey
        | web::Kind::InvalidToken
        | web::Kind::Expired
        | web::Kind::Skewed
        | web::Kind::SignatureMismatch
        | web::Kind::Unsigned
        | web::Kind::NotCovered => ProblemType::Unauthorized,
        web::Kind::InvalidDigest
        | web::Kind::IncompleteBody
        | web::Kind::WrongLength
        | web::Kind::MalformedTrailer => ProblemType::BadRequest,
        web::Kind::SlowDown => ProblemType::SlowDown,
        web::Kind::BadDigest | web::Kind::PayloadMismatch => ProblemType::ChecksumMismatch,
        web::Kind::LengthRequired => ProblemType::LengthRequired,
        web::Kind::RequestTimeout => ProblemType::RequestTimeout,
    }
}

impl Problem {
    /// The word of its type, such as `no-such-backup`.
    pub fn word(&self) -> String {
        word(self.problem_type)
    }

    fn new(problem_type: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            problem_type,
            detail: detail.into(),
            retry_after: None,
            cause: None,
            extras: Box::default(),
        }
    }

    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(ProblemType::BadRequest, detail)
    }

    pub fn reserved_bucket(bucket: &Bucket) -> Self {
        Self::bad(format!(
            "{bucket:?} is not available as a bucket: the S3 server behind the gateway reserves this name"
        ))
    }

    pub fn not_found(path: &str) -> Self {
        Self::new(ProblemType::NotFound, format!("nothing is served at the path {path:?}"))
    }

    pub fn no_such_object(bucket: &Bucket, key: &Key) -> Self {
        Self::new(ProblemType::NoSuchObject, format!("the bucket {bucket} has no object {key:?}"))
    }

    pub fn replaced_meanwhile(bucket: &Bucket, key: &Key) -> Self {
        let what = format!("s3://{bucket}/{key} was replaced while it was worked on");
        Self::new(ProblemType::ConditionFailed, what)
    }

    pub fn length_required() -> Self {
        Self::new(ProblemType::LengthRequired, "a chunk needs its Content-Length")
    }

    pub fn forbidden(access: Access, bucket: &Bucket) -> Self {
        let verb = match access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Admin => "administer",
        };
        Self::new(
            ProblemType::Forbidden,
            format!("the account may not {verb} this in the bucket {bucket:?}"),
        )
    }

    pub fn of_another_account(account: &AccountName) -> Self {
        Self::new(
            ProblemType::Forbidden,
            format!(
                "the backup belongs to the account {account}; others can read it, not change it"
            ),
        )
    }

    pub fn method_not_allowed(method: &Method, allowed: &[Method]) -> Self {
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let mut problem = Self::new(
            ProblemType::MethodNotAllowed,
            format!("the method {method} is not allowed here"),
        );
        problem.extras.allow = Some(allowed.join(", "));
        problem
    }

    /// The response. Logs the cause of a 5xx.
    pub fn reply(self, request_id: &str) -> Reply {
        let (status, title, action) = row(self.problem_type);
        if status.is_server_error() {
            let cause = self.cause.as_deref().map(|cause| error_chain(cause)).unwrap_or_default();
            tracing::error!(
                request = request_id,
                status = status.as_u16(),
                detail = self.detail,
                cause,
                "a request failed"
            );
        }
        let document = api::Problem {
            type_uri: type_uri(self.problem_type),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail,
            action: action.to_owned(),
            request_id: request_id.to_owned(),
            missing: self.extras.missing,
            stored: self.extras.stored,
            offered: self.extras.offered,
            found: self.extras.found,
        };
        let json = serde_json::to_vec(&document).expect("text and numbers are always JSON");
        let mut reply = Response::new(full(json));
        *reply.status_mut() = status;
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let retry_after =
                self.retry_after.unwrap_or(DEFAULT_RETRY_AFTER).max(DEFAULT_RETRY_AFTER);
            headers.insert(header::RETRY_AFTER, retry_after.as_secs().into());
            headers.insert(
                header_names::RETRY_AFTER_MS,
                u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).into(),
            );
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("AWS4-HMAC-SHA256"));
        }
        if let Some(allow) = self.extras.allow.and_then(|allow| HeaderValue::from_str(&allow).ok())
        {
            headers.insert(header::ALLOW, allow);
        }
        reply
    }
}

fn type_uri(problem_type: ProblemType) -> String {
    format!("{}{}", api::PROBLEM_BASE, word(problem_type))
}

fn word(problem_type: ProblemType) -> String {
    let word = serde_json::to_value(problem_type).expect("a problem type is always JSON");
    word.as_str().unwrap_or_default().to_owned()
}

impl From<web::Error> for Problem {
    fn from(error: web::Error) -> Self {
        Self::new(type_of_web_error(error.kind()), error.to_string())
    }
}

impl From<upload::Error> for Problem {
    fn from(error: upload::Error) -> Self {
        let mut problem = Self::new(type_of_upload_error(error.kind()), error.to_string());
        problem.retry_after = error.retry_after();
        match &error {
            upload::Error::ChecksumMismatch { declared, found, .. } => {
                (problem.extras.offered, problem.extras.found) =
                    (Some(declared.to_string()), Some(found.to_string()));
            }
            upload::Error::DigestMismatch { expected, found } => {
                (problem.extras.offered, problem.extras.found) =
                    (Some(expected.to_string()), Some(found.to_string()));
            }
            upload::Error::ChecksumConflict { stored, offered, .. } => {
                (problem.extras.stored, problem.extras.offered) =
                    (Some(stored.to_string()), Some(offered.to_string()));
            }
            upload::Error::Incomplete { missing } => {
                problem.extras.missing = missing
                    .iter()
                    .take(MAX_RANGES)
                    .map(|range| [range.first, range.last])
                    .collect();
            }
            // The name and the fault of the document are for the operator only.
            upload::Error::Corrupt { .. } => {
                "a record of the backup cannot be read".clone_into(&mut problem.detail)
            }
            upload::Error::BadRequest(_)
            | upload::Error::NoSuchBackup(_)
            | upload::Error::NoSuchChunk(_)
            | upload::Error::DigestUnavailable(_)
            | upload::Error::NoSuchBucket(_)
            | upload::Error::ChunkSizeMismatch { .. }
            | upload::Error::WrongChecksum(_)
            | upload::Error::BackupConflict { .. }
            | upload::Error::InvalidPart { .. }
            | upload::Error::PartTooSmall { .. }
            | upload::Error::NotOpen { .. }
            | upload::Error::ConditionFailed { .. }
            | upload::Error::Busy(_)
            | upload::Error::ObjectChanged(_)
            | upload::Error::QuotaExceeded { .. }
            | upload::Error::Store { .. }
            | upload::Error::Batch { .. } => {}
        }
        problem.cause = Some(Box::new(error));
        problem
    }
}

#[cfg(test)]
mod tests;
