//! Whole objects and buckets, as the S3 front has them.
//!
//! Guarantees: metadata of ours comes off on the way out and cannot come in; a copy does not carry
//! the tag of the upload that made its source. **Errors**: the store's own.

use crate::digest::{Algorithm, Checksum, Sha256};
use crate::store::{
    Attributes, Body, Bucket, BucketInfo, Error, GetOptions, GetRange, Head, Key, Kind,
    ListOptions, Page, Passthrough, PassthroughAnswer, PutMode, PutOptions, Result, Written,
    acts_on_metadata,
};
use crate::upload::TAG;

use super::Objects;

/// The metadata that keeps the checksum of an object's client: `<algorithm>:<base64>`.
const CHECKSUM: &str = "ratchet-checksum";

/// An object to be put.
#[derive(Debug)]
pub struct NewObject {
    pub body: Body,
    pub mode: PutMode,
    pub attributes: Attributes,
    /// As its client declared it; the body fails before its end where it is another.
    pub sha256: Option<Sha256>,
    /// As its client declared it.
    pub checksum: Option<Checksum>,
    /// What its client sends a checksum of behind the bytes.
    pub trailer: Option<Algorithm>,
}

/// An object's head without what is ours in it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub head: Head,
    pub checksum: Option<Checksum>,
    /// The tag of the upload that made it, if it was one.
    pub upload_tag: Option<String>,
}

impl Objects {
    fn visible(&self, bucket: &Bucket) -> Result<()> {
        if *bucket == self.hidden {
            Err(Error::new(Kind::NoSuchBucket, format!("no bucket {bucket}")))
        } else {
            Ok(())
        }
    }

    pub async fn buckets(&self) -> Result<Vec<BucketInfo>> {
        let mut all = self.store.list_buckets().await?;
        all.retain(|info| info.bucket != self.hidden);
        Ok(all)
    }

    pub async fn create_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.visible(bucket)
            .map_err(|_| Error::new(Kind::Denied, format!("{bucket} is the gateway's own")))?;
        self.store.create_bucket(bucket).await
    }

    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.visible(bucket)?;
        self.store.delete_bucket(bucket).await
    }

    /// **Errors**: `NoSuchBucket`.
    pub async fn find_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.list(bucket, &ListOptions { limit: 1, ..ListOptions::default() }).await.map(drop)
    }

    pub async fn keeps_versions(&self, bucket: &Bucket) -> Result<bool> {
        self.visible(bucket)?;
        self.store.keeps_versions(bucket).await
    }

    pub async fn list(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        self.visible(bucket)?;
        self.store.list(bucket, options).await
    }

    /// Has the store do what the gateway does not; None where the store knows no more than the
    /// gateway.
    pub async fn pass_through(&self, request: Passthrough) -> Result<Option<PassthroughAnswer>> {
        self.visible(request.bucket())?;
        self.store.pass_through(request).await
    }

    /// Whether the store keeps this name for itself.
    pub fn reserves(&self, bucket: &str) -> bool {
        self.store.reserves(bucket)
    }

    pub async fn get(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Stored, Body)> {
        self.visible(bucket)?;
        let (head, body) = self.store.get(bucket, key, read, options).await?;
        Ok((shown(head), body))
    }

    pub async fn put(&self, bucket: &Bucket, key: &Key, new: NewObject) -> Result<Written> {
        self.visible(bucket)?;
        let mut attributes = new.attributes;
        let checksum = new.trailer.filter(|_| new.checksum.is_none());
        attributes
            .user
            .extend(new.checksum.map(|checksum| (CHECKSUM.to_owned(), checksum.to_string())));
        let options = PutOptions { mode: new.mode, attributes, sha256: new.sha256, checksum };
        self.store.put(bucket, key, new.body, options).await
    }

    pub async fn delete(&self, bucket: &Bucket, key: &Key, version: Option<&str>) -> Result<()> {
        self.visible(bucket)?;
        self.store.delete(bucket, key, version).await
    }
}

/// What the names of the gateway's own metadata begin with.
const OURS: &str = "ratchet-";

/// Whether a client may choose this name, in lower case, for metadata of its own. **Errors**: why
/// not.
pub fn require_free_name(name: &str) -> std::result::Result<(), String> {
    if name.starts_with(OURS) {
        return Err(format!("the metadata name {name:?} is the gateway's own"));
    }
    if acts_on_metadata(name) {
        return Err(format!(
            "the metadata {name:?} tells a server to do more than keep it, which the gateway does not do"
        ));
    }
    Ok(())
}

fn shown(mut head: Head) -> Stored {
    let upload_tag = head.attributes.user.remove(TAG);
    let declared = head.attributes.user.remove(CHECKSUM).and_then(|text| text.parse().ok());
    let checksum = declared.or_else(|| head.checksum.take());
    Stored { head, checksum, upload_tag }
}
