//! Records in the store: read, revalidate, and change by compare-and-swap.
//!
//! Guarantees: a write whose answer was lost is recognised by its write id, so `Won` means it
//! happened and `Lost` means it did not and never will; one store call at a time and record;
//! retries end with their budget.
//! **Errors**: `StoreUnavailable` or `SlowDown` once the budget is spent (the write may have
//! happened), `Internal` for a document that cannot be read, also when it is read again. It does
//! not know what the records mean. Source: DESIGN §3; BACKENDS.md §3.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::digest::Sha256;
use crate::retry;
use crate::store::{
    self, Attributes, Body, Bucket, ETag, GetOptions, GetRange, Key, ListOptions, Page, PutMode,
    PutOptions, Store,
};

use super::codec::Document;
use super::error::{Error, Result};

/// The largest record that is read: a segment has at most 64 KiB, a root at most its metadata.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;

const RETRIES: retry::Policy = retry::Policy {
    base_pause: Duration::from_millis(40),
    max_pause: Duration::from_secs(2),
    budget: Duration::from_secs(20),
};

/// How often a record is read again whose bytes do not agree: a byte that turned over on its way is
/// right the next time.
const REREADS: usize = 3;

/// A record as it was read, and the tag to change it by.
#[derive(Debug)]
pub(super) struct Doc<T> {
    pub value: Arc<T>,
    pub etag: ETag,
}

impl<T> Clone for Doc<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), etag: self.etag.clone() }
    }
}

/// How a compare-and-swap ended.
#[derive(Debug)]
pub(super) enum Swap<T> {
    /// It happened; the record as it is now, perhaps with later writes of others.
    Won(Doc<T>),
    /// It did not; the record as it is now, None where it is gone.
    Lost(Option<Doc<T>>),
}

/// The state bucket and the terms of talking to it.
#[derive(Clone, Debug)]
pub(super) struct Documents {
    pub store: Arc<dyn Store>,
    pub bucket: Bucket,
    pub clock: Clock,
}

impl Documents {
    /// A fresh back-off for one operation on the store.
    pub fn backoff(&self) -> retry::Backoff {
        RETRIES.start()
    }

    /// Waits before the next try, or gives `error` back when it is final or the budget is spent.
    pub async fn pause(&self, backoff: &mut retry::Backoff, error: Error) -> Result<()> {
        let again = matches!(error.kind(), super::Kind::StoreUnavailable | super::Kind::SlowDown);
        let pause = if again {
            backoff.next(error.retry_after(), |most| self.clock.jitter(most))
        } else {
            None
        };
        let Some(pause) = pause else { return Err(error) };
        self.clock.pause(pause).await;
        Ok(())
    }

    /// The record, or None where there is none.
    pub async fn read<T: Document>(&self, key: &Key) -> Result<Option<Doc<T>>> {
        self.revalidate(key, None).await
    }

    /// The record as it is now; costs no bytes where it is still the one that is known.
    pub async fn revalidate<T: Document>(
        &self,
        key: &Key,
        known: Option<&Doc<T>>,
    ) -> Result<Option<Doc<T>>> {
        let mut backoff = self.backoff();
        let mut rereads = 0;
        loop {
            match self.read_once(key, known).await {
                Ok(found) => return Ok(found),
                Err(error @ Error::Corrupt { .. }) if rereads < REREADS => {
                    tracing::warn!(%error, "reading it again");
                    rereads += 1;
                }
                Err(error) => self.pause(&mut backoff, error).await?,
            }
        }
    }

    async fn read_once<T: Document>(
        &self,
        key: &Key,
        known: Option<&Doc<T>>,
    ) -> Result<Option<Doc<T>>> {
        let options = GetOptions {
            if_none_match: known.map(|doc| doc.etag.clone()),
            ..GetOptions::default()
        };
        let failed = |error| Error::record(format!("reading the record {key}"), error);
        let (head, body) = match self.store.get(&self.bucket, key, GetRange::Whole, options).await {
            Ok(found) => found,
            Err(error) if error.kind() == store::Kind::NotFound => return Ok(None),
            Err(error) if error.kind() == store::Kind::NotModified => return Ok(known.cloned()),
            Err(error) => return Err(failed(error)),
        };
        let bytes = body.collect(MAX_DOCUMENT_BYTES).await.map_err(failed)?;
        let value = T::decode(&bytes).map_err(|why| Error::Corrupt { key: key.0.clone(), why })?;
        Ok(Some(Doc { value: Arc::new(value), etag: head.etag }))
    }

