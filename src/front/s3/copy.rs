//! CopyObject and UploadPartCopy.
//!
//! Guarantees: the source is read with the rights of the request's sender; the bytes stream from
//! the store through the gateway back to the store, so that the SHA-256 of a copied part is
//! recorded like that of any other part. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>,
//! `API_UploadPartCopy.html`.

use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::conditions::{self, COPY_SOURCE_CONDITIONS};
use super::error::S3Error;
use super::part::part_number;
use super::xml::{Xml, timestamp};
use super::{AuthedRequest, HandlerResult, S3Api, attributes, get, validate, xml_reply};
use crate::accounts::Access;
use crate::names::{Bucket, Key};
use crate::object::{Body, ETag, GetOptions, GetRange, NewObject, Stored};
use crate::upload::{PartAdmission, PartClaim};

/// The source of a copy.
struct CopySource {
    bucket: Bucket,
    key: Key,
    version: Option<String>,
}

impl S3Api {
    pub(super) async fn copy_object(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Write)?;
        request.require_owner("x-amz-source-expected-bucket-owner")?;
        let source = self.source(&request)?;
        let replaces = match request.header("x-amz-metadata-directive") {
            None | Some("COPY") => false,
            Some("REPLACE") => true,
            Some(_) => {
                return Err(S3Error::invalid("x-amz-metadata-directive must be COPY or REPLACE"));
            }
        };
        if source.bucket == request.target.bucket && source.key == request.target.key && !replaces {
            return Err(S3Error::invalid_request(
                "a copy of an object to itself must replace its metadata",
            ));
        }
        let (stored, body) = self.open_source(&request, &source, GetRange::Whole).await?;
        let attributes = if replaces {
            attributes::read(&request.head.headers)?
        } else {
            stored.head.attributes.for_copy()
        };
        let mode = conditions::write_mode(&request.head.headers)?;
        let new = NewObject {
            body,
            mode,
            attributes,
            sha256: None,
            checksum: stored.checksum,
            trailer: None,
        };
        let (bucket, key) = (request.target.bucket.clone(), request.target.key.clone());
        let written = self.shared.objects.put(&bucket, &key, new).await?;
        let mut xml = Xml::new("CopyObjectResult");
        xml.element("LastModified", timestamp(self.shared.clock.wall()))
            .element("ETag", format!("\"{}\"", written.etag));
        Ok(xml_reply(xml.finish()))
    }

    pub(super) async fn upload_part_copy(&self, request: AuthedRequest) -> HandlerResult {
        let number = part_number(&request)?;
        let session = self.upload_of(&request, Access::Write).await?;
        request.require_owner("x-amz-source-expected-bucket-owner")?;
        let source = self.source(&request)?;
        let range = match request.header("x-amz-copy-source-range") {
            None => GetRange::Whole,
            Some(text) => get::range(text).ok_or_else(|| {
                S3Error::invalid("x-amz-copy-source-range is not a range of bytes")
            })?,
        };
        let (_, body) = self.open_source(&request, &source, range).await?;
        let claim = PartClaim { len_bytes: body.len_bytes(), ..PartClaim::default() };
        let part = match session.admit_part(number, claim).await? {
            PartAdmission::Wanted(permit) => permit.store_part(body, || None).await?,
            PartAdmission::Known(_) => {
                return Err(S3Error::invalid_request(
                    "the SHA-256 of a copied part cannot be declared",
                ));
            }
        };
        let etag = part.etag.unwrap_or_else(|| ETag::of_sha256(&part.sha256));
        let mut xml = Xml::new("CopyPartResult");
        xml.element("LastModified", timestamp(self.shared.clock.wall()))
            .element("ETag", format!("\"{etag}\""));
        Ok(xml_reply(xml.finish()))
    }

    async fn open_source(
        &self,
        request: &AuthedRequest,
        source: &CopySource,
        range: GetRange,
    ) -> Result<(Stored, Body), S3Error> {
        if !request.identity.allows(Access::Read, &source.bucket, &source.key) {
            return Err(S3Error::denied());
        }
        let (bucket, key) = (source.bucket.clone(), source.key.clone());
        let options =
            GetOptions { version: source.version.clone(), checksum: true, ..GetOptions::default() };
        let (stored, body) = self.shared.objects.get(&bucket, &key, range, options).await?;
        // S3 responds with 412 for each of the four conditions.
        let conditions = conditions::parse(&request.head.headers, &COPY_SOURCE_CONDITIONS);
        conditions.check(&stored.head).map_err(|_| S3Error::precondition())?;
        Ok((stored, body))
    }

    /// Parses `x-amz-copy-source`. **Errors**: `InvalidArgument`, and those of `require_bucket`.
    fn source(&self, request: &AuthedRequest) -> Result<CopySource, S3Error> {
        let malformed = || S3Error::invalid("x-amz-copy-source is not of the form /bucket/key");
        let text = request.header("x-amz-copy-source").ok_or_else(malformed)?;
        let (path, version) = match text.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version.to_owned())),
            None => (text, None),
        };
        let path = percent_decode_str(path).decode_utf8().map_err(|_| malformed())?;
        let (bucket, key) = path.trim_start_matches('/').split_once('/').ok_or_else(malformed)?;
        let (bucket, key) = (Bucket::from(bucket), Key::from(key));
        self.require_bucket(&bucket)?;
        validate::key(&key)?;
        if key.is_empty() {
            return Err(S3Error::new(
                StatusCode::BAD_REQUEST,
                "InvalidArgument",
                "x-amz-copy-source has no key",
            ));
        }
        Ok(CopySource { bucket, key, version })
    }
}
