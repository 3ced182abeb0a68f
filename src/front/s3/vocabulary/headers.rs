//! The headers of S3 requests, sorted by name.
//!
//! A header that stands here as `Refused`, or not at all, is refused; the difference is for the
//! reader. Headers of HTTP that change nothing (`host`, `accept`, …) are left out.

use super::Meaning::{ActedOn, Forwarded, Kept, Nothing, Only, Refused};
use super::{Operations as O, Row, row};

const SIGNATURE: &str = "part of the signature, which is verified before";
const OF_SDKS: &str = "describes the client";

const WITH_ACL: O = O::WITH_METADATA.and(O::CREATE_BUCKET);
const WITH_CHECKSUM: O = O::WITH_BYTES.and(O::WITH_DOCUMENT);

/// All rows.
pub static HEADERS: &[Row] = &[
    row("cache-control", O::WITH_METADATA, Kept),
    row("content-disposition", O::WITH_METADATA, Kept),
    row("content-encoding", O::WITH_METADATA, Kept),
    row("content-language", O::WITH_METADATA, Kept),
    row("content-md5", O::WITH_BYTES.and(O::WITH_DOCUMENT), ActedOn),
    // RFC 9110 §14.5: a partial PUT. S3 has none.
    row("content-range", O::ALL, Refused),
    row("content-type", O::WITH_METADATA, Kept),
    row("expires", O::WITH_METADATA, Kept),
    row("if-match", O::READ_OBJECT, ActedOn),
    row("if-match", O::PUT_OBJECT.and(O::COPY_OBJECT).and(O::POST_OBJECT), ActedOn),
    row("if-match", O::COMPLETE_UPLOAD.and(O::DELETE_OBJECT), ActedOn),
    row("if-modified-since", O::READ_OBJECT, ActedOn),
    // RFC 9110 §13.1.3: only for GET and HEAD.
    row("if-modified-since", O::ALL, Nothing("a condition of reads of an object only")),
    row("if-none-match", O::READ_OBJECT, ActedOn),
    row("if-none-match", O::PUT_OBJECT.and(O::COPY_OBJECT).and(O::POST_OBJECT), ActedOn),
    row("if-none-match", O::COMPLETE_UPLOAD, ActedOn),
    row("if-none-match", O::READS, Nothing("what is read here has no ETag")),
    row("if-range", O::READ_OBJECT, ActedOn),
    row("if-range", O::ALL, Nothing("a condition of reads of an object only")),
    row("if-unmodified-since", O::READ_OBJECT, ActedOn),
    row("if-unmodified-since", O::READS, Nothing("what is read here has no date")),
    row("range", O::READ_OBJECT, ActedOn),
    // RFC 9110 §14.2: ignored with every other method.
    row("range", O::ALL, Nothing("only an object has ranges, and only a read asks for them")),
    row("x-amz-acl", WITH_ACL, ActedOn),
    row("x-amz-api-version", O::ALL, Nothing(OF_SDKS)),
    // Account regional namespaces of bucket names, which only AWS has.
    row("x-amz-bucket-namespace", O::CREATE_BUCKET, Refused),
    row("x-amz-bucket-object-lock-enabled", O::CREATE_BUCKET, Forwarded),
    row("x-amz-bypass-governance-retention", O::DELETE_OBJECT.and(O::DELETE_OBJECTS), ActedOn),
    // CloudFront adds it to what it forwards.
    row("x-amz-cf-id", O::ALL, Nothing(OF_SDKS)),
    row("x-amz-checksum-algorithm", O::WITH_METADATA, ActedOn),
    row("x-amz-checksum-crc32", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-crc32c", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-crc64nvme", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-md5", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-mode", O::READ_OBJECT, ActedOn),
    // Some clients send it with every read.
    row("x-amz-checksum-mode", O::READS, Nothing("what is read here has no checksum")),
    row("x-amz-checksum-sha1", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-sha256", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-sha512", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-type", O::CREATE_UPLOAD.and(O::COMPLETE_UPLOAD), ActedOn),
    row("x-amz-checksum-xxhash128", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-xxhash3", WITH_CHECKSUM, ActedOn),
    row("x-amz-checksum-xxhash64", WITH_CHECKSUM, ActedOn),
    row("x-amz-content-sha256", O::POST_OBJECT, Nothing("the form is signed, not the request")),
    row("x-amz-content-sha256", O::ALL, ActedOn),
    row("x-amz-copy-source", O::COPIES, ActedOn),
    row("x-amz-copy-source-if-match", O::COPIES, ActedOn),
    row("x-amz-copy-source-if-modified-since", O::COPIES, ActedOn),
    row("x-amz-copy-source-if-none-match", O::COPIES, ActedOn),
    row("x-amz-copy-source-if-unmodified-since", O::COPIES, ActedOn),
    row("x-amz-copy-source-range", O::UPLOAD_PART_COPY, ActedOn),
    row("x-amz-copy-source-server-side-encryption-customer-algorithm", O::COPIES, Refused),
    row("x-amz-copy-source-server-side-encryption-customer-key", O::COPIES, Refused),
    row("x-amz-copy-source-server-side-encryption-customer-key-md5", O::COPIES, Refused),
    row("x-amz-date", O::ALL, Nothing(SIGNATURE)),
    row("x-amz-decoded-content-length", O::WITH_BYTES.and(O::WITH_DOCUMENT), ActedOn),
    // A bucket has one owner here: the account that asks.
    row("x-amz-expected-bucket-owner", O::ALL, ActedOn),
    row("x-amz-grant-full-control", WITH_ACL, ActedOn),
    row("x-amz-grant-read", WITH_ACL, ActedOn),
    row("x-amz-grant-read-acp", WITH_ACL, ActedOn),
    row("x-amz-grant-write", WITH_ACL, ActedOn),
    row("x-amz-grant-write-acp", WITH_ACL, ActedOn),
    row("x-amz-if-match-initiated-time", O::ABORT_UPLOAD, ActedOn),
    row("x-amz-if-match-last-modified-time", O::DELETE_OBJECT, ActedOn),
    row("x-amz-if-match-size", O::DELETE_OBJECT, ActedOn),
    row("x-amz-max-parts", O::GET_OBJECT_ATTRIBUTES, ActedOn),
    row("x-amz-meta-*", O::WITH_METADATA, Kept),
    row("x-amz-meta-*", O::READS, Nothing("S3 ignores the metadata of a read")),
    row("x-amz-metadata-directive", O::COPY_OBJECT, ActedOn),
    // s3fs says so of a copy in parts: the request's own metadata, as always at create.
    row("x-amz-metadata-directive", O::CREATE_UPLOAD, Only(&["REPLACE"])),
    row("x-amz-mfa", O::DELETE_OBJECT.and(O::DELETE_OBJECTS), Refused),
    row("x-amz-mp-object-size", O::COMPLETE_UPLOAD, ActedOn),
    row("x-amz-object-annotation-directive", O::COPY_OBJECT, Refused),
    row("x-amz-object-attributes", O::GET_OBJECT_ATTRIBUTES, ActedOn),
    row("x-amz-object-lock-event-hold", O::WITH_METADATA, Refused),
    row("x-amz-object-lock-event-hold-duration-days", O::WITH_METADATA, Refused),
    row("x-amz-object-lock-event-hold-duration-years", O::WITH_METADATA, Refused),
    row("x-amz-object-lock-legal-hold", O::WITH_METADATA, Forwarded),
    row("x-amz-object-lock-mode", O::WITH_METADATA, Forwarded),
    row("x-amz-object-lock-retain-until-date", O::WITH_METADATA, Forwarded),
    row("x-amz-object-ownership", O::CREATE_BUCKET, ActedOn),
    // Nothing here is archived, so no object has a restore status.
    row(
        "x-amz-optional-object-attributes",
        O::LISTINGS.and(O::PASSED_READS),
        Only(&["RestoreStatus"]),
    ),
    row("x-amz-part-number-marker", O::GET_OBJECT_ATTRIBUTES, ActedOn),
    row("x-amz-rename-source", O::ALL, Refused),
    row("x-amz-request-payer", O::ALL, Only(&["requester"])),
    row("x-amz-sdk-checksum-algorithm", O::ALL, ActedOn),
    // Only an empty one is taken: no key of the gateway is that of a session.
    row("x-amz-security-token", O::ALL, ActedOn),
    row("x-amz-server-side-encryption", O::WITH_METADATA, Forwarded),
    row("x-amz-server-side-encryption-aws-kms-key-id", O::WITH_METADATA, Forwarded),
    row("x-amz-server-side-encryption-bucket-key-enabled", O::WITH_METADATA, Forwarded),
    row("x-amz-server-side-encryption-context", O::WITH_METADATA, Forwarded),
    // A key of the customer's would pass through the gateway's memory and its retries.
    row("x-amz-server-side-encryption-customer-algorithm", O::ALL, Refused),
    row("x-amz-server-side-encryption-customer-key", O::ALL, Refused),
    row("x-amz-server-side-encryption-customer-key-md5", O::ALL, Refused),
    row("x-amz-source-expected-bucket-owner", O::COPIES, ActedOn),
    row("x-amz-storage-class", O::WITH_METADATA, Kept),
    row("x-amz-tagging", O::WITH_METADATA, ActedOn),
    row("x-amz-tagging-directive", O::COPY_OBJECT, ActedOn),
    row("x-amz-te", O::ALL, Nothing(OF_SDKS)),
    row("x-amz-trailer", O::WITH_BYTES.and(O::WITH_DOCUMENT), ActedOn),
    row("x-amz-user-agent", O::ALL, Nothing(OF_SDKS)),
    row("x-amz-website-redirect-location", O::WITH_METADATA, Kept),
    row("x-amz-write-offset-bytes", O::PUT_OBJECT, Refused),
];
