//! Attributes of an object: headers of a request to attributes in the store, and back to headers of
//! a response.
//!
//! Guarantees: metadata has at most 2 KiB, names and values together; a client can neither set nor
//! see the gateway's own metadata. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>.

use std::collections::BTreeMap;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue,
    LAST_MODIFIED,
};
use http::{Response, StatusCode};

use super::error::S3Error;
use super::{acl, tagging};
use crate::header_names::{
    ENCRYPTION, METADATA_PREFIX, STORAGE_CLASS, VERSION_ID, WEBSITE_REDIRECT,
};
use crate::object::{Attributes, Stored, require_free_name};
use crate::upload::ObjectChecksum;
use crate::web::ReplyBody;

/// The values of `x-amz-storage-class`. Source:
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>.
const STORAGE_CLASSES: [&str; 15] = [
    DEFAULT_STORAGE_CLASS,
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
    "FSX_ONTAP",
    "AWS_BACKUP_WARM",
    "AWS_BACKUP_LOW_COST_WARM",
];
pub const DEFAULT_STORAGE_CLASS: &str = "STANDARD";
/// S3's limit of metadata, names and values together.
const MAX_METADATA_BYTES: usize = 2048;
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// The attributes that the headers of a request set. **Errors**: `MetadataTooLarge`,
/// `InvalidArgument`, `InvalidStorageClass`, `InvalidRedirectLocation`, and those of
/// [`acl::check_object`].
pub fn read(headers: &HeaderMap) -> Result<Attributes, S3Error> {
    acl::check_object(headers)?;
    let mut user = BTreeMap::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(METADATA_PREFIX) else { continue };
        require_free_name(name).map_err(S3Error::invalid)?;
        let value = Attributes::text_of(value.as_bytes());
        // Several lines with the same name are one value (RFC 9110 §5.3).
        user.entry(name.to_owned())
            .and_modify(|all: &mut String| *all = format!("{all},{value}"))
            .or_insert(value);
    }
    let len_of = |value: &String| Attributes::bytes_of(value).len();
    let bytes: usize = user.iter().map(|(name, value)| name.len() + len_of(value)).sum();
    if bytes > MAX_METADATA_BYTES {
        let message = format!("the metadata has {bytes} bytes, more than {MAX_METADATA_BYTES}");
        return Err(S3Error::new(StatusCode::BAD_REQUEST, "MetadataTooLarge", message)
            .with_element("Size", bytes)
            .with_element("MaxSizeAllowed", MAX_METADATA_BYTES));
    }
    check_redirect(headers)?;
    let content_type = headers.get(CONTENT_TYPE).filter(|value| !value.is_empty());
    Ok(Attributes {
        content_type: content_type.map(|value| Attributes::text_of(value.as_bytes())),
        headers: with_known_class(Attributes::headers_in(headers))?,
        user,
        tags: tagging::of_headers(headers)?,
    })
}

/// **Errors**: `InvalidRedirectLocation`.
fn check_redirect(headers: &HeaderMap) -> Result<(), S3Error> {
    let Some(value) = headers.get(&WEBSITE_REDIRECT) else { return Ok(()) };
    let to = value.to_str().unwrap_or_default();
    if ["/", "http://", "https://"].iter().any(|start| to.starts_with(start)) {
        return Ok(());
    }
    let message =
        format!("{WEBSITE_REDIRECT} must begin with /, http:// or https://, not be {to:?}");
    Err(S3Error::new(StatusCode::BAD_REQUEST, "InvalidRedirectLocation", message))
}

