//! What objects are made of where they are stored.
//!
//! Guarantees: two objects share bytes in the store exactly where extents of both with the same id
//! overlap; bytes that are in no extent are the object's own. An id says nothing else, and names no
//! file. It does not count: whoever adds extents up counts the bytes of each id once.

use super::{ETag, Key, Listed, Next, Page};

/// Bytes in the store that one or more objects are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub id: u64,
    /// Where its bytes begin among those of this id.
    pub first: u64,
    pub len_bytes: u64,
}

/// An object in a listing, with what it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectExtents {
    pub key: Key,
    pub etag: ETag,
    pub size_bytes: u64,
    /// In order. None: the store does not say.
    pub extents: Option<Vec<Extent>>,
}

/// A page of a listing with extents, in the order of `Store::list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtentPage {
    pub objects: Vec<ObjectExtents>,
    pub next: Option<Next>,
}

impl From<Page> for ExtentPage {
    /// The page of a store that does not say what its objects are made of.
    fn from(page: Page) -> Self {
        let object = |Listed { key, etag, size_bytes, .. }| ObjectExtents {
            key,
            etag,
            size_bytes,
            extents: None,
        };
        Self { objects: page.objects.into_iter().map(object).collect(), next: page.next }
    }
}
