//! Snapshots: a second directory with the same objects, made while the store is in use.
//!
//! Guarantees: a snapshot has every change that was acknowledged before it was begun, and each
//! later one completely or not at all; its index is one commit of the store's, and all files of
//! that commit are there; a store that opens it needs no repair. Until it is complete it has
//! another name. Writes and reads of the store go on meanwhile; removals of files wait (`pins`).
//!
//! The process that has the store open copies the index, into `incoming/`, where the next opening
//! would remove it; whoever wants the snapshot takes the copy and links the files with the rights
//! of its own user. They talk over a Unix socket in the directory
//! (docs/decisions/0026-a-snapshot-is-an-index-copy-and-links.md).

mod held;
mod index_copy;
mod listener;
mod socket;
mod take;

pub(super) use held::Held;
pub(super) use listener::Listener;
pub(super) use socket::{Offer, ask};
pub use take::{Snapshot, snapshot};