/// The same headers without the default storage class, which S3 never names. **Errors**:
/// `InvalidStorageClass`.
fn with_known_class(
    mut headers: BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, S3Error> {
    let Some(class) = headers.get(STORAGE_CLASS.as_str()) else { return Ok(headers) };
    if !STORAGE_CLASSES.contains(&class.as_str()) {
        let message = format!("there is no storage class {class:?}");
        return Err(S3Error::new(StatusCode::BAD_REQUEST, "InvalidStorageClass", message));
    }
    if class == DEFAULT_STORAGE_CLASS {
        headers.remove(STORAGE_CLASS.as_str());
    }
    Ok(headers)
}

/// Writes how an object is encrypted to the response of what created it: the store was seen to act
/// on these headers before (`Objects::require_server_side`).
pub fn write_encryption(stated: &BTreeMap<String, String>, headers: &mut HeaderMap) {
    let encryption = stated.iter().filter(|(name, _)| name.starts_with(ENCRYPTION.as_str()));
    for (name, value) in encryption {
        put(headers, name, value);
    }
}

/// The storage class that an object's headers name.
pub fn storage_class(headers: &BTreeMap<String, String>) -> &str {
    headers.get(STORAGE_CLASS.as_str()).map_or(DEFAULT_STORAGE_CLASS, String::as_str)
}

/// Writes the attributes of an object to a response; what is no valid header is left out.
pub fn write(stored: &Stored, reply: &mut Response<ReplyBody>) {
    let head = &stored.head;
    let headers = reply.headers_mut();
    put(headers, ETAG, &["\"", &*head.etag.0, "\""].concat());
    put(headers, LAST_MODIFIED, &httpdate::fmt_http_date(head.modified));
    put(
        headers,
        CONTENT_TYPE,
        head.attributes.content_type.as_deref().unwrap_or(DEFAULT_CONTENT_TYPE),
    );
    for (name, value) in &head.attributes.headers {
        put(headers, name, value);
    }
    for (name, value) in &head.attributes.user {
        put(headers, [METADATA_PREFIX, name].concat(), value);
    }
    if head.tag_count > 0 {
        headers.insert("x-amz-tagging-count", head.tag_count.into());
    }
    if let Some(version) = &head.version {
        put(headers, VERSION_ID, version);
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// The headers that a 304 has as the 200 would (RFC 9110 §15.4.5).
pub fn validators(stored: &Stored) -> HeaderMap {
    let (head, mut headers) = (&stored.head, HeaderMap::new());
    put(&mut headers, ETAG, &["\"", &*head.etag.0, "\""].concat());
    put(&mut headers, LAST_MODIFIED, &httpdate::fmt_http_date(head.modified));
    for name in [CACHE_CONTROL, EXPIRES] {
        if let Some(value) = head.attributes.headers.get(name.as_str()) {
            put(&mut headers, name, value);
        }
    }
    if let Some(version) = &head.version {
        put(&mut headers, VERSION_ID, version);
    }
    headers
}

fn put(headers: &mut HeaderMap, name: impl TryInto<HeaderName>, value: &str) {
    if let (Ok(name), Ok(value)) =
        (name.try_into(), HeaderValue::from_bytes(&Attributes::bytes_of(value)))
    {
        headers.insert(name, value);
    }
}

/// Writes the checksum of a whole object to a response.
pub fn write_checksum(checksum: &ObjectChecksum, headers: &mut HeaderMap) {
    if let Ok(value) = HeaderValue::from_str(&checksum.value) {
        headers.insert(checksum.algorithm.header(), value);
        headers.insert("x-amz-checksum-type", HeaderValue::from_static(checksum.kind.name()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn headers_become_attributes() {
        let found = read(&headers(&[
            ("content-type", "text/plain"),
            ("content-encoding", "aws-chunked, gzip"),
            ("cache-control", "no-cache"),
            ("x-amz-meta-a", "1"),
            ("x-amz-meta-b-c", "é"),
            ("host", "x"),
        ]))
        .unwrap();
        assert_eq!(found.content_type.as_deref(), Some("text/plain"));
        assert_eq!(found.headers.get("content-encoding").map(String::as_str), Some("gzip"));
        assert_eq!(found.user.len(), 2);
        let framed = read(&headers(&[("content-encoding", "aws-chunked")])).unwrap();
        assert!(framed.headers.is_empty());
    }

    #[test]
    fn attributes_that_cannot_be_stored_are_refused() {
        let long = "v".repeat(2048);
        let table = [
            ("x-amz-meta-a", long.as_str(), "MetadataTooLarge"),
            ("x-amz-meta-ratchet-upload", "x", "InvalidArgument"),
            ("x-amz-meta-ratchet-anything", "x", "InvalidArgument"),
            ("x-amz-meta-snowball-auto-extract", "true", "InvalidArgument"),
            ("x-amz-meta-minio-snowball-prefix", "theirs", "InvalidArgument"),
            ("x-amz-storage-class", "BOGUS", "InvalidStorageClass"),
            ("x-amz-website-redirect-location", "ftp://x", "InvalidRedirectLocation"),
            ("x-amz-acl", "bogus", "InvalidArgument"),
            ("x-amz-acl", "public-read", "AccessControlListNotSupported"),
            ("x-amz-grant-read", "id=x", "AccessControlListNotSupported"),
            ("x-amz-tagging", "a=1&a=2", "InvalidArgument"),
        ];
        for (name, value, code) in table {
            assert_eq!(read(&headers(&[(name, value)])).unwrap_err().code, code, "{name}");
        }
    }
}
