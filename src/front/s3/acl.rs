//! The access control lists that a request asks for.
//!
//! Guarantees: a list that would give anyone but the owner an access is refused, because grants of
//! accounts decide here; one that gives only what the owner has anyway is accepted. That is how S3
//! answers for a bucket whose owner is enforced, the default since 2023. Pure. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#canned-acl>.

use http::{HeaderMap, HeaderName, StatusCode};

use super::error::S3Error;

const ACL: HeaderName = HeaderName::from_static("x-amz-acl");
const OWNERSHIP: HeaderName = HeaderName::from_static("x-amz-object-ownership");

/// Canned lists that leave all access with the owner, who owns the bucket too.
const OF_THE_OWNER: [&str; 3] = ["private", "bucket-owner-full-control", "bucket-owner-read"];
const OF_OTHERS: [&str; 5] = [
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "log-delivery-write",
];

static GRANTS: [HeaderName; 5] = [
    HeaderName::from_static("x-amz-grant-full-control"),
    HeaderName::from_static("x-amz-grant-read"),
    HeaderName::from_static("x-amz-grant-read-acp"),
    HeaderName::from_static("x-amz-grant-write"),
    HeaderName::from_static("x-amz-grant-write-acp"),
];

/// The ownership of objects that applies here: nobody has access by an access control list.
pub const OWNER_ENFORCED: &str = "BucketOwnerEnforced";
const OTHER_OWNERSHIPS: [&str; 2] = ["BucketOwnerPreferred", "ObjectWriter"];

/// **Errors**: `NotImplemented` for another ownership, `unknown` for what is none.
pub fn require_enforced(ownership: &str, unknown: impl FnOnce() -> S3Error) -> Result<(), S3Error> {
    match ownership {
        OWNER_ENFORCED => Ok(()),
        other if OTHER_OWNERSHIPS.contains(&other) => {
            Err(S3Error::not_implemented(&format!("the object ownership {other:?}")))
        }
        _ => Err(unknown()),
    }
}

/// The refusal of a list that would give anyone but the owner an access.
pub fn not_supported(what: &str) -> S3Error {
    refused("AccessControlListNotSupported", what)
}

fn refused(code: &'static str, what: &str) -> S3Error {
    let message = format!("{what} is refused: access is given by the grants of accounts only");
    S3Error::new(StatusCode::BAD_REQUEST, code, message)
}

/// **Errors**: `InvalidArgument` for a canned list that does not exist;
/// `AccessControlListNotSupported`.
pub fn check_object(headers: &HeaderMap) -> Result<(), S3Error> {
    check(headers, "AccessControlListNotSupported")
}

/// As [`check_object`], for a new bucket and its ownership. **Errors**: `InvalidArgument`,
/// `InvalidBucketAclWithObjectOwnership`, `NotImplemented`.
pub fn check_bucket(headers: &HeaderMap) -> Result<(), S3Error> {
    if let Some(value) = headers.get(OWNERSHIP) {
        let ownership = String::from_utf8_lossy(value.as_bytes());
        require_enforced(&ownership, || {
            S3Error::invalid(format!("Invalid {OWNERSHIP} header: {ownership}"))
                .with_argument("x-amz-object-ownership", None)
        })?;
    }
    check(headers, "InvalidBucketAclWithObjectOwnership")
}

fn check(headers: &HeaderMap, code: &'static str) -> Result<(), S3Error> {
    let grant = GRANTS.iter().find(|name| headers.contains_key(*name));
    if grant.is_some() && headers.contains_key(ACL) {
        let message = "Specifying both Canned ACLs and Header Grants is not allowed";
        return Err(S3Error::invalid_request(message));
    }
    if let Some(value) = headers.get(ACL) {
        let acl = value.to_str().unwrap_or_default();
        if OF_OTHERS.contains(&acl) {
            return Err(refused(code, &format!("{ACL}: {acl}")));
        }
        if !OF_THE_OWNER.contains(&acl) {
            return Err(S3Error::invalid(format!("{ACL} has the unknown value {acl:?}"))
                .with_argument("x-amz-acl", Some(acl)));
        }
    }
    grant.map_or(Ok(()), |name| Err(refused(code, name.as_str())))
}
