//! Objects, asked of the gateway's S3 front: whether they are there, what is known of them, lists
//! of them, their bytes.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use crate::client::{
    Error, Result, Target, Transport,
    transport::{ApiRequest, encoded},
    xml::Element,
};
use crate::clock::timestamp;
use crate::sigv4::URI_PATH;

/// The longest listing: 1,000 keys, each escaped, with what stands around them.
pub(super) const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// The prefix of headers with the user metadata of an object.
pub(in crate::client) const USER_METADATA: &str = "x-amz-meta-";

/// What a listing says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    pub key: String,
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// In the form `2009-10-12T17:50:30.000Z`.
    pub modified: String,
}

/// A bucket and when it was made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ListedBucket {
    pub bucket: String,
    /// In the form `2009-10-12T17:50:30.000Z`.
    pub created: String,
}

/// What the head of an object says.
#[derive(Clone, Debug)]
pub(in crate::client) struct ObjectHead {
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// In the form of HTTP.
    pub modified: String,
    pub metadata: BTreeMap<String, String>,
    pub headers: HeaderMap,
}

/// The path of an object in S3 requests.
pub(in crate::client) fn object_path(target: &Target) -> String {
    format!("/{}/{}", target.bucket, utf8_percent_encode(&target.key, URI_PATH))
}

