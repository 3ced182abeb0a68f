//! S3 error responses: the code, status and message for each failure.
//!
//! Guarantees: every failure has a code of S3's, which clients act on; the message is for a person;
//! the cause of a failure goes to the log only. This is the only file of the S3 front that maps
//! failures to statuses. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! docs/backends.md#error-codes-that-tools-expect.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::attributes;
use super::copy_source::COPY_SOURCE_RANGE;
use super::sentences::sentence;
use super::xml::Xml;
use crate::header_names;
use crate::object::{CopyError, Marker, ReadError, StoreError, StoreKind};
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
    /// Boxed, because few failures have any.
    extras: Option<Box<Extras>>,
}

/// What some failures say beside code and message.
#[derive(Clone, Debug, Default)]
struct Extras {
    headers: Vec<(HeaderName, HeaderValue)>,
    elements: Vec<(&'static str, String)>,
}

impl S3Error {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let retry_after =
            (status == StatusCode::SERVICE_UNAVAILABLE).then_some(DEFAULT_RETRY_AFTER);
        Self { code, status, message: message.into(), retry_after, extras: None }
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

    /// `resource`: the kind that S3 names, in capitals.
    pub fn method_not_allowed(method: &Method, resource: &str) -> Self {
        let message = format!("{method} is not allowed here");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
            .with_element("Method", method)
            .with_element("ResourceType", resource)
    }

    /// A document is longer than this.
    pub fn too_long(max_bytes: usize) -> Self {
        let message = format!("a document has at most {max_bytes} bytes here");
        Self::new(StatusCode::BAD_REQUEST, "MaxMessageLengthExceeded", message)
            .with_element("MaxMessageLengthBytes", max_bytes)
    }

    pub fn denied() -> Self {
        Self::access_denied("the account has no permission for this")
    }

    /// S3 has several sentences with this code; this is the general one.
    fn access_denied(detail: impl ToString) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied.")
            .with_element("Detail", detail)
    }

    /// `header` names an owner whom the client expects, and who is another.
    pub fn other_owner(header: &str) -> Self {
        let message = format!("the bucket does not belong to the account that {header} names");
        Self::access_denied(message)
    }

    /// The body ended early, or its framing is broken.
    pub fn incomplete_body(detail: impl ToString) -> Self {
        Self::of_body("The request body terminated unexpectedly", detail)
    }

    /// The body does not have its declared length.
    fn wrong_length(detail: impl ToString) -> Self {
        let message =
            "You did not provide the number of bytes specified by the Content-Length HTTP header";
        Self::of_body(message, detail)
    }

    fn of_body(message: &str, detail: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "IncompleteBody", message).with_element("Detail", detail)
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

    /// For a header whose value S3 does not implement either, in S3's words.
    pub fn header_not_implemented(name: &HeaderName) -> Self {
        let message = "A header you provided implies functionality that is not implemented.";
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
            .with_element("Header", name)
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

    /// The failure with a header; a value that is none is left out.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_bytes(value.as_bytes()).ok();
        let headers = &mut self.extras.get_or_insert_default().headers;
        headers.extend(value.map(|value| (name, value)));
        self
    }

    /// The failure with an element in its document.
    #[must_use]
    pub fn with_element(mut self, name: &'static str, value: impl ToString) -> Self {
        self.extras.get_or_insert_default().elements.push((name, value.to_string()));
        self
    }

    /// The failure with the header, parameter or field that has a wrong value.
    #[must_use]
    pub fn with_argument(self, name: &'static str, value: Option<&str>) -> Self {
        let failure = self.with_element("ArgumentName", name);
        match value {
            Some(value) => failure.with_element("ArgumentValue", value),
            None => failure,
        }
    }

    pub fn message(&self) -> &str {
        &self.message
    }

    /// The response. It has no body for HEAD and with status 304.
    pub fn reply(&self, method: &Method, resource: &str, request_id: &str) -> Reply {
        let without_body = *method == Method::HEAD || self.status == StatusCode::NOT_MODIFIED;
        let mut xml = Xml::error();
        let sentence = sentence(self.code);
        xml.element("Code", self.code).element("Message", sentence.unwrap_or(&self.message));
        // What S3's sentence does not say.
        xml.maybe("Detail", sentence.map(|_| &self.message)).element("Resource", resource);
        let extras = self.extras.as_deref();
        for (name, value) in extras.into_iter().flat_map(|extras| &extras.elements) {
            xml.element(name, value);
        }
        xml.element("RequestId", request_id);
        let mut reply =
            Response::new(full(if without_body { String::new() } else { xml.finish() }));
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        if !without_body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        for (name, value) in extras.into_iter().flat_map(|extras| &extras.headers) {
            headers.insert(name.clone(), value.clone());
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
            web::Kind::UnsupportedSignature => (S::BAD_REQUEST, "InvalidRequest"),
            web::Kind::InvalidSignatureArgument => (S::BAD_REQUEST, "InvalidArgument"),
            web::Kind::Unauthorized => (S::BAD_REQUEST, "AuthorizationHeaderMalformed"),
            web::Kind::MalformedUrlSignature => {
                (S::BAD_REQUEST, "AuthorizationQueryParametersError")
            }
            web::Kind::UnknownAccessKey => (S::FORBIDDEN, "InvalidAccessKeyId"),
            web::Kind::InvalidToken => (S::BAD_REQUEST, "InvalidToken"),
            web::Kind::Unsigned => return Self::access_denied(error),
            web::Kind::NotCovered | web::Kind::Expired => (S::FORBIDDEN, "AccessDenied"),
            web::Kind::Skewed => (S::FORBIDDEN, "RequestTimeTooSkewed"),
            web::Kind::SignatureMismatch => (S::FORBIDDEN, "SignatureDoesNotMatch"),
            web::Kind::LengthRequired => (S::LENGTH_REQUIRED, "MissingContentLength"),
            web::Kind::RequestTimeout => (S::BAD_REQUEST, "RequestTimeout"),
            web::Kind::InvalidDigest => (S::BAD_REQUEST, "InvalidDigest"),
            web::Kind::BadDigest => (S::BAD_REQUEST, "BadDigest"),
            web::Kind::PayloadMismatch => (S::BAD_REQUEST, "XAmzContentSHA256Mismatch"),
            web::Kind::IncompleteBody => return Self::incomplete_body(error),
            web::Kind::WrongLength => return Self::wrong_length(error),
            web::Kind::MalformedTrailer => (S::BAD_REQUEST, "MalformedTrailerError"),
            web::Kind::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
        };
        let failure = Self::new(status, code, error.to_string());
        match error.detail() {
            Some(detail) => failure.with_detail(detail),
            None => failure,
        }
    }
}

