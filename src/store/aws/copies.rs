//! CopyObject and UploadPartCopy: the server's own copies.
//!
//! Guarantees: the source is pinned by its ETag; attributes and tags of the target are always sent
//! (`x-amz-metadata-directive: REPLACE`, likewise for tags), so the server takes over none that the
//! gateway keeps for itself; an error document with status 200 is an error. A copy under a
//! condition on its target is not sent, because servers pass over it
//! (docs/backends.md#conditions-on-delete-and-copy); the caller then streams the bytes, as it does
//! where the server refuses the copy as such. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>, `API_UploadPartCopy.html`.

use http::{HeaderName, Method, Response};
use hyper::body::Incoming;
use percent_encoding::utf8_percent_encode;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::super::{
    Body, Bucket, ByteSpan, CopiedPart, CopyOptions, CopySource, ETag, Error, Key, Kind,
    PartTarget, PutMode, Result, Written,
};
use super::error::{code, error_response};
use super::objects::{attribute_headers, require_inert_metadata};
use super::signed_client::{SignedClient, StoreRequest, patient_document};
use crate::digest::Sha256;
use crate::header_names::VERSION_ID;
use crate::sigv4::{Payload, URI_COMPONENT, URI_PATH};

const SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const SOURCE_IF_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
const SOURCE_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");
const DIRECTIVE: HeaderName = HeaderName::from_static("x-amz-metadata-directive");
const TAGGING_DIRECTIVE: HeaderName = HeaderName::from_static("x-amz-tagging-directive");

/// The largest result or error document.
const MAX_DOCUMENT_BYTES: usize = 64 << 10;

/// None: this copy is not the server's to make.
pub(super) async fn copy(
    client: &SignedClient,
    source: CopySource<'_>,
    (bucket, key): (&Bucket, &Key),
    options: CopyOptions,
) -> Result<Option<Written>> {
    if options.mode != PutMode::Overwrite {
        return Ok(None);
    }
    require_inert_metadata(&options.attributes)?;
    let mut headers = source_headers(source);
    headers.push((DIRECTIVE, "REPLACE".to_owned()));
    headers.push((TAGGING_DIRECTIVE, "REPLACE".to_owned()));
    let user = attribute_headers(options.attributes, &mut headers);
    let request = request((bucket, key), String::new(), headers, user);
    let Some(answer) = send(client, request).await? else { return Ok(None) };
    Ok(Some(Written { etag: answer.etag, version: answer.version, checksum: None }))
}

/// None: this copy is not the server's to make.
pub(super) async fn copy_part(
    client: &SignedClient,
    source: CopySource<'_>,
    span: Option<ByteSpan>,
    part: PartTarget<'_>,
) -> Result<Option<CopiedPart>> {
    let mut headers = source_headers(source);
    if let Some(ByteSpan { first, end }) = span {
        headers.push((SOURCE_RANGE, format!("bytes={first}-{}", end.saturating_sub(1))));
    }
    let upload = utf8_percent_encode(part.upload.upload.as_str(), URI_COMPONENT);
    let query = format!("partNumber={}&uploadId={upload}", part.number);
    let request = request((part.upload.bucket, part.upload.key), query, headers, Vec::new());
    let Some(answer) = send(client, request).await? else { return Ok(None) };
    Ok(Some(CopiedPart { etag: answer.etag, sha256: answer.sha256 }))
}

fn source_headers(source: CopySource<'_>) -> Vec<(HeaderName, String)> {
    let key = utf8_percent_encode(source.key.as_str(), URI_PATH);
    let mut path = format!("/{}/{key}", source.bucket);
    if let Some(version) = source.version {
        path.extend(["?versionId=", &utf8_percent_encode(version, URI_COMPONENT).to_string()]);
    }
    vec![(SOURCE, path), (SOURCE_IF_MATCH, format!("\"{}\"", source.etag))]
}

