//! Puts and gets of objects and parts: the headers of requests, and what responses contain.
//!
//! Guarantees: ETags are returned without quotes; a put without a declared SHA-256 gets one in its
//! trailer; a missing ETag is returned as empty, and the caller asks with HEAD.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_smithy_types::date_time::{DateTime, Format};
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, IF_MATCH,
    IF_NONE_MATCH, LAST_MODIFIED, RANGE,
};
use http::{HeaderMap, HeaderName, Method};

use super::super::{
    Attributes, Body, Bucket, ETag, Error, GetOptions, GetRange, Head, Key, Kind, Marker,
    NULL_VERSION, PartTarget, PutMode, PutOptions, Result, Written, WrittenPart, acts_on_metadata,
};
use super::chunked::{Trailer, with_trailer};
use super::signed_client::{SignedClient, StoreRequest, incoming};
use crate::digest::{Algorithm, Checksum, Sha256};
use crate::header_names::{
    AWS_CHUNKED, DECODED_LENGTH, DELETE_MARKER, METADATA_PREFIX, SERVER_SIDE, SYSTEM_METADATA,
    TRAILER, VERSION_ID, WEBSITE_REDIRECT,
};
use crate::sigv4::Payload;

const CHECKSUM_MODE: HeaderName = HeaderName::from_static("x-amz-checksum-mode");
const TAGGING: HeaderName = HeaderName::from_static("x-amz-tagging");
const TAGGING_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

pub(super) type Headers = Vec<(HeaderName, String)>;

pub(super) async fn put(
    client: &SignedClient,
    bucket: &Bucket,
    key: &Key,
    body: Body,
    options: PutOptions,
) -> Result<Written> {
    require_inert_metadata(&options.attributes)?;
    // A checksum that is to be stored must be the one that is sent: the server stores that one.
    let declared = options.sha256.filter(|_| options.checksum.is_none());
    let (payload, mut headers, body, _) =
        checksummed(body, declared, options.checksum.unwrap_or(Algorithm::Sha256));
    match options.mode {
        PutMode::Overwrite => {}
        PutMode::CreateOnly => headers.push((IF_NONE_MATCH, "*".to_owned())),
        PutMode::IfMatch(tag) => headers.push((IF_MATCH, format!("\"{tag}\""))),
    }
    let user = attribute_headers(options.attributes, &mut headers);
    let request = StoreRequest {
        method: Method::PUT,
        bucket,
        key,
        query: String::new(),
        headers,
        user,
        payload,
    };
    let (response, _) = client.send(request, body).await?;
    Ok(Written {
        etag: etag(response.headers()),
        version: owned(response.headers(), &VERSION_ID),
        checksum: None,
    })
}

pub(super) async fn put_part(
    client: &SignedClient,
    part: PartTarget<'_>,
    body: Body,
    sha256: Option<Sha256>,
) -> Result<WrittenPart> {
    let (payload, headers, body, trailer) = checksummed(body, sha256, Algorithm::Sha256);
    let upload = percent_encoding::utf8_percent_encode(
        part.upload.upload.as_str(),
        percent_encoding::NON_ALPHANUMERIC,
    );
    let query = format!("partNumber={}&uploadId={upload}", part.number);
    let (bucket, key) = (part.upload.bucket, part.upload.key);
    let request = StoreRequest {
        method: Method::PUT,
        bucket,
        key,
        query,
        headers,
        user: Vec::new(),
        payload,
    };
    match client.send(request, body).await {
        Ok((response, _)) => {
            let unread_body = || {
                Error::unavailable(format!(
                    "part {} was answered before it was read to the end",
                    part.number
                ))
            };
            let sha256 =
                sha256.or(trailer.get().and_then(Checksum::sha256)).ok_or_else(unread_body)?;
            Ok(WrittenPart { etag: etag(response.headers()), sha256 })
        }
        // A 404 without a code: here only the upload can be missing.
        Err(error) if error.kind() == Kind::NotFound => {
            Err(Error::new(Kind::NoSuchUpload, error.to_string()).because(error))
        }
        Err(error) => Err(error),
    }
}

