//! Whole objects: get, put, copy, delete and listings for the S3 front; and chunks of complete
//! backups.
//!
//! Guarantees: a chunk of a backup is read from the object that its finalize made, never from one
//! that replaced it later (`If-Match`); the gateway's own metadata of an object is never shown; the
//! state bucket looks absent to every call. It does not verify bytes: the caller that puts them
//! does. Source: docs/api.md#get-a-chunk, docs/architecture.md#pass-through.

mod bucket_settings;
mod chunk;
mod conditions;
mod copy;
mod copy_checksum;
mod cors;
mod cors_cache;
mod error;
mod read;
mod server_side;
mod whole;

use std::sync::Arc;

use crate::names::Bucket;
pub use crate::store::{
    Attributes, Body, BucketInfo, ByteSpan, DeleteConditions, DeleteOptions, Deleted, ETag,
    Error as StoreError, Extent, ExtentPage, GetOptions, GetRange, Head, Kind as StoreKind, Level,
    ListApi, ListOptions, Listed, Marker, NULL_VERSION, Next, ObjectExtents, Operation, Page,
    PartNumber, Passthrough, PassthroughAnswer, PutMode, TagCondition, Tags, Written,
    probe::Decides,
};
pub use bucket_settings::BucketSettings;
pub use chunk::ChunkRead;
pub use conditions::{Conditions, ETags, IfRange, Unmet};
pub use copy::{Copied, CopyFrom, CopyTo};
pub use cors::{CORS_METHODS, CorsRule, CrossOrigin};
pub use error::{CopyError, ReadError};
pub use read::{ObjectAttributes, ObjectName, ObjectRead, ReadRequest, Selection};
pub use whole::{NewObject, Stored, require_free_name};

use crate::store::Store;
use crate::upload::Uploads;

use cors_cache::CorsCache;

/// The objects and buckets of a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Objects {
    store: Arc<dyn Store>,
    uploads: Uploads,
    state_bucket: Bucket,
    /// What the server was found to keep, shared by all clones.
    kept: Arc<server_side::Kept>,
    uploads_by_tag: copy_checksum::UploadsByTag,
    decides: Decides,
    cors: Arc<CorsCache>,
}

impl Objects {
    /// On a store that decides every condition.
    pub fn new(store: Arc<dyn Store>, uploads: Uploads) -> Self {
        let state_bucket = uploads.state_bucket().clone();
        let (kept, uploads_by_tag) = (Arc::default(), copy_checksum::UploadsByTag::default());
        let decides = Decides::ALL;
        Self { store, uploads, state_bucket, kept, uploads_by_tag, decides, cors: Arc::default() }
    }

    /// The same objects, on a store that decides these conditions only.
    #[must_use]
    pub fn on_store_that_decides(self, decides: Decides) -> Self {
        Self { decides, ..self }
    }

    /// The conditions of changes that the store decides together with the change.
    pub fn decides(&self) -> Decides {
        self.decides
    }
}
