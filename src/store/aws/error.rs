//! S3's error codes as the store's kinds.
//!
//! Guarantees: decided by the parsed code, never by a piece of the text; a status alone decides
//! only where there is no code (HEAD, proxies). 412 is `Precondition`, 409
//! `ConditionalRequestConflict` is `Conflict`: "you lost" and "try again" stay apart. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>; BACKENDS.md.

use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::{Error, Kind};

/// The kind of an error answer. `code` is empty where the answer had none.
pub(super) fn kind(status: u16, code: &str) -> Kind {
    match code {
        "NoSuchKey" | "NoSuchVersion" | "NotFound" => Kind::NotFound,
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
        // Its HTTP, not its S3, could make nothing of the request: it is not as it was sent.
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

/// An error of the SDK. A call without an answer may have happened: `Unavailable`.
pub(super) fn of_sdk<E>(what: &str, error: SdkError<E, HttpResponse>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
    let retry_after =
        error.raw_response().and_then(|answer| pause(answer.headers().get("retry-after")));
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code)
        .unwrap_or_default()
        .to_owned();
    refused(what, status, &code, retry_after).because(error)
}

/// An error answer.
pub(super) fn refused(what: &str, status: u16, code: &str, retry_after: Option<Duration>) -> Error {
    let said = match (status, code) {
        (0, _) => "got no answer".to_owned(),
        (status, "") => format!("was answered {status}"),
        (status, code) => format!("was answered {status} {code}"),
    };
    let error = Error::new(kind(status, code), format!("{what} {said}"));
    match retry_after {
        Some(pause) => error.retry_after(pause),
        None => error,
    }
}

/// `Retry-After` in seconds.
pub(super) fn pause(header: Option<&str>) -> Option<Duration> {
    header?.parse().ok().map(Duration::from_secs)
}

/// The text of `<Code>` in an error document; empty where there is none.
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