/// The headers that state the attributes of an object, beside its content type and metadata.
pub(super) fn stated_headers(attributes: &Attributes) -> Headers {
    let names = SYSTEM_METADATA.iter().chain(&SERVER_SIDE);
    let stated = names
        .filter_map(|name| Some((name.clone(), attributes.headers.get(name.as_str())?.clone())));
    stated.collect()
}

/// Fails if the server would do more with the metadata than store it. Metadata that is copied from
/// an existing object needs this check too. **Errors**: `Invalid`.
pub(super) fn require_inert_metadata(attributes: &Attributes) -> Result<()> {
    let acted_on = attributes.user.keys().find(|name| acts_on_metadata(name));
    acted_on.map_or(Ok(()), |name| {
        Err(Error::new(Kind::Invalid, format!("the server acts on the metadata {name:?}")))
    })
}

/// Adds the headers that give an object its attributes. Returns its user metadata.
pub(super) fn attribute_headers(
    attributes: Attributes,
    headers: &mut Headers,
) -> Vec<(String, String)> {
    let stated = stated_headers(&attributes);
    headers.extend(attributes.content_type.clone().map(|value| (CONTENT_TYPE, value)));
    for (name, value) in stated {
        match headers.iter_mut().find(|(there, _)| *there == name) {
            // `aws-chunked` is in the same header; the server removes it.
            Some((_, framing)) => *framing = format!("{framing},{value}"),
            None => headers.push((name, value)),
        }
    }
    let tags = &attributes.tags;
    headers.extend((!tags.is_empty()).then(|| (TAGGING, tags.to_query())));
    metadata(&attributes)
}

/// The metadata that holds [`WEBSITE_REDIRECT`]: most servers lose the header, and none serves web
/// pages through the gateway.
const REDIRECT_METADATA: &str = "ratchet-website-redirect-location";

/// The user metadata of an object, with the gateway's own.
pub(super) fn metadata(attributes: &Attributes) -> Vec<(String, String)> {
    let user = attributes.user.iter().map(|(name, value)| (name.clone(), value.clone()));
    let redirect = attributes.headers.get(WEBSITE_REDIRECT.as_str());
    let redirect = redirect.map(|to| (REDIRECT_METADATA.to_owned(), to.clone()));
    user.chain(redirect).collect()
}

/// The body with the checksum by which the server verifies it.
fn checksummed(
    body: Body,
    declared: Option<Sha256>,
    algorithm: Algorithm,
) -> (Payload, Headers, Body, Trailer) {
    if let Some(sha256) = declared {
        return (
            Payload::Sha256(sha256.0),
            vec![(Algorithm::Sha256.header(), sha256.base64())],
            body,
            Trailer::default(),
        );
    }
    let headers = vec![
        (CONTENT_ENCODING, AWS_CHUNKED.to_owned()),
        (DECODED_LENGTH, body.len_bytes().to_string()),
        (TRAILER, algorithm.header().as_str().to_owned()),
    ];
    let (body, trailer) = with_trailer(body, algorithm);
    (Payload::StreamingUnsignedTrailer, headers, body, trailer)
}

pub(super) async fn get(
    client: &SignedClient,
    bucket: &Bucket,
    key: &Key,
    read: GetRange,
    options: GetOptions,
) -> Result<(Head, Body)> {
    let mut headers = Headers::new();
    headers.extend(options.if_match.map(|tag| (IF_MATCH, format!("\"{tag}\""))));
    headers.extend(options.if_none_match.map(|tag| (IF_NONE_MATCH, format!("\"{tag}\""))));
    match read {
        GetRange::Head | GetRange::Whole => {}
        // Servers read such a number as none, and answer with the whole object.
        GetRange::Range { first, .. } if first > i64::MAX as u64 => {
            return Err(Error::new(Kind::Range, format!("{key} has no byte {first}")));
        }
        GetRange::Range { first, last } => {
            headers.push((RANGE, format!("bytes={first}-{}", last.min(i64::MAX as u64))))
        }
        GetRange::Suffix(bytes) => {
            headers.push((RANGE, format!("bytes=-{}", bytes.min(i64::MAX as u64))))
        }
    }
    if options.checksum {
        headers.push((CHECKSUM_MODE, "ENABLED".to_owned()));
    }
    let method = if read == GetRange::Head { Method::HEAD } else { Method::GET };
    let version = options.version.as_deref();
    let query = version.map_or_else(String::new, |id| {
        let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
        format!("versionId={id}")
    });
    let payload = Payload::Sha256(Sha256::of(b"").0);
    let request = StoreRequest { method, bucket, key, query, headers, user: Vec::new(), payload };
    let (response, permit) = client.send(request, Body::empty()).await?;
    let len = text(response.headers(), &CONTENT_LENGTH).and_then(|len| len.parse::<u64>().ok());
    let len =
        len.ok_or_else(|| Error::unavailable(format!("the response for {key} has no length")))?;
    let head = head(response.headers(), len, client.now());
    if version.is_some_and(|id| id != NULL_VERSION && head.version.as_deref() != Some(id)) {
        let what = format!("{key} has no version of that id: the store answered with another one");
        return Err(Error::new(Kind::NoSuchVersion, what));
    }
    if read == GetRange::Head {
        return Ok((head, Body::empty()));
    }
    Ok((head, incoming((response, permit), Some(len))))
}

