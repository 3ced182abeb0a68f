//! Buckets and whole objects.
//!
//! Guarantees: the gateway's own metadata is removed from what is read, and a client cannot set it;
//! a copy does not carry the tag of the upload that made its source. **Errors**: the store's own.

use crate::digest::{Algorithm, Checksum, Sha256};
use crate::header_names::STATED_CHECKSUM;
use crate::names::{Bucket, Key};
use crate::store::{
    Attributes, Body, BucketInfo, DeleteOptions, Deleted, Error, ExtentPage, GetOptions, GetRange,
    Head, Kind, ListOptions, Page, Passthrough, PassthroughAnswer, PutMode, PutOptions, Result,
    Tags, Written, acts_on_metadata, usual_checksum,
};
use crate::upload::TAG;

use super::Objects;

/// An object to put.
#[derive(Debug)]
pub struct NewObject {
    pub body: Body,
    pub mode: PutMode,
    pub attributes: Attributes,
    /// Declared by the client; the body fails before its end if its bytes have another one.
    pub sha256: Option<Sha256>,
    /// Declared by the client.
    pub checksum: Option<Checksum>,
    /// The algorithm of a checksum that the store makes of the bytes: the client sends it after
    /// them, or only names the algorithm.
    pub made: Option<Algorithm>,
}

/// The head of an object, without the gateway's own metadata.
#[derive(Clone, Debug)]
pub struct Stored {
    pub head: Head,
    pub checksum: Option<Checksum>,
    /// The tag of the upload that made the object, if one did.
    pub upload_tag: Option<String>,
}

impl Objects {
    /// **Errors**: `NoSuchBucket` for the state bucket.
    pub(super) fn require_visible(&self, bucket: &Bucket) -> Result<()> {
        if *bucket == self.state_bucket {
            Err(Error::new(Kind::NoSuchBucket, format!("no bucket {bucket}")))
        } else {
            Ok(())
        }
    }

    pub async fn buckets(&self) -> Result<Vec<BucketInfo>> {
        let mut all = self.store.list_buckets().await?;
        all.retain(|info| info.bucket != self.state_bucket);
        Ok(all)
    }

    /// **Errors**: `NoSuchBucket`.
    pub async fn find_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.list(bucket, &ListOptions { limit: 1, ..ListOptions::default() }).await.map(drop)
    }

    pub async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        self.require_visible(bucket)?;
        self.store.keeps_versions(bucket).await
    }

    pub async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        self.require_visible(bucket)?;
        self.store.list(bucket, options).await
    }

    /// As `list`, with what each object is made of.
    pub async fn extents(&self, bucket: &Bucket, options: &ListOptions) -> Result<ExtentPage> {
        self.require_visible(bucket)?;
        self.store.extents(bucket, options).await
    }

    /// Replaces an object that is kept in blobs by a plain one. None: it is a plain one.
    pub async fn make_plain(&self, bucket: &Bucket, key: &Key) -> Result<Option<Written>> {
        self.require_visible(bucket)?;
        self.store.make_plain(bucket, key).await
    }

    /// Passes an operation that the gateway does not implement to the store. None: the store does
    /// not implement it either.
    pub async fn pass_through(&self, request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        self.require_visible(request.bucket())?;
        self.store.pass_through(request).await
    }

    /// Whether the store reserves this bucket name for itself.
    pub fn reserves(&self, bucket: &Bucket) -> bool {
        self.store.reserves(bucket)
    }

    pub async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Stored, Body)> {
        self.require_visible(bucket)?;
        let (head, body) = self.store.get(bucket, key, read, options).await?;
        Ok((without_own_metadata(head), body))
    }

    pub async fn put(&self, bucket: &Bucket, key: &Key, new: NewObject) -> Result<Written> {
        self.require_visible(bucket)?;
        let mut attributes = new.attributes;
        let checksum = match new.checksum {
            Some(_) => None,
            None => new.made.or_else(|| usual_checksum(&*self.store)),
        };
        attributes.user.extend(
            new.checksum.map(|checksum| (STATED_CHECKSUM.to_owned(), checksum.to_string())),
        );
        let options = PutOptions { mode: new.mode, attributes, sha256: new.sha256, checksum };
        self.store.put(bucket, key, new.body, options).await
    }

    pub async fn tags(&self, bucket: &Bucket, key: &Key) -> Result<Tags> {
        self.require_visible(bucket)?;
        self.store.tags(bucket, key, None).await
    }

    pub async fn set_tags(&self, bucket: &Bucket, key: &Key, tags: &Tags) -> Result<()> {
        self.require_visible(bucket)?;
        self.store.set_tags(bucket, key, tags).await
    }

    /// The tags of an object that was read; asks the store for them only where its head does not
    /// have them all.
    pub async fn tags_of(&self, bucket: &Bucket, key: &Key, stored: &Stored) -> Result<Tags> {
        let Head { attributes, tag_count, version, .. } = &stored.head;
        if attributes.tags.len() == *tag_count {
            return Ok(attributes.tags.clone());
        }
        self.require_visible(bucket)?;
        self.store.tags(bucket, key, version.as_deref()).await
    }

    /// Whether a put can make a checksum in this algorithm of the bytes, and keep it.
    pub fn makes_checksum(&self, algorithm: Algorithm) -> bool {
        self.store.stores_checksum(algorithm)
    }

    pub async fn delete(
        &self,
        bucket: &Bucket,
        key: &Key,
        options: &DeleteOptions,
    ) -> Result<Deleted> {
        self.require_visible(bucket)?;
        self.store.delete(bucket, key, options).await
    }
}

/// The prefix of the gateway's own metadata.
const RESERVED_PREFIX: &str = "ratchet-";

/// Checks that a client may use this name, in lower case, for its metadata. **Errors**: why not.
pub fn require_free_name(name: &str) -> std::result::Result<(), String> {
    if name.starts_with(RESERVED_PREFIX) {
        return Err(format!("the metadata name {name:?} is the gateway's own"));
    }
    if acts_on_metadata(name) {
        return Err(format!(
            "the metadata {name:?} is refused: some S3 servers would do more with it than store it"
        ));
    }
    Ok(())
}

fn without_own_metadata(mut head: Head) -> Stored {
    let upload_tag = head.attributes.user.remove(TAG);
    let declared = head.attributes.user.remove(STATED_CHECKSUM).and_then(|text| text.parse().ok());
    let checksum = declared.or_else(|| head.checksum.take());
    Stored { head, checksum, upload_tag }
}
