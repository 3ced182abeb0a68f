//! The object that a session made, known by its upload tag, and one that another session made of
//! the same bytes (docs/architecture.md#upload-tag).

use crate::digest::Kind as DigestKind;
use crate::records::Documents;
use crate::store::{self, Head, Written};

use super::super::error::{Error, Result};
use super::super::manifest::{Checks, Finished, Root};
use super::super::session::Session;
use super::super::uploads::{TAG, Uploads};

/// The object at the target, if it has the upload tag of the root.
pub(in crate::upload) async fn tagged_object(
    documents: &Documents,
    root: &Root,
) -> Result<Option<Written>> {
    let head = head_of_target(documents, root).await?;
    let own = head.filter(|head| head.attributes.user.get(TAG) == Some(&root.upload_tag));
    Ok(own.map(written))
}

async fn head_of_target(documents: &Documents, root: &Root) -> Result<Option<Head>> {
    let (bucket, key) = root.target();
    let mut backoff = documents.backoff();
    loop {
        let error = match documents.store.head(&bucket, &key).await {
            Ok(head) => return Ok(Some(head)),
            Err(error) => error,
        };
        if matches!(error.kind(), store::Kind::NotFound | store::Kind::NoSuchBucket) {
            return Ok(None);
        }
        let error = Error::own("reading the head of the object", error);
        documents.pause(&mut backoff, error).await?;
    }
}

fn written(head: Head) -> Written {
    Written { etag: head.etag, version: head.version, checksum: None }
}

impl Session {
    pub(in crate::upload) async fn tagged_object(&self, root: &Root) -> Result<Option<Written>> {
        tagged_object(&self.0.shared.documents, root).await
    }

    /// The object at the target, if another complete session of the account made it of the same
    /// chunks. It may have replaced that of this session before the root said that there is one.
    /// None where there is a condition: whether it held cannot be told any more.
    pub(in crate::upload) async fn equal_object(
        &self,
        root: &Root,
        checks: &Checks,
    ) -> Result<Option<Written>> {
        let Some(uploads) = Uploads::of(self).filter(|_| checks.condition.is_none()) else {
            return Ok(None);
        };
        let Some(head) = head_of_target(&self.0.shared.documents, root).await? else {
            return Ok(None);
        };
        let Some(tag) = head.attributes.user.get(TAG) else { return Ok(None) };
        let (bucket, key) = root.target();
        let other = uploads.completed_with_tag(&root.account, &bucket, &key, tag).await?;
        let other = other.map(|session| session.root());
        let Some(object) = other.as_ref().and_then(|root| root.finished()) else {
            return Ok(None);
        };
        let head = written(head);
        let own = self.inventory(checks).await?.finished(root, &head);
        let is_equal = object.etag == head.etag && has_same_chunks(&own, object);
        Ok(is_equal.then_some(head))
    }
}

/// Whether two objects are made of the same chunks, each of which was hashed.
fn has_same_chunks(one: &Finished, other: &Finished) -> bool {
    let digest = |object: &Finished| {
        let found = object.digests.iter().find(|found| found.kind == DigestKind::Sha256Chunks);
        found.filter(|_| !object.unhashed_parts).map(|found| found.hex.clone())
    };
    one.size_bytes == other.size_bytes && digest(one).is_some() && digest(one) == digest(other)
}
