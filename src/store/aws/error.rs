//! S3's error codes as the store's kinds.
//!
//! Guarantees: decided by the parsed code, never by a part of the message; the status alone decides
//! only without a known code (HEAD, proxies). 412 is `Precondition`, 409
//! `ConditionalRequestConflict` is `Conflict`: "does not hold" and "try again" are distinct.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>;
//! docs/backends.md#refused-and-contended-conditional-writes.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::{Error, Kind};

/// The kind of an error response. `code` is empty if the response has none.
pub(super) fn kind(status: u16, code: &str) -> Kind {
    match code {
        "NoSuchKey" | "NotFound" => Kind::NotFound,
        "NoSuchVersion" => Kind::NoSuchVersion,
        "NoSuchBucket" => Kind::NoSuchBucket,
        "NoSuchUpload" => Kind::NoSuchUpload,
        "PreconditionFailed" => Kind::Precondition,
        "ConditionalRequestConflict" | "OperationAborted" => Kind::Conflict,
        "InvalidPart" | "InvalidPartOrder" => Kind::InvalidPart,
        "EntityTooSmall" => Kind::TooSmall,
        "InvalidRange" => Kind::Range,
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch" => Kind::Checksum,
        "BucketAlreadyExists" | "BucketAlreadyOwnedByYou" => Kind::BucketExists,
        "BucketNotEmpty" => Kind::BucketNotEmpty,
        "SlowDown" | "ServiceUnavailable" | "TooManyRequests" | "RequestLimitExceeded" => {
            Kind::SlowDown
        }
        "AccessDenied"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "RequestTimeTooSkewed"
        | "AuthorizationHeaderMalformed"
        | "AuthorizationQueryParametersError"
        | "MalformedDate"
        | "MissingFields"
        | "MissingSecurityHeader" => Kind::Denied,
        "XMinioStorageFull" | "QuotaExceeded" | "XMinioAdminBucketQuotaExceeded" => Kind::Full,
        "InvalidArgument"
        | "InvalidBucketName"
        | "KeyTooLongError"
        | "MetadataTooLarge"
        | "EntityTooLarge"
        | "XMinioInvalidObjectName"
        | "InvalidRequest" => Kind::Invalid,
        "IncompleteBody" | "RequestTimeout" => Kind::Unavailable,
        // The server's HTTP parser refused the request, not its S3 code: it was damaged on the way.
        "" if status == 400 => Kind::Unavailable,
        _ => by_status(status),
    }
}

fn by_status(status: u16) -> Kind {
    match status {
        304 => Kind::NotModified,
        400 => Kind::Invalid,
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        412 => Kind::Precondition,
        416 => Kind::Range,
        429 | 503 => Kind::SlowDown,
        507 => Kind::Full,
        _ => Kind::Unavailable,
    }
}

/// An error of the SDK. A call without a response may have happened: `Unavailable`. A request that
/// the SDK cannot build was not sent: `Invalid`, as its names and attributes are the client's.
pub(super) fn from_sdk<E>(what: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return Error::new(Kind::Invalid, format!("{what} cannot be sent to the store"))
            .because(error);
    }
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let delay = error
        .raw_response()
        .and_then(|response| retry_after(response.headers().get("retry-after")));
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default()
        .to_owned();
    error_response(what, status, &code, delay).because(error)
}

/// The error for an error response; status 0 means none.
pub(super) fn error_response(
    what: &str,
    status: u16,
    code: &str,
    retry_after: Option<Duration>,
) -> Error {
    let outcome = match (status, code) {
        (0, _) => "got no response".to_owned(),
        (status, "") => format!("was answered {status}"),
        (status, code) => format!("was answered {status} {code}"),
    };
    let error = Error::new(kind(status, code), format!("{what} {outcome}"));
    match retry_after {
        Some(delay) => error.retry_after(delay),
        None => error,
    }
}

/// `Retry-After` in seconds.
pub(super) fn retry_after(header: Option<&str>) -> Option<Duration> {
    header?.parse().ok().map(Duration::from_secs)
}

/// The text of `<Code>` in an error document; empty if there is none.
pub(super) fn code(document: &[u8]) -> String {
    let mut reader = Reader::from_reader(document);
    let mut in_code = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => in_code = tag.local_name().as_ref() == "Code",
            Ok(Event::Text(text)) if in_code => {
                let text: &str = text.as_ref();
                return text.trim().to_owned();
            }
            Ok(Event::Eof) | Err(_) => return String::new(),
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_decide_before_statuses() {
        assert_eq!(kind(409, "ConditionalRequestConflict"), Kind::Conflict);
        assert_eq!(kind(412, ""), Kind::Precondition);
        assert_eq!(kind(404, "NoSuchUpload"), Kind::NoSuchUpload);
        assert_eq!(kind(500, "UnknownError"), Kind::Unavailable);
        assert_eq!(kind(400, "BadDigest"), Kind::Checksum);
        assert_eq!(kind(0, ""), Kind::Unavailable);
        assert_eq!(kind(400, ""), Kind::Unavailable);
        assert_eq!(kind(400, "MalformedDate"), Kind::Denied);
        assert_eq!(kind(400, "Whatever"), Kind::Invalid);
    }

    #[test]
    fn the_code_is_read_from_the_document() {
        let document = b"<?xml version=\"1.0\"?><Error><Code>NoSuchUpload</Code><Message>Code</Message></Error>";
        assert_eq!(code(document), "NoSuchUpload");
        for bad in [&b""[..], b"<html>Bad Gateway</html>", b"<Error><Code", b"\xff\xfe"] {
            assert_eq!(code(bad), "");
        }
    }
}
