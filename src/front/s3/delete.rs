//! DeleteObject and DeleteObjects.
//!
//! Guarantees: each key of a DeleteObjects needs its own grant. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>.

use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode};

use super::error::S3Error;
use super::xml::Xml;
use super::{AuthedRequest, HandlerResult, S3Api, document, empty_reply, validate, xml_reply};
use crate::accounts::Access;
use crate::header_names::VERSION_ID;
use crate::web::RequestBody;

const MAX_DOCUMENT_BYTES: usize = 2 << 20;
const MAX_KEYS: usize = 1000;
/// Keys that are deleted concurrently.
const MAX_CONCURRENT: usize = 16;

impl S3Api {
    pub(super) async fn delete_object(&self, request: AuthedRequest) -> HandlerResult {
        request.require(Access::Write)?;
        let version = request.query.get("versionId");
        self.shared.objects.delete(&request.target.bucket, &request.target.key, version).await?;
        let mut reply = empty_reply(StatusCode::NO_CONTENT);
        if let Some(version) = version.and_then(|version| HeaderValue::from_str(version).ok()) {
            reply.headers_mut().insert(VERSION_ID, version);
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
        let document =
            document::deletions(&request.read_document(body, MAX_DOCUMENT_BYTES).await?)?;
        if document.keys.is_empty() || document.keys.len() > MAX_KEYS {
            return Err(S3Error::malformed_xml());
        }
        self.shared.objects.find_bucket(&bucket).await?;
        let deletions = stream::iter(document.keys).map(|entry| {
            let (identity, bucket) = (identity.clone(), bucket.clone());
            async move {
                let outcome = async {
                    validate::key(&entry.key)?;
                    if entry.key.is_empty() || !identity.allows(Access::Write, &bucket, &entry.key)
                    {
                        return Err(S3Error::denied());
                    }
                    let version = entry.version.as_deref();
                    Ok(self.shared.objects.delete(&bucket, &entry.key, version).await?)
                };
                let outcome = outcome.await;
                (entry, outcome)
            }
        });
        let mut deletions = std::pin::pin!(deletions.buffered(MAX_CONCURRENT));
        let mut xml = Xml::new("DeleteResult");
        while let Some((entry, outcome)) = deletions.next().await {
            match outcome {
                Ok(()) if document.quiet => {}
                Ok(()) => {
                    xml.open("Deleted")
                        .element("Key", &entry.key)
                        .maybe("VersionId", entry.version)
                        .close();
                }
                Err(error) => {
                    xml.open("Error").element("Key", &entry.key).element("Code", error.code);
                    xml.element("Message", error.message()).close();
                }
            }
        }
        Ok(xml_reply(xml.finish()))
    }
}
