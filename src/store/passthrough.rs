//! Operations that the gateway passes to an S3 server: which they are, and which parameters and
//! headers each has.
//!
//! Guarantees: a request to the store consists of an operation of [`OPERATIONS`], a bucket, a key,
//! and parameters and headers that this operation has: nothing else that a client sent reaches the
//! store. It does not decide who may do what. Source: the operation's page below
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{Body, Bucket, Key};

/// What an operation acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Bucket,
    Object,
}

/// An operation that is passed to the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Operation {
    pub method: Method,
    pub level: Level,
    /// The query parameter that selects this operation; it has no value.
    pub subresource: &'static str,
    /// Its other query parameters.
    pub parameters: Names,
    /// Its headers, beside those of [`COMMON_HEADERS`].
    pub headers: Names,
}

/// Headers of every operation: those of the document in the body, the owner that the bucket must
/// have at the server, and who pays.
const COMMON_HEADERS: &[&str] = &[
    "x-amz-expected-bucket-owner",
    "x-amz-request-payer",
    "content-type",
    "content-md5",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

const ACL: Names = &[
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
];
const ID: Names = &["id"];
const ID_OR_PAGE: Names = &["id", "continuation-token"];
const VERSION: Names = &["versionId"];
const NONE: Names = &[];
const VERSIONS: Names =
    &["delimiter", "encoding-type", "key-marker", "max-keys", "prefix", "version-id-marker"];

type Names = &'static [&'static str];

const fn bucket(
    method: Method,
    subresource: &'static str,
    parameters: Names,
    headers: Names,
) -> Operation {
    Operation { method, level: Level::Bucket, subresource, parameters, headers }
}

const fn object(
    method: Method,
    subresource: &'static str,
    parameters: Names,
    headers: Names,
) -> Operation {
    Operation { method, level: Level::Object, subresource, parameters, headers }
}

/// All operations.
pub static OPERATIONS: &[Operation] = &[
    bucket(Method::GET, "accelerate", NONE, NONE),
    bucket(Method::GET, "acl", NONE, NONE),
    bucket(Method::GET, "analytics", ID_OR_PAGE, NONE),
    bucket(Method::GET, "encryption", NONE, NONE),
    bucket(Method::GET, "intelligent-tiering", ID_OR_PAGE, NONE),
    bucket(Method::GET, "inventory", ID_OR_PAGE, NONE),
    // minio-go and mc send this parameter to MinIO.
    bucket(Method::GET, "lifecycle", &["withUpdatedAt"], NONE),
    bucket(Method::GET, "logging", NONE, NONE),
    bucket(Method::GET, "metrics", ID_OR_PAGE, NONE),
    bucket(Method::GET, "notification", NONE, NONE),
    bucket(Method::GET, "object-lock", NONE, NONE),
    bucket(Method::GET, "ownershipControls", NONE, NONE),
    bucket(Method::GET, "policy", NONE, NONE),
    bucket(Method::GET, "policyStatus", NONE, NONE),
    bucket(Method::GET, "publicAccessBlock", NONE, NONE),
    bucket(Method::GET, "replication", NONE, NONE),
    bucket(Method::GET, "requestPayment", NONE, NONE),
    bucket(Method::GET, "tagging", NONE, NONE),
    bucket(Method::GET, "versions", VERSIONS, &["x-amz-optional-object-attributes"]),
    bucket(Method::GET, "website", NONE, NONE),
    bucket(Method::PUT, "accelerate", NONE, NONE),
    bucket(Method::PUT, "acl", NONE, ACL),
    bucket(Method::PUT, "analytics", ID, NONE),
    bucket(Method::PUT, "encryption", NONE, NONE),
    bucket(Method::PUT, "intelligent-tiering", ID, NONE),
    bucket(Method::PUT, "inventory", ID, NONE),
    bucket(Method::PUT, "lifecycle", NONE, &["x-amz-transition-default-minimum-object-size"]),
    bucket(Method::PUT, "logging", NONE, NONE),
    bucket(Method::PUT, "metrics", ID, NONE),
    bucket(Method::PUT, "notification", NONE, &["x-amz-skip-destination-validation"]),
    bucket(Method::PUT, "object-lock", NONE, &["x-amz-bucket-object-lock-token"]),
    bucket(Method::PUT, "ownershipControls", NONE, NONE),
    bucket(Method::PUT, "policy", NONE, &["x-amz-confirm-remove-self-bucket-access"]),
    bucket(Method::PUT, "publicAccessBlock", NONE, NONE),
    bucket(Method::PUT, "replication", NONE, &["x-amz-bucket-object-lock-token"]),
    bucket(Method::PUT, "requestPayment", NONE, NONE),
    bucket(Method::PUT, "tagging", NONE, NONE),
    bucket(Method::PUT, "versioning", NONE, &["x-amz-mfa"]),
    bucket(Method::PUT, "website", NONE, NONE),
    bucket(Method::DELETE, "analytics", ID, NONE),
    bucket(Method::DELETE, "encryption", NONE, NONE),
    bucket(Method::DELETE, "intelligent-tiering", ID, NONE),
    bucket(Method::DELETE, "inventory", ID, NONE),
    bucket(Method::DELETE, "lifecycle", NONE, NONE),
    bucket(Method::DELETE, "metrics", ID, NONE),
    bucket(Method::DELETE, "ownershipControls", NONE, NONE),
    bucket(Method::DELETE, "policy", NONE, NONE),
    bucket(Method::DELETE, "publicAccessBlock", NONE, NONE),
    bucket(Method::DELETE, "replication", NONE, NONE),
    bucket(Method::DELETE, "tagging", NONE, NONE),
    bucket(Method::DELETE, "website", NONE, NONE),
    object(Method::GET, "acl", VERSION, NONE),
    object(Method::GET, "legal-hold", VERSION, NONE),
    object(Method::GET, "retention", VERSION, NONE),
    object(Method::GET, "tagging", VERSION, NONE),
    object(Method::GET, "torrent", NONE, NONE),
    object(Method::PUT, "acl", VERSION, ACL),
    object(Method::PUT, "legal-hold", VERSION, NONE),
    object(Method::PUT, "retention", VERSION, &["x-amz-bypass-governance-retention"]),
    object(Method::PUT, "tagging", VERSION, NONE),
    object(Method::DELETE, "tagging", VERSION, NONE),
    object(Method::POST, "restore", VERSION, NONE),
    object(Method::POST, "select", &["select-type"], NONE),
];

