//! Changing a document by compare-and-swap.
//!
//! Guarantees: a write whose response was lost is recognised by its write id, so `Won` means that
//! it happened and `Lost` means that it did not happen and never will; one store call at a time and
//! operation; retries end with their budget.
//! **Errors**: `Unavailable` or `SlowDown` once the budget is spent: the write may have happened.
//! Source: docs/architecture.md#compare-and-swap,
//! docs/backends.md#refused-and-contended-conditional-writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::digest::Sha256;
use crate::names::Key;
use crate::store::{self, Attributes, Body, PutMode, PutOptions, Written};

use super::document::{Document, Snapshot};
use super::documents::Documents;
use super::error::{Error, Result};

/// How a compare-and-swap ended.
#[derive(Debug)]
pub enum SwapOutcome<T> {
    /// The write happened. The document as it is now, perhaps with later writes of others.
    Won(Snapshot<T>),
    /// The write did not happen. The document as it is now, None if it is gone.
    Lost(Option<Snapshot<T>>),
}

/// How a read-change-write loop ended.
#[derive(Debug)]
pub enum ChangeOutcome<T> {
    /// The document before the change, and as it is now.
    Changed { before: Snapshot<T>, now: Snapshot<T> },
    /// The change does not apply to the document as it is now.
    Refused(Snapshot<T>),
    /// The document is gone.
    Absent,
}

impl Documents {
    /// Writes a document where none is. `document` carries a stamp with a write id of its own.
    pub async fn create<T: Document>(&self, key: &Key, document: T) -> Result<SwapOutcome<T>> {
        self.swap(key, None, document).await
    }

    /// Writes `next` over `known` (None: where no document is). `next` carries a stamp with a write
    /// id of its own.
    pub async fn swap<T: Document>(
        &self,
        key: &Key,
        known: Option<&Snapshot<T>>,
        next: T,
    ) -> Result<SwapOutcome<T>> {
        let what = || format!("changing the record {key}");
        let bytes = Bytes::from(next.encode());
        let known_etag = known.map(|snapshot| &snapshot.etag);
        let next = Arc::new(next);
        let mut backoff = self.backoff();
        loop {
            let mode =
                known_etag.map_or(PutMode::CreateOnly, |etag| PutMode::IfMatch(etag.clone()));
            let error = match self.put_document(key, bytes.clone(), mode).await {
                Ok(written) => {
                    return Ok(SwapOutcome::Won(Snapshot { value: next, etag: written.etag }));
                }
                Err(error) => error,
            };
            let kind = error.kind();
            if kind == store::Kind::Conflict {
                self.pause(&mut backoff, Error::store(what(), error)).await?;
                continue;
            }
            let refused = matches!(kind, store::Kind::Precondition | store::Kind::NotFound);
            if !refused {
                // The write may have happened, or may still happen: only the document can tell.
                self.pause(&mut backoff, Error::store(what(), error)).await?;
            }
            let now: Option<Snapshot<T>> = self.read(key).await?;
            match now {
                Some(now) if now.value.stamp().remembers(&next.stamp().write_id) => {
                    return Ok(SwapOutcome::Won(now));
                }
                now if now.as_ref().map(|snapshot| &snapshot.etag) != known_etag => {
                    return Ok(SwapOutcome::Lost(now));
                }
                Some(_) | None => {}
            }
            if refused {
                // The store refused the condition although the document is unchanged: it has not
                // decided yet (a stale read, or Ceph's 412 in a race). Ask again later.
                let error = Error::conflict(what(), "refused over an unchanged record");
                self.pause(&mut backoff, error).await?;
            }
        }
    }

    /// Reads a document, changes it and writes it, until one attempt wins. `change` says whether
    /// the change applies to the document as it is. The first attempt is made on `known`. `observe`
    /// sees every newer content, with the monotonic time at which it was asked for.
    pub async fn change<T: Document + Clone>(
        &self,
        key: &Key,
        known: Snapshot<T>,
        change: impl Fn(&mut T) -> bool,
        observe: impl Fn(&Snapshot<T>, Duration),
    ) -> Result<ChangeOutcome<T>> {
        let mut known = known;
        let mut backoff = self.backoff();
        loop {
            let mut next = T::clone(&known.value);
            if !change(&mut next) {
                return Ok(ChangeOutcome::Refused(known));
            }
            next.set_stamp(known.value.stamp().next(&self.clock.random_id()));
            let asked_at = self.clock.monotonic();
            match self.swap(key, Some(&known), next).await? {
                SwapOutcome::Won(now) => {
                    observe(&now, asked_at);
                    return Ok(ChangeOutcome::Changed { before: known, now });
                }
                SwapOutcome::Lost(None) => return Ok(ChangeOutcome::Absent),
                SwapOutcome::Lost(Some(now)) => {
                    observe(&now, asked_at);
                    known = now;
                }
            }
            let what = format!("changing the record {key}");
            self.pause(&mut backoff, Error::conflict(what, "another writer was first")).await?;
        }
    }

    async fn put_document(&self, key: &Key, bytes: Bytes, mode: PutMode) -> store::Result<Written> {
        let attributes = Attributes {
            content_type: Some("application/json".to_owned()),
            ..Attributes::default()
        };
        let sha256 = Some(Sha256::of(&bytes));
        let options = PutOptions { mode, attributes, sha256, checksum: None };
        self.store.put(&self.bucket, key, Body::from(bytes), options).await
    }
}
