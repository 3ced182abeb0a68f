//! CompleteMultipartUpload.
//!
//! Guarantees: repeating it gives the same response. A condition of the request is checked before
//! anything changes; most servers do not check it atomically with Complete either
//! (docs/backends.md#conditional-writes, docs/decisions/0001-the-root-is-the-commit-point.md).
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use http::HeaderMap;

use super::error::S3Error;
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, conditions, document, xml_reply};
use crate::accounts::Access;
use crate::names::{Bucket, Key};
use crate::object::{GetOptions, GetRange, PutMode, StoreKind};
use crate::upload::{ChosenEntry, Session, Status};
use crate::web::RequestBody;

/// Enough for 10,000 parts with their checksums.
const MAX_DOCUMENT_BYTES: usize = 4 << 20;

impl S3Api {
    pub(super) async fn complete_upload(
        &self,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        let session = self.upload_of(&request, Access::Write).await?;
        let (headers, bucket, key) = (
            request.head.headers.clone(),
            request.target.bucket.clone(),
            request.target.key.clone(),
        );
        let location = format!("/{bucket}/{key}");
        let chosen =
            document::chosen_parts(&request.read_document(body, MAX_DOCUMENT_BYTES).await?)?;
        if !matches!(session.root().status, Status::Complete { .. }) {
            self.check_conditions(&headers, &bucket, &key).await?;
            check_size(&headers, &session, &chosen).await?;
        }
        let object = session.complete_parts(&chosen).await?;
        let mut xml = Xml::new("CompleteMultipartUploadResult");
        xml.element("Location", location).element("Bucket", &bucket).element("Key", &key);
        xml.element("ETag", format!("\"{}\"", object.etag));
        if let Some(checksum) = &object.checksum {
            xml.element(&format!("Checksum{}", checksum.algorithm), &checksum.value);
            xml.element("ChecksumType", checksum.kind.name());
        }
        Ok(xml_reply(xml.finish()))
    }

    async fn check_conditions(
        &self,
        headers: &HeaderMap,
        bucket: &Bucket,
        key: &Key,
    ) -> Result<(), S3Error> {
        let mode = conditions::write_mode(headers)?;
        if mode == PutMode::Overwrite {
            return Ok(());
        }
        let found =
            self.shared.objects.get(bucket, key, GetRange::Head, GetOptions::default()).await;
        match (mode, found) {
            (PutMode::CreateOnly, Ok(_)) => Err(S3Error::precondition()),
            (PutMode::IfMatch(tag), Ok((stored, _))) if stored.head.etag != tag => {
                Err(S3Error::precondition())
            }
            (PutMode::CreateOnly, Err(error)) if error.kind() == StoreKind::NotFound => Ok(()),
            (_, Err(error)) => Err(error.into()),
            (_, Ok(_)) => Ok(()),
        }
    }
}

/// Compares the parts with `x-amz-mp-object-size`. **Errors**: `InvalidRequest`.
async fn check_size(
    headers: &HeaderMap,
    session: &Session,
    chosen: &[ChosenEntry],
) -> Result<(), S3Error> {
    let Some(declared) = headers.get("x-amz-mp-object-size") else { return Ok(()) };
    let declared: Option<u64> = declared.to_str().ok().and_then(|text| text.parse().ok());
    let declared =
        declared.ok_or_else(|| S3Error::invalid("x-amz-mp-object-size is not a number"))?;
    let entries = session.part_entries().await?;
    let size: u64 = chosen
        .iter()
        .filter_map(|part| entries.iter().find(|entry| entry.number == part.number.get()))
        .map(|entry| entry.size_bytes)
        .sum();
    if size == declared {
        return Ok(());
    }
    Err(S3Error::invalid_request(format!(
        "the parts have {size} bytes, x-amz-mp-object-size says {declared}"
    )))
}
