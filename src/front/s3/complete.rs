//! CompleteMultipartUpload.
//!
//! Guarantees: repeated, it gives the same response if it lists the same parts and states the same
//! of the object. What the request states of the object and its parts is compared before anything
//! changes. A condition of the request is decided by the store together with the object; where the
//! store cannot, it is refused (docs/backends.md#conditional-writes). A condition that does not
//! hold leaves the upload open.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use http::{HeaderMap, HeaderValue};

use super::error::S3Error;
use super::xml::Xml;
use super::{
    AuthedRequest, HandlerResult, S3Api, checksums, conditions, document, location, xml_reply,
};
use crate::accounts::Access;
use crate::header_names::VERSION_ID;
use crate::object::PutMode;
use crate::upload::{self, TargetCondition};
use crate::web::{Declared, RequestBody};

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
        let claim = checksums::of_object(&headers)?;
        // A checksum in the head is that of the object.
        let declared = Declared::without_checksum(&request.head, &request.payload)?;
        let document = request.read_declared(declared, body, MAX_DOCUMENT_BYTES).await?;
        let chosen = document::chosen_parts(&document)?;
        let replaces = matches!(condition, Some(TargetCondition::Tag(_)));
        let object = match session.complete_claimed(&chosen, &claim, condition).await {
            Err(error @ upload::Error::ConditionFailed { .. }) if replaces => {
                return Err(self.not_found_or(&bucket, &key, error.into()).await);
            }
            completed => completed?,
        };
        let mut xml = Xml::new("CompleteMultipartUploadResult");
        xml.element("Location", location).element("Bucket", &bucket).element("Key", &key);
        xml.element("ETag", format!("\"{}\"", object.etag));
        if let Some(checksum) = &object.checksum {
            checksums::write(&mut xml, checksum);
        }
        let mut reply = xml_reply(xml.finish());
        let version = object.version.and_then(|version| HeaderValue::from_str(&version).ok());
        reply.headers_mut().extend(version.map(|version| (VERSION_ID, version)));
        Ok(reply)
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
