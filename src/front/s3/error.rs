//! S3 error responses: the code, status and message for each failure.
//!
//! Guarantees: every failure has a code of S3's, which clients act on; the message is for a person;
//! the cause of a failure goes to the log only. This is the only file of the S3 front that maps
//! failures to statuses. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! docs/backends.md#error-codes-that-tools-expect.

use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::xml::Xml;
use crate::header_names;
use crate::object::{CopyError, ReadError, StoreError, StoreKind, Unmet};
use crate::upload;
use crate::web::{self, Reply, full};

/// `Retry-After` of a 503 for which nothing better is known.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A failure, as an S3 client gets it.
#[derive(Clone, Debug)]
pub struct S3Error {
    pub code: &'static str,
    status: StatusCode,
    message: String,
    retry_after: Option<Duration>,
}

impl S3Error {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let retry_after =
            (status == StatusCode::SERVICE_UNAVAILABLE).then_some(DEFAULT_RETRY_AFTER);
        Self { code, status, message: message.into(), retry_after }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidArgument", message)
    }

    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "InvalidRequest", message)
    }

    pub fn malformed_xml() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "MalformedXML",
            "the XML is not well formed, or not what this operation expects",
        )
    }

    pub fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", "the account has no permission for this")
    }

    /// `header` names an owner whom the client expects, and who is another.
    pub fn other_owner(header: &str) -> Self {
        let message = format!("the bucket does not belong to the account that {header} names");
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", message)
    }

    pub fn no_such_upload() -> Self {
        let message =
            "the upload does not exist: it was completed, aborted, or taken over by a newer one";
        Self::new(StatusCode::NOT_FOUND, "NoSuchUpload", message)
    }

    pub fn no_such_bucket(bucket: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchBucket", format!("there is no bucket {bucket:?}"))
    }

    pub fn reserved_bucket(bucket: &str) -> Self {
        let message = format!(
            "{bucket:?} is not available as a bucket: the S3 server behind the gateway reserves this name"
        );
        Self::new(StatusCode::BAD_REQUEST, "InvalidBucketName", message)
    }

    pub fn not_implemented(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            format!("{what} is not implemented here"),
        )
    }

    pub fn precondition() -> Self {
        let message = "a precondition of the request does not hold";
        Self::new(StatusCode::PRECONDITION_FAILED, "PreconditionFailed", message)
    }

    pub fn not_modified() -> Self {
        Self::new(StatusCode::NOT_MODIFIED, "NotModified", "not modified")
    }

    pub fn length_required() -> Self {
        Self::new(
            StatusCode::LENGTH_REQUIRED,
            "MissingContentLength",
            "the length of the body must be declared",
        )
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The response. It has no body for HEAD and with status 304.
    pub fn reply(&self, method: &Method, resource: &str, request_id: &str) -> Reply {
        let without_body = *method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED;
        let mut xml = Xml::error();
        xml.element("Code", self.code)
            .element("Message", &self.message)
            .element("Resource", resource);
        xml.element("RequestId", request_id);
        let mut reply =
            Response::new(full(if without_body { String::new() } else { xml.finish() }));
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        if !without_body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        if let Some(retry_after) = self.retry_after {
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, number(seconds));
            headers.insert(header_names::RETRY_AFTER_MS, number(retry_after.as_millis()));
        }
        reply
    }
}

fn number(value: u128) -> HeaderValue {
    HeaderValue::from_str(&value.to_string()).expect("digits are a header value")
}

