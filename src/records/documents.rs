//! The documents of one bucket: reading, revalidating, listing and deleting them.
//!
//! Guarantees: retries end with their budget; a document whose bytes do not agree with its checksum
//! is read again a bounded number of times before that is an error. It does not know what the
//! documents mean. Changing them is `swap`'s.
//! **Errors**: `Unavailable` or `SlowDown` once the budget is spent (a write may have happened),
//! `Corrupt` for a document that cannot be read. Source: docs/architecture.md#compare-and-swap.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::names::{Bucket, Key};
use crate::retry;
use crate::store::{
    self, Body, DeleteOptions, GetOptions, GetRange, Head, ListOptions, Page, PutOptions, Store,
};

use super::document::{Document, Snapshot};
use super::error::{Error, Result, Retryable};

/// The largest document that is read.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

const RETRIES: retry::Policy = retry::Policy {
    base_pause: Duration::from_millis(40),
    max_pause: Duration::from_secs(2),
    budget: Duration::from_secs(20),
};

/// How often a document is read again if its bytes do not agree with its checksum: a byte that
/// changed on its way is right the next time.
const MAX_REREADS: usize = 3;

/// Access to the documents of one bucket. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Documents {
    pub store: Arc<dyn Store>,
    pub bucket: Bucket,
    pub clock: Clock,
}

/// What a read returned.
enum Found<T> {
    /// With the time since it was written, by the store's clock.
    Document(Snapshot<T>, Duration),
    /// The document is the one that the reader knows.
    Unchanged,
    Absent,
}

impl Documents {
    /// A new back-off for one operation on the store.
    pub fn backoff(&self) -> retry::Backoff {
        RETRIES.start()
    }

    /// Waits before the next attempt. **Errors**: `error` itself, if it is final or the retry
    /// budget is spent.
    pub async fn pause<E: Retryable>(
        &self,
        backoff: &mut retry::Backoff,
        error: E,
    ) -> Result<(), E> {
        let pause = if error.is_retryable() {
            backoff.next(error.retry_after(), |max| self.clock.jitter(max))
        } else {
            None
        };
        let Some(pause) = pause else { return Err(error) };
        self.clock.pause(pause).await;
        Ok(())
    }

    /// The document, or None if there is none.
    pub async fn read<T: Document>(&self, key: &Key) -> Result<Option<Snapshot<T>>> {
        self.revalidate(key, None).await
    }

    /// The document as it is now. Transfers no bytes if it is still `known`.
    pub async fn revalidate<T: Document>(
        &self,
        key: &Key,
        known: Option<&Snapshot<T>>,
    ) -> Result<Option<Snapshot<T>>> {
        Ok(match self.find(key, known).await? {
            Found::Document(snapshot, _) => Some(snapshot),
            Found::Unchanged => known.cloned(),
            Found::Absent => None,
        })
    }

    /// The document and its age: the time since it was written, by the store's clock.
    pub async fn read_with_age<T: Document>(
        &self,
        key: &Key,
    ) -> Result<Option<(Snapshot<T>, Duration)>> {
        Ok(match self.find(key, None).await? {
            Found::Document(snapshot, age) => Some((snapshot, age)),
            Found::Unchanged | Found::Absent => None,
        })
    }

    async fn find<T: Document>(&self, key: &Key, known: Option<&Snapshot<T>>) -> Result<Found<T>> {
        let mut backoff = self.backoff();
        let mut rereads = 0;
        loop {
            match self.find_once(key, known).await {
                Ok(found) => return Ok(found),
                Err(error @ Error::Corrupt { .. }) if rereads < MAX_REREADS => {
                    tracing::warn!(%error, "reading it again");
                    rereads += 1;
                }
                Err(error) => self.pause(&mut backoff, error).await?,
            }
        }
    }

    async fn find_once<T: Document>(
        &self,
        key: &Key,
        known: Option<&Snapshot<T>>,
    ) -> Result<Found<T>> {
        let options = GetOptions {
            if_none_match: known.map(|snapshot| snapshot.etag.clone()),
            ..GetOptions::default()
        };
        let failed = |error| Error::store(format!("reading the record {key}"), error);
        let (head, body) = match self.store.get(&self.bucket, key, GetRange::Whole, options).await {
            Ok(found) => found,
            Err(error) if error.kind() == store::Kind::NotFound => return Ok(Found::Absent),
            Err(error) if error.kind() == store::Kind::NotModified => return Ok(Found::Unchanged),
            Err(error) => return Err(failed(error)),
        };
        let bytes = body.collect(MAX_DOCUMENT_BYTES).await.map_err(failed)?;
        let value =
            T::decode(&bytes).map_err(|why| Error::Corrupt { key: key.to_string(), why })?;
        let age = head.date.duration_since(head.modified).unwrap_or_default();
        Ok(Found::Document(Snapshot { value: Arc::new(value), etag: head.etag }, age))
    }

    /// The head of a document: its dates by the store's clock. None if there is no document.
    pub async fn head(&self, key: &Key) -> Result<Option<Head>> {
        let mut backoff = self.backoff();
        loop {
            match self.store.head(&self.bucket, key).await {
                Ok(head) => return Ok(Some(head)),
                Err(error) if error.kind() == store::Kind::NotFound => return Ok(None),
                Err(error) => {
                    let what = format!("reading the age of the record {key}");
                    self.pause(&mut backoff, Error::store(what, error)).await?;
                }
            }
        }
    }

    /// One page of keys.
    pub async fn list(&self, options: &ListOptions) -> Result<Page> {
        let mut backoff = self.backoff();
        loop {
            match self.store.list(&self.bucket, options).await {
                Ok(page) => return Ok(page),
                Err(error) => {
                    let what = format!("listing the records under {}", options.prefix);
                    self.pause(&mut backoff, Error::store(what, error)).await?;
                }
            }
        }
    }

    /// Removes a document, or any other object of the bucket; success if there is none.
    pub async fn delete(&self, key: &Key) -> Result<()> {
        let mut backoff = self.backoff();
        loop {
            match self.store.delete(&self.bucket, key, &DeleteOptions::default()).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    let error = Error::store(format!("deleting {key}"), error);
                    self.pause(&mut backoff, error).await?;
                }
            }
        }
    }

    /// Removes everything under a prefix.
    pub async fn delete_all(&self, prefix: &Key) -> Result<()> {
        let options = ListOptions { prefix: prefix.to_string(), ..ListOptions::default() };
        loop {
            let page = self.list(&options).await?;
            for listed in &page.objects {
                self.delete(&listed.key).await?;
            }
            if page.next.is_none() {
                return Ok(());
            }
        }
    }

    /// Writes a marker: an empty object whose key is all its content.
    pub async fn put_marker(&self, key: &Key) -> Result<()> {
        let mut backoff = self.backoff();
        loop {
            match self.store.put(&self.bucket, key, Body::empty(), PutOptions::default()).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    let error = Error::store(format!("writing {key}"), error);
                    self.pause(&mut backoff, error).await?;
                }
            }
        }
    }
}
