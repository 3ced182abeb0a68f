//! DeleteObject and DeleteObjects.
//!
//! Guarantees: each key of a DeleteObjects needs its own grant; a condition that the store does not
//! decide together with the deletion is refused, and nothing is deleted. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>,
//! `API_DeleteObjects.html`.

use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode};

use super::document::Deletion;
use super::error::S3Error;
use super::xml::Xml;
use super::{
    AuthedRequest, HandlerResult, S3Api, conditions, document, empty_reply, validate, xml_reply,
};
use crate::accounts::{Access, Identity};
use crate::header_names::{DELETE_MARKER, VERSION_ID};
use crate::names::Bucket;
use crate::object::{DeleteConditions, DeleteOptions, Deleted};
use crate::web::RequestBody;

const MAX_DOCUMENT_BYTES: usize = 2 << 20;
const MAX_KEYS: usize = 1000;
/// Keys that are deleted concurrently.
const MAX_CONCURRENT: usize = 16;

impl S3Api {
    pub(super) async fn delete_object(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Write)?;
        let version = validate::version(request.query.get("versionId"))?.map(str::to_owned);
        let conditions = conditions::delete_conditions(&request.head.headers)?;
        self.require_decided(&conditions)?;
        let bypass_governance = bypasses_governance(&request)?;
        if bypass_governance {
            request.require(Access::Admin)?;
        }
        let options = DeleteOptions { version, conditions, bypass_governance };
        let (bucket, key) = (&request.target.bucket, &request.target.key);
        let deleted = self.shared.objects.delete(bucket, key, &options).await?;
        let mut reply = empty_reply(StatusCode::NO_CONTENT);
        let headers = reply.headers_mut();
        let version = deleted.version.or(options.version);
        if let Some(version) = version.and_then(|version| HeaderValue::from_str(&version).ok()) {
            headers.insert(VERSION_ID, version);
        }
        if deleted.delete_marker {
            headers.insert(DELETE_MARKER, HeaderValue::from_static("true"));
        }
        Ok(reply)
    }

    pub(super) async fn delete_objects(
        &self,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        let (identity, bucket) = (request.identity.clone(), request.target.bucket.clone());
        // Otherwise the response would tell anyone whether the bucket exists.
        if !identity.sees(&bucket) {
            return Err(S3Error::denied());
        }
        let bypass_governance = bypasses_governance(&request)?;
        let document =
            document::deletions(&request.read_document(body, MAX_DOCUMENT_BYTES).await?)?;
        if document.keys.is_empty() || document.keys.len() > MAX_KEYS {
            return Err(S3Error::malformed_xml());
        }
        self.shared.objects.find_bucket(&bucket).await?;
        let deletions = stream::iter(document.keys).map(|mut entry| {
            entry.options.bypass_governance = bypass_governance;
            let (identity, bucket) = (identity.clone(), bucket.clone());
            async move {
                let outcome = self.delete_entry(&identity, &bucket, &entry).await;
                (entry, outcome)
            }
        });
        let mut deletions = std::pin::pin!(deletions.buffered(MAX_CONCURRENT));
        let mut xml = Xml::new("DeleteResult");
        while let Some((entry, outcome)) = deletions.next().await {
            let version = entry.options.version;
            match outcome {
                Ok(_) if document.quiet => {}
                Ok(deleted) => {
                    xml.open("Deleted").element("Key", &entry.key).maybe("VersionId", version);
                    if deleted.delete_marker {
                        xml.element("DeleteMarker", true)
                            .maybe("DeleteMarkerVersionId", deleted.version);
                    }
                    xml.close();
                }
                Err(error) => {
                    xml.open("Error").element("Key", &entry.key).maybe("VersionId", version);
                    xml.element("Code", error.code).element("Message", error.message()).close();
                }
            }
        }
        Ok(xml_reply(xml.finish()))
    }

    async fn delete_entry(
        &self,
        identity: &Identity,
        bucket: &Bucket,
        entry: &Deletion,
    ) -> Result<Deleted, S3Error> {
        validate::key(&entry.key)?;
        let access = if entry.options.bypass_governance { Access::Admin } else { Access::Write };
        if entry.key.is_empty() || !identity.allows(access, bucket, &entry.key) {
            return Err(S3Error::denied());
        }
        validate::version(entry.options.version.as_deref())?;
        self.require_decided(&entry.options.conditions)?;
        Ok(self.shared.objects.delete(bucket, &entry.key, &entry.options).await?)
    }

    /// **Errors**: `NotImplemented`, which names the condition.
    fn require_decided(&self, conditions: &DeleteConditions) -> Result<(), S3Error> {
        let decides = self.shared.objects.decides();
        let undecided = |what: &str| {
            Err(S3Error::not_implemented(&format!(
                "{what} on a deletion, which the store behind the gateway does not evaluate,"
            )))
        };
        if conditions.if_match.is_some() && !decides.delete_by_tag {
            return undecided("if-match (ETag)");
        }
        if conditions.modified.is_some() && !decides.delete_by_time {
            return undecided("x-amz-if-match-last-modified-time (LastModifiedTime)");
        }
        if conditions.size_bytes.is_some() && !decides.delete_by_size {
            return undecided("x-amz-if-match-size (Size)");
        }
        Ok(())
    }
}

/// Whether a retention in governance mode shall be no obstacle: only for administrators, because
/// the owner of the bucket set it. **Errors**: `InvalidArgument`.
fn bypasses_governance(request: &AuthedRequest) -> Result<bool, S3Error> {
    request.flag("x-amz-bypass-governance-retention")
}
