//! The query parameters of S3 requests, sorted by name.
//!
//! Parameters that begin with `x-amz-` are headers (`headers`), except those of the signature.

use super::Meaning::{ActedOn, Nothing, Only};
use super::{Operations as O, Row, row};

/// The parameters of a signature of version 4. What else begins with `X-Amz-` is a header.
pub const SIGNATURE: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

const SIGNED: &str = "part of the signature, which is verified before";
const HEADER: &str = "a header of a URL with a signature of version 2";

const CORS: O = O::GET_BUCKET_CORS.and(O::PUT_BUCKET_CORS).and(O::DELETE_BUCKET_CORS);

/// All rows.
pub static PARAMETERS: &[Row] = &[
    row("AWSAccessKeyId", O::ALL, Nothing(SIGNED)),
    row("Expires", O::ALL, Nothing(SIGNED)),
    row("Signature", O::ALL, Nothing(SIGNED)),
    row("X-Amz-Algorithm", O::ALL, Nothing(SIGNED)),
    row("X-Amz-Content-Sha256", O::ALL, Nothing(SIGNED)),
    row("X-Amz-Credential", O::ALL, Nothing(SIGNED)),
    row("X-Amz-Date", O::ALL, Nothing(SIGNED)),
    row("X-Amz-Expires", O::ALL, Nothing(SIGNED)),
    row("X-Amz-Security-Token", O::ALL, ActedOn),
    row("X-Amz-Signature", O::ALL, Nothing(SIGNED)),
    row("X-Amz-SignedHeaders", O::ALL, Nothing(SIGNED)),
    row("attributes", O::GET_OBJECT_ATTRIBUTES, ActedOn),
    row("bucket-region", O::LIST_BUCKETS, ActedOn),
    row("content-md5", O::ALL, Nothing(HEADER)),
    row("content-type", O::ALL, Nothing(HEADER)),
    row("continuation-token", O::LIST_OBJECTS_V2.and(O::LIST_BUCKETS), ActedOn),
    row("cors", CORS, ActedOn),
    row("delete", O::DELETE_OBJECTS, ActedOn),
    row("delimiter", O::LISTINGS.and(O::LIST_UPLOADS), ActedOn),
    row("encoding-type", O::LISTINGS.and(O::LIST_UPLOADS), ActedOn),
    row("fetch-owner", O::LIST_OBJECTS_V2, ActedOn),
    row("key-marker", O::LIST_UPLOADS.and(O::LIST_VERSIONS), ActedOn),
    row("list-type", O::LIST_OBJECTS_V2, ActedOn),
    row("list-type", O::LIST_OBJECTS, Only(&["1"])),
    row("location", O::GET_BUCKET_LOCATION, ActedOn),
    row("marker", O::LIST_OBJECTS, ActedOn),
    row("max-buckets", O::LIST_BUCKETS, ActedOn),
    row("max-keys", O::LISTINGS, ActedOn),
    row("max-parts", O::LIST_PARTS, ActedOn),
    row("max-uploads", O::LIST_UPLOADS, ActedOn),
    row("part-number-marker", O::LIST_PARTS, ActedOn),
    row("partNumber", O::READ_OBJECT.and(O::UPLOAD_PART).and(O::UPLOAD_PART_COPY), ActedOn),
    row("prefix", O::LISTINGS.and(O::LIST_UPLOADS).and(O::LIST_BUCKETS), ActedOn),
    row("response-cache-control", O::READ_OBJECT, ActedOn),
    row("response-content-disposition", O::READ_OBJECT, ActedOn),
    row("response-content-encoding", O::READ_OBJECT, ActedOn),
    row("response-content-language", O::READ_OBJECT, ActedOn),
    row("response-content-type", O::READ_OBJECT, ActedOn),
    row("response-expires", O::READ_OBJECT, ActedOn),
    row("start-after", O::LIST_OBJECTS_V2, ActedOn),
    row("upload-id-marker", O::LIST_UPLOADS, ActedOn),
    row("uploadId", O::OF_UPLOAD, ActedOn),
    row("uploads", O::LIST_UPLOADS.and(O::CREATE_UPLOAD), ActedOn),
    row("version-id-marker", O::LIST_VERSIONS, ActedOn),
    row("versionId", O::READ_OBJECT.and(O::DELETE_OBJECT).and(O::GET_OBJECT_ATTRIBUTES), ActedOn),
    row("versioning", O::GET_BUCKET_VERSIONING, ActedOn),
    row("versions", O::LIST_VERSIONS, ActedOn),
    row("x-id", O::ALL, Nothing("the name of the operation, which some SDKs add")),
];
