//! Names of figures and header fields that more than one room uses.

use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES,
};

/// Figures, as Prometheus has them: `_total` on what only grows.
pub const REQUESTS: &str = "ratchet_requests_total";
pub const BYTES_IN: &str = "ratchet_request_bytes_total";
pub const BYTES_OUT: &str = "ratchet_response_bytes_total";
pub const IN_FLIGHT: &str = "ratchet_requests_in_flight";
pub const CHUNKS_STORED: &str = "ratchet_chunks_stored_total";
pub const CHUNKS_KNOWN: &str = "ratchet_chunks_known_total";

/// The id of a request, on every answer.
pub const REQUEST_ID: &str = "x-amz-request-id";
/// As `Retry-After`, in milliseconds: botocore reads only this one.
pub const RETRY_AFTER_MS: &str = "x-amz-retry-after";

/// A body in S3's framing: its content encoding, its bytes without the framing, and what its
/// trailer carries.
pub const FRAMING: &str = "aws-chunked";
pub const DECODED_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
pub const TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");
pub const VERSION: HeaderName = HeaderName::from_static("x-amz-version-id");

/// What an object keeps beside its type and user metadata: what S3 calls system-defined metadata
/// that a client sets.
pub const KEPT: [HeaderName; 5] =
    [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES];