impl Operation {
    /// The operation of a method on a subresource; None where there is no such operation.
    pub fn find(method: &Method, level: Level, subresource: &str) -> Option<&'static Self> {
        let matches = |operation: &&Self| {
            operation.method == *method
                && operation.level == level
                && operation.subresource == subresource
        };
        OPERATIONS.iter().find(matches)
    }

    pub fn has_header(&self, name: &str) -> bool {
        COMMON_HEADERS.contains(&name) || self.headers.contains(&name)
    }

    pub fn has_parameter(&self, name: &str) -> bool {
        name == self.subresource || self.parameters.contains(&name)
    }
}

/// A request that is passed to the server.
#[derive(Clone, Debug)]
pub struct Passthrough {
    operation: &'static Operation,
    bucket: Bucket,
    key: Key,
    parameters: Vec<(&'static str, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

impl Passthrough {
    /// `key` is empty for an operation on the bucket.
    pub fn new(operation: &'static Operation, bucket: Bucket, key: Key, body: Bytes) -> Self {
        Self { operation, bucket, key, parameters: Vec::new(), headers: Vec::new(), body }
    }

    /// Adds a parameter, with its decoded value, if the operation has it.
    pub fn add_parameter(&mut self, name: &str, value: &str) {
        let known = self.operation.parameters.iter().find(|known| **known == name);
        self.parameters.extend(known.map(|known| (*known, value.to_owned())));
    }

    /// Adds a header, if the operation has it.
    pub fn add_header(&mut self, name: &HeaderName, value: &HeaderValue) {
        if self.operation.has_header(name.as_str()) {
            self.headers.push((name.clone(), value.clone()));
        }
    }

    pub fn operation(&self) -> &'static Operation {
        self.operation
    }

    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub fn key(&self) -> &Key {
        &self.key
    }

    pub fn parameters(&self) -> &[(&'static str, String)] {
        &self.parameters
    }

    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }
}

/// The server's response, successful or not.
#[derive(Debug)]
pub struct PassthroughAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_operation_exists_once_and_has_plain_names() {
        let mut seen = BTreeSet::new();
        for operation in OPERATIONS {
            let Operation { method, level, subresource, parameters, headers } = operation;
            assert!(seen.insert(format!("{method} {level:?} {subresource}")), "{operation:?}");
            assert_eq!(Operation::find(method, *level, subresource), Some(operation));
            let plain = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            assert!(
                [&[*subresource], *parameters, *headers].concat().iter().all(plain),
                "{operation:?}"
            );
            assert!(
                headers.iter().all(|name| HeaderName::from_lowercase(name.as_bytes()).is_ok()),
                "{operation:?}"
            );
            assert!(headers.iter().all(|name| !name.starts_with("x-amz-meta-")), "{operation:?}");
        }
    }

    #[test]
    fn parameters_and_headers_of_other_operations_are_not_passed() {
        let operation = Operation::find(&Method::PUT, Level::Object, "tagging").unwrap();
        let mut request = Passthrough::new(operation, "b".into(), "k".into(), Bytes::new());
        for (name, value) in [("versionId", "v"), ("tagging", ""), ("uploadId", "u"), ("acl", "")] {
            request.add_parameter(name, value);
        }
        for name in [
            "content-type",
            "x-amz-acl",
            "x-amz-meta-snowball-auto-extract",
            "authorization",
            "if-match",
        ] {
            request.add_header(&HeaderName::from_static(name), &HeaderValue::from_static("x"));
        }
        assert_eq!(request.parameters(), [("versionId", "v".to_owned())]);
        assert_eq!(
            request.headers().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["content-type"]
        );
        for (method, level, subresource) in [
            (Method::PUT, Level::Object, "website"),
            (Method::PUT, Level::Object, "renameObject"),
            (Method::GET, Level::Bucket, "tagging "),
            (Method::POST, Level::Bucket, "restore"),
        ] {
            assert_eq!(
                Operation::find(&method, level, subresource),
                None,
                "{method} {subresource}"
            );
        }
    }
}