/// Fails if the server passes over version ids: it would then change the current object in place of
/// the version (docs/backends.md#versions-of-objects). **Errors**: `NoSuchVersion`, `Unavailable`,
/// `SlowDown`.
pub(super) async fn require_version(
    client: &SignedClient,
    bucket: &Bucket,
    key: &Key,
    version: &str,
) -> Result<()> {
    let options = GetOptions { version: Some(version.to_owned()), ..GetOptions::default() };
    match get(client, bucket, key, GetRange::Head, options).await {
        Err(error)
            if matches!(error.kind(), Kind::NoSuchVersion | Kind::Unavailable | Kind::SlowDown) =>
        {
            Err(error)
        }
        // Any other error is the server's own judgement of the version: it knows version ids.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The delete marker that a response speaks of.
pub(super) fn marker(headers: &HeaderMap) -> Option<Marker> {
    text(headers, &DELETE_MARKER).filter(|text| *text == "true")?;
    let modified = http_date(headers, &LAST_MODIFIED);
    Some(Marker { version: owned(headers, &VERSION_ID), modified })
}

fn http_date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let text = text(headers, name)?;
    DateTime::from_str(text, Format::HttpDate).ok()?.try_into().ok()
}

fn head(headers: &HeaderMap, len_bytes: u64, now: SystemTime) -> Head {
    // `bytes 3-5/10`: the whole object's size is after the slash.
    let whole =
        text(headers, &CONTENT_RANGE).and_then(|range| range.rsplit_once('/')?.1.parse().ok());
    let date = |name| http_date(headers, name);
    let response_date = date(&DATE).unwrap_or(now);
    Head {
        etag: etag(headers),
        size_bytes: whole.unwrap_or(len_bytes),
        modified: date(&LAST_MODIFIED).unwrap_or(response_date),
        date: response_date,
        attributes: attributes(headers),
        tag_count: text(headers, &TAGGING_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0),
        version: owned(headers, &VERSION_ID),
        checksum: checksum(headers),
    }
}

/// The checksum of the whole object in a response. A checksum of parts (`…-N`) is none.
fn checksum(headers: &HeaderMap) -> Option<Checksum> {
    Algorithm::ALL.into_iter().find_map(|algorithm| {
        Checksum::from_base64(algorithm, headers.get(algorithm.header())?.to_str().ok()?)
    })
}

fn attributes(headers: &HeaderMap) -> Attributes {
    let user = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix(METADATA_PREFIX)?;
        Some((name.to_owned(), Attributes::text_of(value.as_bytes())))
    });
    let (mut user, mut kept): (BTreeMap<_, _>, _) =
        (user.collect(), Attributes::headers_of_response(headers));
    let redirect = user.remove(REDIRECT_METADATA);
    kept.extend(redirect.map(|to| (WEBSITE_REDIRECT.as_str().to_owned(), to)));
    Attributes {
        content_type: headers.get(CONTENT_TYPE).map(|value| Attributes::text_of(value.as_bytes())),
        headers: kept,
        user,
        ..Attributes::default()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn owned(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    text(headers, name).map(str::to_owned)
}

fn etag(headers: &HeaderMap) -> ETag {
    ETag(text(headers, &ETAG).unwrap_or_default().trim_matches('"').to_owned())
}