impl From<web::Error> for S3Error {
    fn from(error: web::Error) -> Self {
        use StatusCode as S;
        let (status, code) = match error.kind() {
            web::Kind::BadRequest => (S::BAD_REQUEST, "InvalidRequest"),
            web::Kind::Unauthorized => (S::BAD_REQUEST, "AuthorizationHeaderMalformed"),
            web::Kind::Unsigned | web::Kind::Expired => (S::FORBIDDEN, "AccessDenied"),
            web::Kind::Skewed => (S::FORBIDDEN, "RequestTimeTooSkewed"),
            web::Kind::SignatureMismatch => (S::FORBIDDEN, "SignatureDoesNotMatch"),
            web::Kind::LengthRequired => (S::LENGTH_REQUIRED, "MissingContentLength"),
            web::Kind::RequestTimeout => (S::BAD_REQUEST, "RequestTimeout"),
            web::Kind::InvalidDigest => (S::BAD_REQUEST, "InvalidDigest"),
            web::Kind::BadDigest => (S::BAD_REQUEST, "BadDigest"),
            web::Kind::PayloadMismatch => (S::BAD_REQUEST, "XAmzContentSHA256Mismatch"),
            web::Kind::IncompleteBody => (S::BAD_REQUEST, "IncompleteBody"),
            web::Kind::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        use StatusCode as S;
        let (status, code) = match error.kind() {
            StoreKind::NotFound => (S::NOT_FOUND, "NoSuchKey"),
            StoreKind::NoSuchBucket => (S::NOT_FOUND, "NoSuchBucket"),
            StoreKind::NoSuchUpload => (S::NOT_FOUND, "NoSuchUpload"),
            StoreKind::BucketExists => (S::CONFLICT, "BucketAlreadyOwnedByYou"),
            StoreKind::BucketNotEmpty => (S::CONFLICT, "BucketNotEmpty"),
            StoreKind::Precondition => (S::PRECONDITION_FAILED, "PreconditionFailed"),
            StoreKind::Conflict => (S::CONFLICT, "ConditionalRequestConflict"),
            StoreKind::NotModified => (S::NOT_MODIFIED, "NotModified"),
            StoreKind::InvalidPart => (S::BAD_REQUEST, "InvalidPart"),
            StoreKind::TooSmall => (S::BAD_REQUEST, "EntityTooSmall"),
            StoreKind::Range => (S::RANGE_NOT_SATISFIABLE, "InvalidRange"),
            StoreKind::Checksum => (S::BAD_REQUEST, "BadDigest"),
            StoreKind::Body => (S::BAD_REQUEST, "IncompleteBody"),
            StoreKind::Denied => (S::INTERNAL_SERVER_ERROR, "InternalError"),
            StoreKind::Invalid => (S::BAD_REQUEST, "InvalidArgument"),
            StoreKind::Unsupported => (S::NOT_IMPLEMENTED, "NotImplemented"),
            StoreKind::Full => (S::INSUFFICIENT_STORAGE, "XMinioStorageFull"),
            StoreKind::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
            StoreKind::Unavailable => (S::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        };
        if status.is_server_error() {
            tracing::warn!(%error, source = ?std::error::Error::source(&error), "the store failed");
        }
        let mut failure = Self::new(status, code, error.to_string());
        failure.retry_after = error.pause().or(failure.retry_after);
        failure
    }
}

impl From<ReadError> for S3Error {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        let unsatisfiable = |code| Self::new(StatusCode::RANGE_NOT_SATISFIABLE, code, message);
        match error {
            ReadError::Store(error) => error.into(),
            ReadError::Records(error) => error.into(),
            ReadError::Unmet(Unmet::Precondition) => Self::precondition(),
            ReadError::Unmet(Unmet::NotModified) => Self::not_modified(),
            ReadError::NoSuchPart => unsatisfiable("InvalidPartNumber"),
            ReadError::Range { .. } => unsatisfiable("InvalidRange"),
        }
    }
}

impl From<CopyError> for S3Error {
    fn from(error: CopyError) -> Self {
        let message = error.to_string();
        match error {
            CopyError::Store(error) => error.into(),
            CopyError::Records(error) => error.into(),
            // S3 responds with 412 for each of the four conditions.
            CopyError::Unmet => Self::precondition(),
            CopyError::TooLarge { .. } => Self::invalid_request(message),
            CopyError::Range { .. } => Self::invalid(message),
        }
    }
}

impl From<upload::Error> for S3Error {
    fn from(error: upload::Error) -> Self {
        use StatusCode as S;
        let (status, code) = match error.kind() {
            upload::Kind::BadRequest => (S::BAD_REQUEST, "InvalidRequest"),
            upload::Kind::NoSuchBackup | upload::Kind::NotOpen => return Self::no_such_upload(),
            upload::Kind::NoSuchBucket => (S::NOT_FOUND, "NoSuchBucket"),
            upload::Kind::ChunkSizeMismatch => (S::BAD_REQUEST, "EntityTooLarge"),
            upload::Kind::ChecksumMismatch => (S::BAD_REQUEST, "XAmzContentSHA256Mismatch"),
            upload::Kind::DigestMismatch => (S::BAD_REQUEST, "BadDigest"),
            upload::Kind::ChecksumConflict | upload::Kind::BackupConflict => {
                (S::CONFLICT, "OperationAborted")
            }
            upload::Kind::Incomplete | upload::Kind::InvalidPart => (S::BAD_REQUEST, "InvalidPart"),
            upload::Kind::PartTooSmall => (S::BAD_REQUEST, "EntityTooSmall"),
            upload::Kind::ObjectChanged => (S::NOT_FOUND, "NoSuchKey"),
            upload::Kind::QuotaExceeded => (S::FORBIDDEN, "QuotaExceeded"),
            upload::Kind::BodyBroken => (S::BAD_REQUEST, "IncompleteBody"),
            upload::Kind::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
            upload::Kind::StoreFull => (S::INSUFFICIENT_STORAGE, "XMinioStorageFull"),
            upload::Kind::StoreUnavailable => (S::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            upload::Kind::Internal => (S::INTERNAL_SERVER_ERROR, "InternalError"),
        };
        if status.is_server_error() {
            tracing::warn!(%error, source = ?std::error::Error::source(&error), "an upload failed");
        }
        let mut failure = Self::new(status, code, error.to_string());
        failure.retry_after = error.retry_after().or(failure.retry_after);
        failure
    }
}
