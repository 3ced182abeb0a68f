//! Names of metrics and header fields that more than one room uses.

use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES,
};

/// Metrics, named by Prometheus' convention: counters end in `_total`.
pub const REQUESTS: &str = "ratchet_requests_total";
pub const BYTES_IN: &str = "ratchet_request_bytes_total";
pub const BYTES_OUT: &str = "ratchet_response_bytes_total";
pub const IN_FLIGHT: &str = "ratchet_requests_in_flight";
pub const CHUNKS_STORED: &str = "ratchet_chunks_stored_total";
pub const CHUNKS_KNOWN: &str = "ratchet_chunks_known_total";

/// The request id, in every response.
pub const REQUEST_ID: &str = "x-amz-request-id";
/// The value of `Retry-After` in milliseconds; botocore reads only this header.
pub const RETRY_AFTER_MS: &str = "x-amz-retry-after";

/// The content encoding of a body in S3's framing.
pub const AWS_CHUNKED: &str = "aws-chunked";
/// The length of such a body without the framing.
pub const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
/// The names of the fields in its trailer.
pub const TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");
pub const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");

/// The headers that are stored with an object beside its content type and user metadata; S3 calls
/// them system-defined metadata.
pub const SYSTEM_METADATA: [HeaderName; 5] =
    [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES];