impl From<StoreError> for S3Error {
    fn from(error: StoreError) -> Self {
        use StatusCode as S;
        let (status, code) = match error.kind() {
            StoreKind::NotFound => (S::NOT_FOUND, "NoSuchKey"),
            StoreKind::NoSuchVersion => (S::NOT_FOUND, "NoSuchVersion"),
            StoreKind::DeleteMarker => (S::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
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
            StoreKind::Body => return Self::incomplete_body(error),
            StoreKind::Denied => (S::FORBIDDEN, "AccessDenied"),
            StoreKind::Invalid => (S::BAD_REQUEST, "InvalidArgument"),
            StoreKind::Unsupported => (S::NOT_IMPLEMENTED, "NotImplemented"),
            StoreKind::Full => (S::INSUFFICIENT_STORAGE, "XMinioStorageFull"),
            StoreKind::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
            StoreKind::Unavailable => (S::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        };
        // The store knows the gateway's key only, so its refusal may be the operator's to mend.
        if status.is_server_error() || error.kind() == StoreKind::Denied {
            tracing::warn!(%error, source = ?std::error::Error::source(&error), "the store failed");
        }
        let mut failure = if error.kind() == StoreKind::Denied {
            Self::access_denied(&error)
        } else {
            Self::new(status, code, error.to_string())
        };
        failure.retry_after = error.pause().or(failure.retry_after);
        match error.marker() {
            Some(marker) => failure.at_marker(marker),
            None => failure,
        }
    }
}

impl S3Error {
    /// With what S3 says of the delete marker that was found in place of the object.
    fn at_marker(self, marker: &Marker) -> Self {
        let not_allowed = self.status == StatusCode::METHOD_NOT_ALLOWED;
        let mut failure = self.with_header(header_names::DELETE_MARKER, "true");
        if let Some(version) = &marker.version {
            failure = failure.with_header(header_names::VERSION_ID, version);
        }
        if not_allowed {
            failure = failure.with_header(header::ALLOW, "DELETE");
            if let Some(modified) = marker.modified {
                let date = httpdate::fmt_http_date(modified);
                failure = failure.with_header(header::LAST_MODIFIED, &date);
            }
        }
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
            ReadError::Precondition => Self::precondition(),
            ReadError::NotModified(stored) => attributes::validators(&stored)
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.to_str().ok()?)))
                .fold(Self::not_modified(), |error, (name, value)| error.with_header(name, value)),
            ReadError::NoSuchPart { number, count } => unsatisfiable("InvalidPartNumber")
                .with_element("PartNumberRequested", number)
                .with_element("ActualPartCount", count),
            ReadError::Range { size_bytes } => unsatisfiable("InvalidRange")
                .with_element("ActualObjectSize", size_bytes)
                .with_header(header::CONTENT_RANGE, &format!("bytes */{size_bytes}")),
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
            CopyError::Range { size_bytes } => Self::invalid(message)
                .with_argument(COPY_SOURCE_RANGE, Some(&size_bytes.to_string())),
        }
    }
}

impl From<upload::Error> for S3Error {
    fn from(error: upload::Error) -> Self {
        use StatusCode as S;
        if let upload::Error::ConditionFailed { missing: true } = error {
            return Self::new(S::NOT_FOUND, "NoSuchKey", error.to_string());
        }
        let (status, code) = match error.kind() {
            upload::Kind::ConditionFailed => return Self::precondition(),
            upload::Kind::BadRequest
            | upload::Kind::NoSuchChunk
            | upload::Kind::DigestUnavailable => (S::BAD_REQUEST, "InvalidRequest"),
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
            upload::Kind::BodyBroken => return Self::incomplete_body(error),
            upload::Kind::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown"),
            upload::Kind::StoreFull => (S::INSUFFICIENT_STORAGE, "XMinioStorageFull"),
            upload::Kind::StoreUnavailable => (S::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            upload::Kind::Denied => (S::FORBIDDEN, "AccessDenied"),
            upload::Kind::Internal => (S::INTERNAL_SERVER_ERROR, "InternalError"),
        };
        if status.is_server_error() || error.kind() == upload::Kind::Denied {
            tracing::warn!(%error, source = ?std::error::Error::source(&error), "an upload failed");
        }
        let mut failure = Self::new(status, code, error.to_string());
        failure.retry_after = error.retry_after().or(failure.retry_after);
        failure
    }
}
