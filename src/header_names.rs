//! Names of header fields that more than one room uses.

use http::HeaderName;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES,
};

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
