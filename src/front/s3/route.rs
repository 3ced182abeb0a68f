//! Finds the operation of a request from its method, bucket, key, and the subresource in its query.
//!
//! Guarantees: a request with a subresource of `SUBRESOURCES` is never taken for a plain GET or PUT
//! of the object. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>.

use http::{HeaderMap, Method};

use super::copy_source::COPY_SOURCE;
use super::error::S3Error;
use crate::names::{Bucket, Key};
use crate::object::{Level, Operation};
use crate::web::{Query, bucket_of_host, segments};

/// An operation of the S3 API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum S3Operation {
    ListBuckets,
    CreateBucket,
    HeadBucket,
    DeleteBucket,
    GetBucketLocation,
    GetBucketVersioning,
    GetBucketCors,
    PutBucketCors,
    DeleteBucketCors,
    ListObjects,
    ListObjectsV2,
    ListObjectVersions,
    DeleteObjects,
    ListMultipartUploads,
    PostObject,
    GetObject,
    HeadObject,
    PutObject,
    CopyObject,
    DeleteObject,
    GetObjectAttributes,
    CreateMultipartUpload,
    UploadPart,
    UploadPartCopy,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
    /// Implemented only by an S3 server behind the gateway.
    PassThrough(&'static Operation),
}

impl S3Operation {
    /// All but those that are passed through.
    #[cfg(any(test, feature = "testing"))]
    pub const ALL: [Self; 27] = [
        Self::ListBuckets,
        Self::CreateBucket,
        Self::HeadBucket,
        Self::DeleteBucket,
        Self::GetBucketLocation,
        Self::GetBucketVersioning,
        Self::GetBucketCors,
        Self::PutBucketCors,
        Self::DeleteBucketCors,
        Self::ListObjects,
        Self::ListObjectsV2,
        Self::ListObjectVersions,
        Self::DeleteObjects,
        Self::ListMultipartUploads,
        Self::PostObject,
        Self::GetObject,
        Self::HeadObject,
        Self::PutObject,
        Self::CopyObject,
        Self::DeleteObject,
        Self::GetObjectAttributes,
        Self::CreateMultipartUpload,
        Self::UploadPart,
        Self::UploadPartCopy,
        Self::CompleteMultipartUpload,
        Self::AbortMultipartUpload,
        Self::ListParts,
    ];

    /// The name in metrics and log lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListBuckets => "s3-list-buckets",
            Self::CreateBucket => "s3-create-bucket",
            Self::HeadBucket => "s3-head-bucket",
            Self::DeleteBucket => "s3-delete-bucket",
            Self::GetBucketLocation => "s3-get-bucket-location",
            Self::GetBucketVersioning => "s3-get-bucket-versioning",
            Self::GetBucketCors => "s3-get-bucket-cors",
            Self::PutBucketCors => "s3-put-bucket-cors",
            Self::DeleteBucketCors => "s3-delete-bucket-cors",
            Self::ListObjects => "s3-list-objects",
            Self::ListObjectsV2 => "s3-list-objects-v2",
            Self::ListObjectVersions => "s3-list-object-versions",
            Self::DeleteObjects => "s3-delete-objects",
            Self::ListMultipartUploads => "s3-list-multipart-uploads",
            Self::PostObject => "s3-post-object",
            Self::GetObject => "s3-get-object",
            Self::HeadObject => "s3-head-object",
            Self::PutObject => "s3-put-object",
            Self::CopyObject => "s3-copy-object",
            Self::DeleteObject => "s3-delete-object",
            Self::GetObjectAttributes => "s3-get-object-attributes",
            Self::CreateMultipartUpload => "s3-create-multipart-upload",
            Self::UploadPart => "s3-upload-part",
            Self::UploadPartCopy => "s3-upload-part-copy",
            Self::CompleteMultipartUpload => "s3-complete-multipart-upload",
            Self::AbortMultipartUpload => "s3-abort-multipart-upload",
            Self::ListParts => "s3-list-parts",
            Self::PassThrough(_) => "s3-other",
        }
    }

    /// The name in S3's documentation, for messages.
    pub fn s3_name(self) -> String {
        if let Self::PassThrough(passed) = self {
            return format!("{} ?{}", passed.method, passed.subresource);
        }
        // Each variant is named as in S3.
        format!("{self:?}")
    }
}

/// The bucket and key of a request; both may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub bucket: Bucket,
    pub key: Key,
}

/// Query parameters that select another operation, whether the gateway, a store or neither
/// implements it. Source: the pages of the operations, and a parameter of other servers (`append`).
const SUBRESOURCES: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "append",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
];

