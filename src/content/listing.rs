//! Listings in which recipes have the size and ETag of their objects.
//!
//! Guarantees: a page costs one look at each object of a pointer's length that was not seen before,
//! 32 at once, and nothing for any other object.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Content;
use super::pointer::{POINTER_BYTES, Pointer};
use super::read::shared_by;
use crate::names::Bucket;
use crate::store::{ETag, ExtentPage, Kind, ListOptions, Listed, ObjectExtents, Page, Result};

/// Pointers that are looked at at once: 1,000 of them at 20 ms within a second.
const LOOKS_AT_ONCE: usize = 32;

impl Content {
    pub(super) async fn list_seen(&self, bucket: &Bucket, options: &ListOptions) -> Result<Page> {
        let page = self.store.list(bucket, options).await?;
        if *bucket == self.state_bucket {
            return Ok(page);
        }
        let Page { objects, prefixes, next } = page;
        let objects = stream::iter(objects).map(|listed| async move {
            Ok(match self.pointer_of(bucket, &listed).await? {
                None => listed,
                Some(Pointer { size_bytes, etag, .. }) => {
                    Listed { size_bytes, etag, checksum: None, ..listed }
                }
            })
        });
        let objects = objects.buffered(LOOKS_AT_ONCE).try_collect().await?;
        Ok(Page { objects, prefixes, next })
    }

    /// As [`Content::list_seen`], with the blobs of recipes.
    pub(super) async fn list_extents(
        &self,
        bucket: &Bucket,
        options: &ListOptions,
    ) -> Result<ExtentPage> {
        if *bucket == self.state_bucket {
            return self.store.extents(bucket, options).await;
        }
        let Page { objects, next, .. } = self.store.list(bucket, options).await?;
        let objects = stream::iter(objects).map(|listed| async move {
            let pointer = self.pointer_of(bucket, &listed).await?;
            let Listed { key, size_bytes, etag, .. } = listed;
            let Some(pointer) = pointer else {
                return Ok(ObjectExtents { key, etag, size_bytes, extents: None });
            };
            let extents = match self.recipe((bucket, &key, None), &pointer).await {
                Ok(recipe) => Some(recipe.pieces.iter().map(shared_by).collect()),
                Err(error) if error.kind() == Kind::Precondition => None,
                Err(error) => return Err(error),
            };
            let Pointer { size_bytes, etag, .. } = pointer;
            Ok(ObjectExtents { key, etag, size_bytes, extents })
        });
        let objects = objects.buffered(LOOKS_AT_ONCE).try_collect().await?;
        Ok(ExtentPage { objects, next })
    }

    /// None: a plain object, or one that is gone or replaced since it was listed.
    async fn pointer_of(&self, bucket: &Bucket, listed: &Listed) -> Result<Option<Pointer>> {
        if listed.size_bytes != POINTER_BYTES {
            return Ok(None);
        }
        let name: (Bucket, _, ETag) = (bucket.clone(), listed.key.clone(), listed.etag.clone());
        if let Some(known) = self.pointers.get(&name) {
            return Ok(known);
        }
        let Some((etag, pointer)) = self.look(bucket, &listed.key, None).await? else {
            return Ok(None);
        };
        if etag != listed.etag {
            return Ok(pointer);
        }
        self.pointers.insert(name, 1, pointer.clone());
        Ok(pointer)
    }
}
