//! The layout `content`: an object is a recipe of blobs, so the same bytes are stored once.
//!
//! A store in front of an S3 server that does multipart uploads itself. A part becomes a blob, an
//! object of its own in the state bucket; Complete writes a recipe, which lists the blobs, and then
//! the pointer at the target, which names the recipe. A copy, also of a part, takes over the blobs
//! of its source and moves no bytes. Everything else passes through to the server. The embedded
//! store needs none of this: its objects share the files of their parts.
//!
//! Guarantees: the put of the pointer, a compare-and-swap, is the only step that changes what
//! readers see; a blob is written once and never shared between accounts; a blob that is read whole
//! is compared with its SHA-256 before its last frame goes on; a sweep never takes a blob that a
//! recipe or an open upload refers to (`sweep`, with its table of interactions); whoever reads
//! through this room sees no pointer. It knows no session, and does not decide which upload has
//! this layout. **Errors**: those of the trait; a recipe or blob that is lost or damaged is
//! `Unavailable`. **Cancel**: as the trait says; what a dropped call leaves is swept. Source:
//! docs/architecture.md#layout-content.

mod blobs;
mod cache;
mod complete;
mod copies;
mod documents;
mod listing;
mod names;
mod pointer;
mod read;
mod recipe;
mod references;
mod store;
mod sweep;
mod upload;

use std::sync::Arc;

use crate::clock::Clock;
use crate::names::{AccountName, Bucket, Key};
use crate::store::{ETag, Store};

use cache::Cache;
use pointer::Pointer;
use recipe::Recipe;
pub use sweep::{SweepLimits, Swept};

/// Pieces of recipes that are kept in memory, about 8 MiB.
const CACHED_PIECES: usize = 1 << 16;

/// Sources of uploads that are kept in memory.
const CACHED_SOURCES: usize = 1 << 12;

/// Pointers that are kept in memory, about 8 MiB.
const CACHED_POINTERS: usize = 1 << 15;

/// A store whose uploads can have the layout `content`.
#[derive(Debug)]
pub struct Content {
    store: Arc<dyn Store>,
    state_bucket: Bucket,
    clock: Clock,
    recipes: Cache<names::Id, Arc<Recipe>>,
    /// Uploads, and recipes that they may copy from.
    sources: Cache<(names::Id, names::Id), ()>,
    /// What listed objects of a pointer's length are, by bucket, key and ETag. None: plain objects.
    pointers: Cache<(Bucket, Key, ETag), Option<Pointer>>,
    /// For tests: whose blobs all uploads consist of.
    every_upload_of: Option<AccountName>,
}

impl Content {
    /// `state_bucket`: where blobs and recipes are kept. It must exist before the first upload.
    pub fn new(store: Arc<dyn Store>, state_bucket: Bucket, clock: Clock) -> Self {
        let (recipes, sources) = (Cache::new(CACHED_PIECES), Cache::new(CACHED_SOURCES));
        let pointers = Cache::new(CACHED_POINTERS);
        let every_upload_of = None;
        Self { store, state_bucket, clock, recipes, sources, pointers, every_upload_of }
    }

    /// The same, with this layout for every upload, so that the tests of any store can use it.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn for_every_upload(self, account: AccountName) -> Self {
        Self { every_upload_of: Some(account), ..self }
    }
}
