//! CompleteMultipartUpload.
//!
//! Guarantees: repeating it gives the same response. A condition of the request is decided by the
//! store together with the object; where the store cannot, it is refused
//! (docs/backends.md#conditional-writes). A condition that does not hold leaves the upload open.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use http::HeaderMap;

use super::error::S3Error;
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, conditions, document, location, xml_reply};
use crate::accounts::Access;
use crate::object::PutMode;
use crate::upload::{self, ChosenEntry, Session, Status, TargetCondition};
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
        let condition = self.target_condition(&headers)?;
        let location = location::of_object(&request.head, &bucket, &key, &self.shared.http);
        let chosen =
            document::chosen_parts(&request.read_document(body, MAX_DOCUMENT_BYTES).await?)?;
        if !matches!(session.root().status, Status::Complete { .. }) {
            check_size(&headers, &session, &chosen).await?;
        }
        let replaces = matches!(condition, Some(TargetCondition::Tag(_)));
        let object = match session.complete_parts_if(&chosen, condition).await {
            Err(error @ upload::Error::ConditionFailed { .. }) if replaces => {
                return Err(self.not_found_or(&bucket, &key, error.into()).await);
            }
            completed => completed?,
        };
        let mut xml = Xml::new("CompleteMultipartUploadResult");
        xml.element("Location", location).element("Bucket", &bucket).element("Key", &key);
        xml.element("ETag", format!("\"{}\"", object.etag));
        if let Some(checksum) = &object.checksum {
            xml.element(&format!("Checksum{}", checksum.algorithm), &checksum.value);
            xml.element("ChecksumType", checksum.kind.name());
        }
        Ok(xml_reply(xml.finish()))
    }

    /// The condition on the object at the target. **Errors**: `NotImplemented` for one that the
    /// store does not decide together with the object.
    fn target_condition(&self, headers: &HeaderMap) -> Result<Option<TargetCondition>, S3Error> {
        let (condition, name) = match conditions::write_mode(headers)? {
            PutMode::Overwrite => return Ok(None),
            PutMode::CreateOnly => (TargetCondition::Absent, "if-none-match"),
            PutMode::IfMatch(tag) => (TargetCondition::Tag(tag), "if-match"),
        };
        if self.shared.objects.decides().complete {
            return Ok(Some(condition));
        }
        Err(S3Error::not_implemented(&format!(
            "the header {name} on CompleteMultipartUpload, which the store behind the gateway does \
             not evaluate together with the object,"
        )))
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
