//! Names of figures and header fields that more than one room uses.

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
