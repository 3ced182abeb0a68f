//! A lease: an exclusive right that expires, kept as a document.
//!
//! Guarantees: of any number of processes that try to acquire a lease at once, one does; it is
//! renewed and released by compare-and-swap, so a holder that was replaced learns it at its next
//! renewal, and never overwrites its successor. A lease alone protects nothing: a holder that
//! stands still keeps believing in it until then, so what the lease is for must be safe with two
//! holders, or check the lease in the same compare-and-swap that it protects.
//! **Errors**: those of [`Documents::swap`]. Source: docs/architecture.md#leases.

use std::time::Duration;

use crate::names::Key;

use super::document::{Document, Snapshot};
use super::documents::Documents;
use super::error::Result;
use super::swap::SwapOutcome;

/// A document that says who holds a lease. Its stored form is its own, see [`Document`].
pub trait LeaseDocument: Document + Clone + Default {
    /// None: nobody.
    fn holder(&self) -> Option<&str>;

    fn set_holder(&mut self, holder: Option<String>);
}

/// A lease document as a process finds it before it acquires the lease.
#[derive(Debug)]
pub struct FoundLease<T> {
    pub snapshot: Snapshot<T>,
    /// Time since its last write, by the store's clock.
    pub age: Duration,
}

/// A lease as its holder has it.
#[derive(Debug)]
pub struct Lease<T> {
    documents: Documents,
    key: Key,
    holder: String,
    current: Snapshot<T>,
}

impl<T: LeaseDocument> Lease<T> {
    /// Acquires the lease for `holder`, which is an id that no other process has. `is_available`
    /// decides whether a lease that exists may be taken over. None if it may not, or if another
    /// process was first.
    pub async fn acquire(
        documents: &Documents,
        key: Key,
        holder: &str,
        is_available: impl FnOnce(&FoundLease<T>) -> bool,
    ) -> Result<Option<Self>> {
        let found = documents.read_with_age::<T>(&key).await?;
        let found = found.map(|(snapshot, age)| FoundLease { snapshot, age });
        if found.as_ref().is_some_and(|found| !is_available(found)) {
            return Ok(None);
        }
        let known = found.map(|found| found.snapshot);
        let mut next = known.as_ref().map_or_else(T::default, |known| T::clone(&known.value));
        next.set_holder(Some(holder.to_owned()));
        let written = write(documents, &key, known.as_ref(), next, Some(holder)).await?;
        Ok(written.map(|current| Self {
            documents: documents.clone(),
            key,
            holder: holder.to_owned(),
            current,
        }))
    }

    /// The document as this holder wrote it last.
    pub fn document(&self) -> &T {
        &self.current.value
    }

    /// Writes the lease again, with `change` applied. False if the lease is lost.
    pub async fn renew(&mut self, change: impl FnOnce(&mut T)) -> Result<bool> {
        let holder = self.holder.clone();
        self.write(Some(&holder), change).await
    }

    /// Gives the lease up, with `change` applied to its document. False if it was lost before.
    pub async fn release(mut self, change: impl FnOnce(&mut T)) -> Result<bool> {
        self.write(None, change).await
    }

    async fn write(&mut self, holder: Option<&str>, change: impl FnOnce(&mut T)) -> Result<bool> {
        let mut next = T::clone(&self.current.value);
        change(&mut next);
        next.set_holder(holder.map(str::to_owned));
        let written = write(&self.documents, &self.key, Some(&self.current), next, holder).await?;
        let kept = written.is_some();
        self.current = written.unwrap_or_else(|| self.current.clone());
        Ok(kept)
    }
}

/// Writes the next content of a lease. None if another process holds it now: it wrote first, or it
/// replaced `holder` after this write, before the read that settles this write's lost response.
async fn write<T: LeaseDocument>(
    documents: &Documents,
    key: &Key,
    known: Option<&Snapshot<T>>,
    mut next: T,
    holder: Option<&str>,
) -> Result<Option<Snapshot<T>>> {
    let stamp = known.map_or_else(Default::default, |known| known.value.stamp().clone());
    next.set_stamp(stamp.next(&documents.clock.random_id()));
    Ok(match documents.swap(key, known, next).await? {
        SwapOutcome::Won(now) if now.value.holder() == holder => Some(now),
        SwapOutcome::Won(_) | SwapOutcome::Lost(_) => None,
    })
}
