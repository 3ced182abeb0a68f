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
pub const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");
pub const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");

/// The prefix of headers with the user metadata of an object.
pub const METADATA_PREFIX: &str = "x-amz-meta-";

/// The headers that are stored with an object beside its content type and user metadata; S3 calls
/// them system-defined metadata.
pub static SYSTEM_METADATA: [HeaderName; 5] =
    [CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, EXPIRES];

/// The page or object that a website sends the visitors of an object to.
pub static WEBSITE_REDIRECT: HeaderName =
    HeaderName::from_static("x-amz-website-redirect-location");
/// The storage class of an object; absent means STANDARD.
pub const STORAGE_CLASS: HeaderName = HeaderName::from_static("x-amz-storage-class");
/// What a server encrypts an object with.
pub const ENCRYPTION: HeaderName = HeaderName::from_static("x-amz-server-side-encryption");

/// Headers that ask an S3 server for more than to keep bytes and metadata. They are passed to it,
/// and what it says of them is passed back.
pub static SERVER_SIDE: [HeaderName; 8] = [
    STORAGE_CLASS,
    ENCRYPTION,
    HeaderName::from_static("x-amz-server-side-encryption-aws-kms-key-id"),
    HeaderName::from_static("x-amz-server-side-encryption-bucket-key-enabled"),
    HeaderName::from_static("x-amz-server-side-encryption-context"),
    HeaderName::from_static("x-amz-object-lock-legal-hold"),
    HeaderName::from_static("x-amz-object-lock-mode"),
    HeaderName::from_static("x-amz-object-lock-retain-until-date"),
];

/// Headers of a response that tell what a server did or will do with an object.
pub static SERVER_STATE: [HeaderName; 4] = [
    HeaderName::from_static("x-amz-expiration"),
    HeaderName::from_static("x-amz-replication-status"),
    HeaderName::from_static("x-amz-restore"),
    HeaderName::from_static("x-amz-missing-meta"),
];

/// The user metadata in which the gateway keeps the checksum that a client stated of an object.
/// Clients can neither set nor see it.
pub const STATED_CHECKSUM: &str = "ratchet-checksum";

/// The prefix of headers with a checksum, and of three that say something about one.
pub const CHECKSUM_PREFIX: &str = "x-amz-checksum-";
/// The algorithm of the checksum that an upload, a copy or a form is to have.
pub const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-checksum-algorithm");
