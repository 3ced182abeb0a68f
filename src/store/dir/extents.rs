//! Listings of what objects are made of.
//!
//! Guarantees: an object that is copied, or made of copied parts, has the extents of its source; an
//! object in the index or in a pack has none, as no two objects share such bytes. A page reads the
//! index once, as of one commit, and has a bounded number of objects and, beyond those of its last
//! object, of extents. An id is not the name of a file.

use std::ops::Bound;

use super::super::listing::after;
use super::super::{Bucket, Extent, ExtentPage, Key, ListOptions, Next, ObjectExtents, Result};
use super::index::Index;
use super::tables::{FileRef, OBJECTS, ObjectRow, index_error, object_key};
use crate::digest::Sha256;

#[cfg(test)]
mod tests;

/// Objects of a page.
const MAX_OBJECTS: usize = 1000;
/// A page ends with the object that reaches this number: one object has up to 30,000.
const MAX_EXTENTS: usize = 20_000;

impl Index {
    /// **Errors**: `NoSuchBucket`.
    pub fn extents(&self, bucket: &Bucket, options: &ListOptions) -> Result<ExtentPage> {
        self.require_bucket(bucket)?;
        let table = self.read()?.open_table(OBJECTS).map_err(index_error)?;
        let root = object_key(bucket, "");
        let from = match after(options) {
            Some(after) => Bound::Excluded(object_key(bucket, &after)),
            None => Bound::Included(object_key(bucket, &options.prefix)),
        };
        let from = (from.as_ref().map(String::as_str), Bound::Unbounded);
        let limit = if options.limit == 0 { MAX_OBJECTS } else { options.limit.min(MAX_OBJECTS) };
        let (mut page, mut extents) = (ExtentPage::default(), 0);
        for row in table.range::<&str>(from).map_err(index_error)? {
            let (key, row) = row.map_err(index_error)?;
            let key = key.value().strip_prefix(&root);
            let Some(key) = key.filter(|key| key.starts_with(&options.prefix)) else { break };
            if page.objects.len() == limit || extents >= MAX_EXTENTS {
                let last = page.objects.last();
                page.next = last.map(|last| Next { after: last.key.to_string(), token: None });
                break;
            }
            let object = object(key, ObjectRow::decode(row.value())?);
            extents += object.extents.as_ref().map_or(0, Vec::len);
            page.objects.push(object);
        }
        Ok(page)
    }
}

fn object(key: &str, row: ObjectRow) -> ObjectExtents {
    let extents = row.files().iter().map(extent).collect();
    let ObjectRow { etag, size_bytes, .. } = row;
    ObjectExtents { key: Key::from(key), etag, size_bytes, extents: Some(extents) }
}

fn extent(file: &FileRef) -> Extent {
    let mut id = [0; 8];
    id.copy_from_slice(&Sha256::of(file.id.as_bytes()).0[..8]);
    Extent { id: u64::from_be_bytes(id), first: file.offset, len_bytes: file.len_bytes }
}