fn request<'a>(
    (bucket, key): (&'a Bucket, &'a Key),
    query: String,
    headers: Vec<(HeaderName, String)>,
    user: Vec<(String, String)>,
) -> StoreRequest<'a> {
    let payload = Payload::Sha256(Sha256::of(b"").0);
    StoreRequest { method: Method::PUT, bucket, key, query, headers, user, payload }
}

/// What the server says of a copy that it made.
struct Answer {
    etag: ETag,
    sha256: Option<Sha256>,
    version: Option<String>,
}

/// None where the server refuses to copy: its key may not, or it does not know how.
async fn send(client: &SignedClient, request: StoreRequest<'_>) -> Result<Option<Answer>> {
    let (response, _permit) = client.send_any_status(&request, Body::empty()).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let document = document(response).await?;
    let code = code(&document);
    if !status.is_success() || !code.is_empty() {
        // An error within 200 has no status of its own: without a known code it may have happened.
        let status = if status.is_success() { 500 } else { status.as_u16() };
        let error = error_response("the copy", status, &code, None);
        let is_unable =
            matches!(status, 405 | 501) || matches!(error.kind(), Kind::Denied | Kind::Invalid);
        return if is_unable { Ok(None) } else { Err(error) };
    }
    let text = |name: &str| element(&document, name);
    let etag = text("ETag").unwrap_or_default().trim_matches('"').to_owned();
    if etag.is_empty() {
        return Err(Error::unavailable("the copy was answered without an ETag"));
    }
    let version = headers.get(&VERSION_ID).and_then(|value| value.to_str().ok());
    Ok(Some(Answer {
        etag: ETag(etag),
        sha256: text("ChecksumSHA256").as_deref().and_then(Sha256::from_base64),
        version: version.map(str::to_owned),
    }))
}

async fn document(response: Response<Incoming>) -> Result<Vec<u8>> {
    let interrupted =
        |cause| Error::unavailable("the answer to a copy was not read to its end").because(cause);
    patient_document(response, MAX_DOCUMENT_BYTES).await.map_err(interrupted)
}

/// The text of the first element of this name; entities are resolved.
fn element(document: &[u8], name: &str) -> Option<String> {
    let mut reader = Reader::from_reader(document);
    let (mut inside, mut text) = (false, String::new());
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => inside = tag.local_name().as_ref() == name,
            Ok(Event::End(_)) if inside => return Some(text.trim().to_owned()),
            Ok(Event::Text(part)) if inside => {
                let part: &str = part.as_ref();
                text.push_str(part);
            }
            Ok(Event::GeneralRef(entity)) if inside => {
                let entity: &str = entity.as_ref();
                text.push_str(if matches!(entity, "quot" | "#34" | "#x22") { "\"" } else { "" });
            }
            Ok(Event::Eof) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_result_of_a_copy_is_read() {
        let document = b"<?xml version=\"1.0\"?>\n<CopyPartResult><LastModified>x</LastModified>\
            <ETag>&quot;abc-1&quot;</ETag><ChecksumSHA256>s=</ChecksumSHA256></CopyPartResult>";
        assert_eq!(element(document, "ETag").as_deref(), Some("\"abc-1\""));
        assert_eq!(element(document, "ChecksumSHA256").as_deref(), Some("s="));
        assert_eq!(element(document, "ChecksumCRC32"), None);
        assert_eq!(element(b"<CopyPartResult><ETag>", "ETag"), None);
    }

    #[test]
    fn the_source_is_encoded_and_pinned() {
        let (bucket, key, etag) =
            (Bucket::from("b"), Key::from("a b?versionId=1/\u{e4}"), ETag::from("e"));
        let source = CopySource {
            bucket: &bucket,
            key: &key,
            version: Some("v&1"),
            etag: &etag,
            part_etag: None,
        };
        let headers = source_headers(source);
        assert_eq!(headers[0].1, "/b/a%20b%3FversionId%3D1/%C3%A4?versionId=v%261");
        assert_eq!(headers[1].1, "\"e\"");
    }
}
