//! What a document is, and a document as it was read.

use std::sync::Arc;

use crate::store::ETag;

use super::stamp::Stamp;

/// A value that is kept in the store as one JSON object and changed by conditional writes.
///
/// **For implementors**: encode with [`super::frame`] unless the stored form is fixed already. The
/// write id of the stamp must be stored, because a write whose response was lost is recognised by
/// it.
pub trait Document: Sized + Send + Sync + 'static {
    fn stamp(&self) -> &Stamp;

    fn set_stamp(&mut self, stamp: Stamp);

    fn encode(&self) -> Vec<u8>;

    /// **Errors**: the reason why the bytes are no such document, for a person.
    fn decode(bytes: &[u8]) -> Result<Self, String>;
}

/// A document as it was read or written, with the ETag that the next change is conditional on.
/// Cheap to clone.
#[derive(Debug)]
pub struct Snapshot<T> {
    pub value: Arc<T>,
    pub etag: ETag,
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), etag: self.etag.clone() }
    }
}
