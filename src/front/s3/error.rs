//! What an S3 client is told instead of success.
//!
//! `Code` is S3's, and clients act on it; the message is for a person. The cause behind it goes to
//! the log only. This is one of the two places that know which failure is which status. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; BACKENDS.md §9 (codes
//! tools expect).

use std::time::Duration;

use http::{HeaderValue, Method, Response, StatusCode, header};

use super::xml::Xml;
use crate::metric_names;
use crate::object::{StoreError, StoreKind};
use crate::upload;
use crate::web::{self, Reply, full};

/// How long a client is asked to stay away when nobody knows better.
const PAUSE: Duration = Duration::from_secs(1);

/// An answer that is no success.
#[derive(Clone, Debug)]
pub struct S3Error {
    pub code: &'static str,
    status: StatusCode,
    message: String,
    pause: Option<Duration>,
}

impl S3Error {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let pause = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(PAUSE);
        Self { code, status, message: message.into(), pause }
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
            "the XML is not well formed, or not what is wanted here",
        )
    }

    pub fn denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", "this account may not do that here")
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
            "{bucket:?} is no bucket: the S3 store behind the gateway keeps this name for itself"
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
            "the length of the body must be said",
        )
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer. One to HEAD has no body, nor has 304.
    pub fn reply(&self, method: &Method, resource: &str, request_id: &str) -> Reply {
        let silent = *method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED;
        let mut xml = Xml::error();
        xml.element("Code", self.code)
            .element("Message", &self.message)
            .element("Resource", resource);
        xml.element("RequestId", request_id);
        let mut reply = Response::new(full(if silent { String::new() } else { xml.finish() }));
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        if !silent {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        if let Some(pause) = self.pause {
            let seconds = pause.as_millis().div_ceil(1000).max(1);
            headers.insert(header::RETRY_AFTER, number(seconds));
            headers.insert(metric_names::RETRY_AFTER_MS, number(pause.as_millis()));
        }
        reply
    }
}

fn number(value: u128) -> HeaderValue {
    HeaderValue::from_str(&value.to_string()).expect("digits are a header's value")
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
            StoreKind::Full => (S::INSUFFICIENT_STORAGE, "XMinioStorageFull"),
            StoreKind::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
            StoreKind::Unavailable => (S::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        };
        if status.is_server_error() {
            tracing::warn!(%error, source = ?std::error::Error::source(&error), "the store failed");
        }
        let mut told = Self::new(status, code, error.to_string());
        told.pause = error.pause().or(told.pause);
        told
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
        let mut told = Self::new(status, code, error.to_string());
        told.pause = error.retry_after().or(told.pause);
        told
    }
}