/// The bucket and key of a request: path-style, or virtual-hosted if the host is a bucket below
/// `domain`. **Errors**: `InvalidURI`.
pub fn target(path: &str, headers: &HeaderMap, domain: Option<&str>) -> Result<Target, S3Error> {
    let invalid = |_| {
        S3Error::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidURI",
            "the path is not percent-encoded UTF-8",
        )
    };
    let names = segments(path).map_err(invalid)?;
    if let Some(bucket) = domain.and_then(|domain| bucket_of_host(headers, domain)) {
        return Ok(Target { bucket: bucket.into(), key: names.join("/").into() });
    }
    let (bucket, key) = names
        .split_first()
        .map_or_else(Default::default, |(first, rest)| (first.clone(), rest.join("/")));
    if bucket.is_empty() && !key.is_empty() {
        return Err(S3Error::new(
            http::StatusCode::BAD_REQUEST,
            "InvalidURI",
            "the path has a key but no bucket",
        ));
    }
    Ok(Target { bucket: bucket.into(), key: key.into() })
}

/// **Errors**: `NotImplemented`, which names the subresource; `MethodNotAllowed` without one;
/// `InvalidRequest` and `InvalidArgument` for what belongs to other operations, and for two
/// subresources, because the store could use the other one.
pub fn route(
    method: &Method,
    target: &Target,
    query: &Query,
    headers: &HeaderMap,
) -> Result<S3Operation, S3Error> {
    let mut given = SUBRESOURCES.iter().copied().filter(|name| query.get(name).is_some());
    let subresource = given.next();
    if let (Some(one), Some(two)) = (subresource, given.next()) {
        return Err(S3Error::invalid(format!(
            "the query parameters {one} and {two} exclude each other"
        )));
    }
    if let Some(error) = misuse(method, target, subresource, query, headers) {
        return Err(error);
    }
    let operation = match (target.bucket.is_empty(), target.key.is_empty()) {
        (true, _) => service(method, subresource),
        (false, true) => bucket(method, subresource, query),
        (false, false) => object(method, subresource, query, headers),
    };
    operation.ok_or_else(|| {
        if let Some(subresource) = subresource {
            return S3Error::not_implemented(&format!("{method} ?{subresource}"));
        }
        let resource = match (target.bucket.is_empty(), target.key.is_empty()) {
            (true, _) => "SERVICE",
            (false, true) => "BUCKET",
            (false, false) => "OBJECT",
        };
        S3Error::method_not_allowed(method, resource)
    })
}

/// What S3 answers to a request that is no operation because of one name in it.
fn misuse(
    method: &Method,
    target: &Target,
    subresource: Option<&str>,
    query: &Query,
    headers: &HeaderMap,
) -> Option<S3Error> {
    let may_copy = *method == Method::PUT;
    let may_be_other = *method == Method::POST && subresource != Some("uploadId");
    if !may_copy
        && !may_be_other
        && let Some(source) = headers.get(COPY_SOURCE)
    {
        let message = "You can only specify a copy source header for copy requests.";
        let source = String::from_utf8_lossy(source.as_bytes());
        return Some(S3Error::invalid(message).with_argument(COPY_SOURCE, Some(&source)));
    }
    if target.key.is_empty() {
        return None;
    }
    let part = query.get("partNumber");
    match (method.as_str(), subresource) {
        ("PUT", None) if part.is_some() => {
            let message = "This operation does not accept partNumber without uploadId";
            Some(S3Error::invalid(message).with_argument("partNumber", part))
        }
        ("PUT", Some("uploadId")) if part.is_none() => {
            Some(S3Error::method_not_allowed(method, "UPLOAD"))
        }
        ("GET", Some("uploads")) => Some(S3Error::invalid_request(
            "Key is not expected for the GET method ?uploads subresource",
        )),
        ("GET", Some("versions")) => Some(S3Error::invalid_request(
            "There is no such thing as the ?versions sub-resource for a key",
        )),
        _ => None,
    }
}

fn service(method: &Method, subresource: Option<&str>) -> Option<S3Operation> {
    (*method == Method::GET && subresource.is_none()).then_some(S3Operation::ListBuckets)
}

fn bucket(method: &Method, subresource: Option<&str>, query: &Query) -> Option<S3Operation> {
    Some(match (method.as_str(), subresource) {
        ("PUT", None) => S3Operation::CreateBucket,
        ("HEAD", None) => S3Operation::HeadBucket,
        ("DELETE", None) => S3Operation::DeleteBucket,
        ("GET", None) if query.get("list-type") == Some("2") => S3Operation::ListObjectsV2,
        ("GET", None) => S3Operation::ListObjects,
        ("GET", Some("location")) => S3Operation::GetBucketLocation,
        ("GET", Some("versioning")) => S3Operation::GetBucketVersioning,
        ("GET", Some("versions")) => S3Operation::ListObjectVersions,
        ("GET", Some("cors")) => S3Operation::GetBucketCors,
        ("PUT", Some("cors")) => S3Operation::PutBucketCors,
        ("DELETE", Some("cors")) => S3Operation::DeleteBucketCors,
        ("GET", Some("uploads")) => S3Operation::ListMultipartUploads,
        ("POST", Some("delete")) => S3Operation::DeleteObjects,
        ("POST", None) => S3Operation::PostObject,
        (_, Some(subresource)) => {
            S3Operation::PassThrough(Operation::find(method, Level::Bucket, subresource)?)
        }
        _ => return None,
    })
}

