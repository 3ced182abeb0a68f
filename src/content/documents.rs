//! Documents and empty entries in the state bucket.
//!
//! Guarantees: a document in which a byte changed on its way is read again, and never taken for
//! another one.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Content;
use crate::digest::Sha256;
use crate::names::Key;
use crate::records::frame;
use crate::store::{
    Attributes, Body, DeleteOptions, Error, GetOptions, GetRange, Kind, ListOptions, Listed, Next,
    PutOptions, Result,
};

/// The most bytes that a document may have.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// How often a document is read whose bytes do not agree with its checksum.
const MAX_READS: usize = 3;

impl Content {
    /// None: there is no such document. **Errors**: `Unavailable` if it is damaged.
    pub(super) async fn document<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>> {
        let mut reason = String::new();
        for _ in 0..MAX_READS {
            let (read, options) = (GetRange::Whole, GetOptions::default());
            let bytes = match self.store.get(&self.state_bucket, key, read, options).await {
                Ok((_, body)) => body.collect(MAX_DOCUMENT_BYTES).await?,
                Err(error) if error.kind() == Kind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            match frame::decode(&bytes) {
                Ok(document) => return Ok(Some(document)),
                Err(why) => reason = why,
            }
        }
        let what = format!("the document {key} of the state bucket cannot be read: {reason}");
        Err(Error::new(Kind::Unavailable, what))
    }

    /// **Durability**: on return.
    pub(super) async fn put_document(&self, key: Key, document: &impl Serialize) -> Result<()> {
        let bytes = frame::encode(document);
        let json = Some("application/json".to_owned());
        let attributes = Attributes { content_type: json, ..Attributes::default() };
        let sha256 = Some(Sha256::of(&bytes));
        let options = PutOptions { attributes, sha256, ..PutOptions::default() };
        let body = Body::from(Bytes::from(bytes));
        self.store.put(&self.state_bucket, &key, body, options).await.map(|_| ())
    }

    /// An entry whose name says all.
    pub(super) async fn put_entry(&self, key: Key) -> Result<()> {
        let options = PutOptions { sha256: Some(Sha256::of(b"")), ..PutOptions::default() };
        self.store.put(&self.state_bucket, &key, Body::empty(), options).await.map(|_| ())
    }

    pub(super) async fn exists(&self, key: &Key) -> Result<bool> {
        match self.store.head(&self.state_bucket, key).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn remove(&self, key: &Key) -> Result<()> {
        self.store.delete(&self.state_bucket, key, &DeleteOptions::default()).await.map(|_| ())
    }

    /// One page of keys below a prefix; `from` is the end of the previous page.
    pub(super) async fn page(
        &self,
        prefix: &str,
        from: Option<Next>,
    ) -> Result<(Vec<Listed>, Option<Next>)> {
        let mut options = ListOptions { prefix: prefix.to_owned(), ..ListOptions::default() };
        if let Some(next) = from {
            options.continue_at(next);
        }
        let page = self.store.list(&self.state_bucket, &options).await?;
        Ok((page.objects, page.next))
    }

    /// All keys below a prefix that has few.
    pub(super) async fn all_below(&self, prefix: &str) -> Result<Vec<Listed>> {
        let (mut all, mut next) = self.page(prefix, None).await?;
        while next.is_some() {
            let (more, following) = self.page(prefix, next).await?;
            all.extend(more);
            next = following;
        }
        Ok(all)
    }
}
