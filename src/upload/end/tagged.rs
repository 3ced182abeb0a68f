//! The object that a session made, known by its upload tag (docs/architecture.md#upload-tag).

use crate::records::Documents;
use crate::store::{self, Written};

use super::super::error::{Error, Result};
use super::super::manifest::Root;
use super::super::session::Session;
use super::super::uploads::TAG;

/// The object at the target, if it has the upload tag of the root.
pub(in crate::upload) async fn tagged_object(
    documents: &Documents,
    root: &Root,
) -> Result<Option<Written>> {
    let (bucket, key) = root.target();
    let mut backoff = documents.backoff();
    loop {
        let error = match documents.store.head(&bucket, &key).await {
            Ok(head) => {
                let is_own = head.attributes.user.get(TAG) == Some(&root.upload_tag);
                let (etag, version) = (head.etag, head.version);
                return Ok(is_own.then_some(Written { etag, version, checksum: None }));
            }
            Err(error) => error,
        };
        if matches!(error.kind(), store::Kind::NotFound | store::Kind::NoSuchBucket) {
            return Ok(None);
        }
        let error = Error::own("reading the head of the object", error);
        documents.pause(&mut backoff, error).await?;
    }
}

impl Session {
    pub(in crate::upload) async fn tagged_object(&self, root: &Root) -> Result<Option<Written>> {
        tagged_object(&self.0.shared.documents, root).await
    }
}