fn object(
    method: &Method,
    subresource: Option<&str>,
    query: &Query,
    headers: &HeaderMap,
) -> Option<S3Operation> {
    let copies = headers.contains_key(COPY_SOURCE) || query.has_header(COPY_SOURCE);
    let part = query.get("partNumber").is_some();
    Some(match (method.as_str(), subresource) {
        ("GET", None) => S3Operation::GetObject,
        ("HEAD", None) => S3Operation::HeadObject,
        ("PUT", None) if copies => S3Operation::CopyObject,
        ("PUT", None) => S3Operation::PutObject,
        ("DELETE", None) => S3Operation::DeleteObject,
        ("GET", Some("attributes")) => S3Operation::GetObjectAttributes,
        ("POST", Some("uploads")) => S3Operation::CreateMultipartUpload,
        ("PUT", Some("uploadId")) if part && copies => S3Operation::UploadPartCopy,
        ("PUT", Some("uploadId")) if part => S3Operation::UploadPart,
        ("POST", Some("uploadId")) => S3Operation::CompleteMultipartUpload,
        ("DELETE", Some("uploadId")) => S3Operation::AbortMultipartUpload,
        ("GET", Some("uploadId")) => S3Operation::ListParts,
        (_, Some(subresource)) => {
            S3Operation::PassThrough(Operation::find(method, Level::Object, subresource)?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &str, path: &str, query: &str) -> Option<S3Operation> {
        let target = target(path, &HeaderMap::new(), None).unwrap();
        route(
            &method.parse().unwrap(),
            &target,
            &Query::parse(Some(query)).unwrap(),
            &HeaderMap::new(),
        )
        .ok()
    }

    #[test]
    fn requests_map_to_operations() {
        let pass_through = |method: &str, level, subresource| {
            Operation::find(&method.parse().unwrap(), level, subresource)
                .map(S3Operation::PassThrough)
        };
        let table = [
            ("GET", "/", "", Some(S3Operation::ListBuckets)),
            ("GET", "/b", "list-type=2&prefix=a", Some(S3Operation::ListObjectsV2)),
            ("GET", "/b/", "", Some(S3Operation::ListObjects)),
            ("PUT", "/b", "", Some(S3Operation::CreateBucket)),
            ("PUT", "/b", "versioning", pass_through("PUT", Level::Bucket, "versioning")),
            ("GET", "/b", "cors", Some(S3Operation::GetBucketCors)),
            ("GET", "/b/k", "cors", None),
            ("GET", "/b", "policy", pass_through("GET", Level::Bucket, "policy")),
            ("POST", "/b", "delete", Some(S3Operation::DeleteObjects)),
            ("PUT", "/b/k", "", Some(S3Operation::PutObject)),
            ("PUT", "/b/k", "tagging", pass_through("PUT", Level::Object, "tagging")),
            ("PUT", "/b/k", "website", None),
            ("PUT", "/b/k", "renameObject", None),
            ("POST", "/b/k", "append", None),
            ("HEAD", "/b/k", "tagging", None),
            ("GET", "/b", "session", None),
            ("POST", "/b/k", "restore", pass_through("POST", Level::Object, "restore")),
            ("PUT", "/b/k", "partNumber=1", None),
            ("PUT", "/b/k", "partNumber=1&uploadId=u", Some(S3Operation::UploadPart)),
            ("POST", "/b/k", "uploads", Some(S3Operation::CreateMultipartUpload)),
            ("POST", "/b/k", "uploadId=u", Some(S3Operation::CompleteMultipartUpload)),
            ("DELETE", "/b/k", "uploadId=u", Some(S3Operation::AbortMultipartUpload)),
            ("DELETE", "/b/k", "uploads", None),
            ("PATCH", "/b/k", "", None),
            ("PUT", "/b/k", "tagging&partNumber=1&uploadId=u", None),
            ("POST", "/b", "acl&delete", None),
            ("DELETE", "/", "", None),
        ];
        for (method, path, query, expected) in table {
            assert_eq!(operation(method, path, query), expected, "{method} {path}?{query}");
        }
    }

    #[test]
    fn keys_keep_their_slashes_and_hosts_can_name_buckets() {
        let bucket_and_key = |path: &str, host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("host", host.parse().unwrap());
            let found = target(path, &headers, Some("s3.example.com")).unwrap();
            (found.bucket, found.key)
        };
        let pair = |bucket: &str, key: &str| (Bucket::from(bucket), Key::from(key));
        assert_eq!(bucket_and_key("/b/a//b%2Fc/", "s3.example.com"), pair("b", "a//b/c/"));
        assert_eq!(bucket_and_key("/a/b", "photos.s3.example.com:9010"), pair("photos", "a/b"));
        assert_eq!(bucket_and_key("/", "photos.S3.example.com"), pair("photos", ""));
        assert_eq!(bucket_and_key("/b", "evils3.example.com"), pair("b", ""));
        assert_eq!(bucket_and_key("//b", "photos.s3.example.com"), pair("photos", "/b"));
        assert!(target("//b/k", &HeaderMap::new(), None).is_err());
    }
}