    /// One page of record names.
    pub async fn list(&self, options: &ListOptions) -> Result<Page> {
        let mut backoff = self.backoff();
        loop {
            match self.store.list(&self.bucket, options).await {
                Ok(page) => return Ok(page),
                Err(error) => {
                    let error = Error::record(
                        format!("listing the records under {}", options.prefix),
                        error,
                    );
                    self.pause(&mut backoff, error).await?;
                }
            }
        }
    }

    /// Removes a record or a staged object; success where there is none.
    pub async fn delete(&self, key: &Key) -> Result<()> {
        let mut backoff = self.backoff();
        loop {
            match self.store.delete(&self.bucket, key, None).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.pause(&mut backoff, Error::record(format!("deleting {key}"), error))
                        .await?
                }
            }
        }
    }

    /// Removes everything under a prefix.
    pub async fn delete_all(&self, prefix: &Key) -> Result<()> {
        let options = ListOptions { prefix: prefix.0.clone(), ..ListOptions::default() };
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

    /// Writes an empty object whose name is all it says.
    pub async fn mark(&self, key: &Key) -> Result<()> {
        let mut backoff = self.backoff();
        loop {
            match self.store.put(&self.bucket, key, Body::empty(), PutOptions::default()).await {
                Ok(_) => return Ok(()),
                Err(error) => {
                    self.pause(&mut backoff, Error::record(format!("writing {key}"), error)).await?
                }
            }
        }
    }

    /// Writes `next` over `known` (None: where no record is). `next` carries a write id of its own.
    pub async fn swap<T: Document>(
        &self,
        key: &Key,
        known: Option<&Doc<T>>,
        next: T,
    ) -> Result<Swap<T>> {
        let bytes = bytes::Bytes::from(next.encode());
        let sha256 = Some(Sha256::of(&bytes));
        let mode = known.map_or(PutMode::CreateOnly, |doc| PutMode::IfMatch(doc.etag.clone()));
        let attributes = Attributes {
            content_type: Some("application/json".to_owned()),
            ..Attributes::default()
        };
        let next = Arc::new(next);
        let mut backoff = self.backoff();
        loop {
            let options = PutOptions {
                mode: mode.clone(),
                attributes: attributes.clone(),
                sha256,
                checksum: None,
            };
            let error =
                match self.store.put(&self.bucket, key, Body::from(bytes.clone()), options).await {
                    Ok(written) => return Ok(Swap::Won(Doc { value: next, etag: written.etag })),
                    Err(error) => error,
                };
            let kind = error.kind();
            if kind == store::Kind::Conflict {
                self.pause(
                    &mut backoff,
                    Error::record(format!("changing the record {key}"), error),
                )
                .await?;
                continue;
            }
            let refused = matches!(kind, store::Kind::Precondition | store::Kind::NotFound);
            if !refused {
                // The write may have happened, or may still: only the record can tell.
                self.pause(
                    &mut backoff,
                    Error::record(format!("changing the record {key}"), error),
                )
                .await?;
            }
            let now: Option<Doc<T>> = self.read(key).await?;
            match &now {
                Some(doc) if doc.value.stamp().remembers(&next.stamp().write_id) => {
                    return Ok(Swap::Won(doc.clone()));
                }
                Some(_) | None => {}
            }
            let unchanged = now.as_ref().map(|doc| &doc.etag) == known.map(|doc| &doc.etag);
            if !unchanged {
                return Ok(Swap::Lost(now));
            }
            if refused {
                // A refusal over a record that did not change: the store has not made up its mind
                // (a stale read, or Ceph's 412 in a race). Ask again, later.
                let error =
                    store::Error::new(store::Kind::Conflict, "refused over an unchanged record");
                self.pause(
                    &mut backoff,
                    Error::record(format!("changing the record {key}"), error),
                )
                .await?;
            }
        }
    }
}
