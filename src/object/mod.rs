//! The read path, and whole objects: bytes of completed backups; GET, PUT, copy, delete and
//! listings for the S3 front.
//!
//! Guarantees: a chunk of a backup is read from the object that its finalize made, never from one
//! that was put over it later (`If-Match`); what the gateway keeps in an object's metadata for
//! itself is never shown; the state bucket is absent, whatever is asked of it. It verifies no
//! bytes: who puts them does. Source: DESIGN §10, §12.14.

mod chunk;
mod whole;

use std::sync::Arc;

pub use crate::store::{
    Attributes, Body, Bucket, BucketInfo, ETag, Error as StoreError, GetOptions, GetRange, Head,
    Key, Kind as StoreKind, Level, ListOptions, Listed, Operation, Page, PartNumber, Passthrough,
    PutMode, Written,
};
pub use chunk::ChunkRead;
pub use whole::{NewObject, Stored, require_free_name};

use crate::store::Store;

/// Objects of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn Store>,
    /// Where the records are.
    hidden: Bucket,
}

impl Objects {
    pub fn new(store: Arc<dyn Store>, state_bucket: &str) -> Self {
        Self { store, hidden: state_bucket.into() }
    }
}
