//! The object that a session made, known by its upload tag, and one that another session made of
//! the same bytes (docs/architecture.md#upload-tag).

use crate::digest::Kind as DigestKind;
use crate::records::Documents;
use crate::store::{self, Head, Written};

use super::super::error::{Error, Result};
use super::super::manifest::{Checks, Finished, Root, Status};
use super::super::session::Session;
use super::super::uploads::{TAG, Uploads};

/// The object at the target, if it has the upload tag of the root.
pub(in crate::upload) async fn tagged_object(
    documents: &Documents,
    root: &Root,
) -> Result<Option<Written>> {
    let head = head_of_target(documents, root).await?;
    Ok(head.filter(|head| has_tag_of(root, head)).map(written))
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

fn has_tag_of(root: &Root, head: &Head) -> bool {
    head.attributes.user.get(TAG) == Some(&root.upload_tag)
}

fn written(head: Head) -> Written {
    Written { etag: head.etag, version: head.version, checksum: None }
}

impl Session {
    pub(in crate::upload) async fn tagged_object(&self, root: &Root) -> Result<Option<Written>> {
        tagged_object(&self.0.shared.documents, root).await
    }

    /// The object that a store upload which is gone may have made: the one at the target, if it has
    /// the upload tag, or the same chunks as this session, which is being finalized.
    pub(super) async fn object_of_gone_upload(
        &self,
        root: &Root,
        checks: &Checks,
    ) -> Result<Option<Written>> {
        let Some(head) = head_of_target(&self.0.shared.documents, root).await? else {
            return Ok(None);
        };
        let is_its_object = has_tag_of(root, &head)
            || matches!(root.status, Status::Finalizing { .. })
                && self.is_of_same_chunks(root, checks, &head).await?;
        Ok(is_its_object.then(|| written(head)))
    }

    /// Whether another complete session of the account made the object of the same chunks. It may
    /// have replaced that of this session before the root said that there is one. Not where there
    /// is a condition: whether it held cannot be told any more.
    async fn is_of_same_chunks(&self, root: &Root, checks: &Checks, head: &Head) -> Result<bool> {
        let uploads = Uploads::of(self).filter(|_| checks.condition.is_none());
        let (Some(uploads), Some(tag)) = (uploads, head.attributes.user.get(TAG)) else {
            return Ok(false);
        };
        let (bucket, key) = root.target();
        let other = uploads.completed_with_tag(&root.account, &bucket, &key, tag).await?;
        let other = other.map(|session| session.root());
        let Some(object) = other.as_ref().and_then(|root| root.finished()) else {
            return Ok(false);
        };
        let own = self.inventory(checks).await?.finished(root, &written(head.clone()));
        Ok(object.etag == head.etag && has_same_chunks(&own, object))
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
