//! Records: JSON documents in one bucket that many processes change at the same time.
//!
//! Guarantees: a document is refused, not misread, if a byte of it changed or if it has another
//! version; every change is a conditional write, so no writer overwrites a content that it has not
//! seen; a write whose response was lost is recognised afterwards by its write id; retries are
//! bounded. It does not know what a document means, and it knows no session, chunk or account.
//! **Layout**: the keys are the callers'. **Errors**: [`Kind`]; after `Unavailable` a write may
//! have happened, and the caller repeats the whole operation.
//! Source: docs/architecture.md#records.
//!
//! # A new kind of document
//!
//! 1. Define the document. It has a [`Stamp`], and [`frame`] gives its JSON a version and a
//!    checksum.
//! 2. Create it with [`Documents::create`]: only where none is.
//! 3. Change it with [`Documents::swap`], or in a loop with [`Documents::change`].
//!
//! ```
//! use ratchet::records::{ChangeOutcome, Document, Documents, Result, Stamp, SwapOutcome, frame};
//! # use std::sync::Arc;
//! # use ratchet::{clock::Clock, store::{Bucket, Key, Store, memory::Memory}};
//!
//! #[derive(Clone, serde::Serialize, serde::Deserialize)]
//! #[serde(rename_all = "camelCase")]
//! struct Claims {
//!     #[serde(flatten)]
//!     stamp: Stamp,
//!     owners: Vec<String>,
//! }
//!
//! impl Document for Claims {
//!     fn stamp(&self) -> &Stamp {
//!         &self.stamp
//!     }
//!     fn set_stamp(&mut self, stamp: Stamp) {
//!         self.stamp = stamp;
//!     }
//!     fn encode(&self) -> Vec<u8> {
//!         frame::encode(self)
//!     }
//!     fn decode(bytes: &[u8]) -> Result<Self, String> {
//!         frame::decode(bytes)
//!     }
//! }
//!
//! async fn claim(documents: &Documents, key: &Key, owner: &str) -> Result<bool> {
//!     let first = Claims {
//!         stamp: Stamp::default().next(&documents.clock.random_id()),
//!         owners: vec![owner.to_owned()],
//!     };
//!     let known = match documents.create(key, first).await? {
//!         SwapOutcome::Won(_) => return Ok(true),
//!         SwapOutcome::Lost(Some(existing)) => existing,
//!         SwapOutcome::Lost(None) => return Ok(false), // created and deleted by others
//!     };
//!     let add_owner = |claims: &mut Claims| {
//!         let is_new = !claims.owners.iter().any(|known| known == owner);
//!         claims.owners.push(owner.to_owned());
//!         is_new
//!     };
//!     Ok(match documents.change(key, known, add_owner, |_, _| ()).await? {
//!         ChangeOutcome::Changed { .. } | ChangeOutcome::Refused(_) => true,
//!         ChangeOutcome::Absent => false,
//!     })
//! }
//! # let clock = Clock::system();
//! # let store = Arc::new(Memory::new(clock.clone()));
//! # let documents = Documents { store, bucket: Bucket::from("state"), clock };
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! #     documents.store.create_bucket(&documents.bucket).await.unwrap();
//! #     for owner in ["a", "b", "b"] {
//! #         assert!(claim(&documents, &Key::from("v1/claims"), owner).await.unwrap());
//! #     }
//! #     let claims = documents.read::<Claims>(&Key::from("v1/claims")).await.unwrap().unwrap();
//! #     assert_eq!(claims.value.owners, ["a", "b"]);
//! # });
//! ```
//!
//! `Won` and `Changed` mean that the write is durable. `Lost` means that another writer was first
//! and that this write will never happen: the caller decides on the content that it gets. An error
//! means that nobody knows yet; repeating the operation is safe if the change is (here an owner is
//! not added twice). A crash before the write leaves the old document, a crash after it the new
//! one: there is nothing between. Where an operation writes several documents, their order has to
//! make each prefix of it harmless.
//!
//! Beside that: [`Lease`] is an exclusive right that expires; [`commit`] lets many changes of one
//! document share one write.

mod document;
mod documents;
mod error;
pub mod frame;
mod group_commit;
mod lease;
mod stamp;
mod swap;

#[cfg(test)]
mod tests;

pub use document::{Document, Snapshot};
pub use documents::Documents;
pub use error::{Error, Kind, Result, Retryable};
pub use group_commit::{Applied, GroupCommit, GroupOwner, commit};
pub use lease::{FoundLease, Lease, LeaseDocument};
pub use stamp::Stamp;
pub use swap::{ChangeOutcome, SwapOutcome};