/// The head of the object that the target names now; None if there is none.
pub(in crate::client) async fn object_head(
    transport: &Transport,
    target: &Target,
) -> Result<Option<ObjectHead>> {
    let request = ApiRequest::s3(http::Method::HEAD, object_path(target));
    let request = request.with_header("x-amz-checksum-mode", "ENABLED");
    match transport.send_for_head(&request).await {
        Ok(headers) => Ok(Some(ObjectHead::of(headers))),
        Err(Error::S3 { status: 404, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The ETag of the object that the target names now, without quotes; None if there is none.
pub(in crate::client) async fn current_etag(
    transport: &Transport,
    target: &Target,
) -> Result<Option<String>> {
    Ok(object_head(transport, target).await?.map(|head| head.etag))
}

/// The object that the target names now, as a listing shows it; None if there is none.
pub(in crate::client) async fn current_object(
    transport: &Transport,
    target: &Target,
) -> Result<Option<ListedObject>> {
    let Some(head) = object_head(transport, target).await? else { return Ok(None) };
    let time = httpdate::parse_http_date(&head.modified).unwrap_or(std::time::UNIX_EPOCH);
    Ok(Some(ListedObject {
        key: target.key.clone(),
        etag: head.etag,
        size: head.size,
        modified: timestamp(time),
    }))
}

impl ObjectHead {
    fn of(headers: HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let metadata = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(USER_METADATA)?;
            Some((name.to_owned(), value.to_str().ok()?.to_owned()))
        });
        Self {
            etag: text(ETAG).unwrap_or_default().trim_matches('"').to_owned(),
            size: text(CONTENT_LENGTH).and_then(|size| size.parse().ok()).unwrap_or(0),
            modified: text(LAST_MODIFIED).unwrap_or_default().to_owned(),
            metadata: metadata.collect(),
            headers,
        }
    }
}

/// Bytes of the object with this ETag. **Errors**: `ObjectChanged` if the target names another one.
pub(in crate::client) async fn object_bytes(
    transport: &Transport,
    target: &Target,
    etag: &str,
    range: Range<u64>,
) -> Result<Bytes> {
    let request = ApiRequest::s3(http::Method::GET, object_path(target))
        .with_header("range", &format!("bytes={}-{}", range.start, range.end - 1))
        .with_header("if-match", &format!("\"{etag}\""))
        .expecting(range.end - range.start);
    let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    match transport.send(&request, len).await {
        Err(Error::S3 { status: 404 | 412 | 416, .. }) => {
            Err(Error::ObjectChanged(target.to_string()))
        }
        outcome => outcome,
    }
}

/// The lengths of the parts that the object was uploaded in; empty if they are not known.
pub(in crate::client) async fn part_lengths(
    transport: &Transport,
    target: &Target,
) -> Result<Vec<u64>> {
    let path = format!("{}?attributes", object_path(target));
    let (mut lengths, mut marker) = (Vec::new(), "0".to_owned());
    loop {
        let request = ApiRequest::s3(http::Method::GET, path.clone())
            .with_header("x-amz-object-attributes", "ObjectParts")
            .with_header("x-amz-part-number-marker", &marker);
        let document = match transport.send(&request, MAX_DOCUMENT_BYTES).await {
            Ok(document) => document,
            // Not every S3 server has this operation.
            Err(Error::S3 { status: 400..=499 | 501, .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let root = Element::parse(&document);
        let Some(parts) = root.as_ref().and_then(|root| root.child("ObjectParts")) else {
            return Ok(Vec::new());
        };
        let before = lengths.len();
        lengths
            .extend(parts.all("Part").filter_map(|part| part.text_of("Size").parse::<u64>().ok()));
        if parts.text_of("IsTruncated") != "true" || lengths.len() == before {
            return Ok(lengths);
        }
        marker = parts.text_of("NextPartNumberMarker").to_owned();
    }
}

/// All objects whose key begins with the target's, by key. **Errors**: `S3` if there is no such
/// bucket.
pub(in crate::client) async fn objects_below(
    transport: &Transport,
    target: &Target,
) -> Result<Vec<ListedObject>> {
    let first_page =
        format!("/{}?list-type=2&encoding-type=url&prefix={}", target.bucket, encoded(&target.key));
    let (mut objects, mut page) = (Vec::new(), first_page.clone());
    loop {
        let request = ApiRequest::s3(http::Method::GET, page);
        let document = transport.send(&request, MAX_DOCUMENT_BYTES).await?;
        let list = Element::parse(&document).filter(|root| root.name() == "ListBucketResult");
        let list = list.ok_or_else(|| transport.not_chunk_api(200))?;
        let is_encoded = list.text_of("EncodingType") == "url";
        objects.extend(list.all("Contents").filter_map(|entry| {
            let key = entry.text_of("Key");
            Some(ListedObject {
                key: if is_encoded { decoded(key) } else { key.to_owned() },
                etag: entry.text_of("ETag").trim_matches('"').to_owned(),
                size: entry.text_of("Size").parse().ok()?,
                modified: entry.text_of("LastModified").to_owned(),
            })
        }));
        let token = list.text_of("NextContinuationToken");
        if list.text_of("IsTruncated") != "true" || token.is_empty() {
            return Ok(objects);
        }
        page = format!("{first_page}&continuation-token={}", encoded(token));
    }
}

/// The buckets that the account may see.
pub async fn buckets(transport: &Transport) -> Result<Vec<ListedBucket>> {
    let request = ApiRequest::s3(http::Method::GET, "/".to_owned());
    let document = transport.send(&request, MAX_DOCUMENT_BYTES).await?;
    let list = Element::parse(&document).filter(|root| root.name() == "ListAllMyBucketsResult");
    let list = list.ok_or_else(|| transport.not_chunk_api(200))?;
    let found = list.child("Buckets").into_iter().flat_map(|buckets| buckets.all("Bucket"));
    let listed = found.map(|bucket| ListedBucket {
        bucket: bucket.text_of("Name").to_owned(),
        created: bucket.text_of("CreationDate").to_owned(),
    });
    Ok(listed.collect())
}

/// Makes a bucket. **Errors**: also if there is one of this name.
pub async fn make_bucket(transport: &Transport, bucket: &str) -> Result<()> {
    let request = ApiRequest::s3(http::Method::PUT, format!("/{bucket}"));
    transport.send(&request, MAX_DOCUMENT_BYTES).await.map(drop)
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}
