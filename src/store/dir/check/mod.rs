//! Compares the index of a store with its files, and makes the index anew.
//!
//! Guarantees: `check` changes nothing but what opening the store would repair too, and runs beside
//! a gateway. `rebuild` needs the store for itself, writes the new index beside the old one, which
//! it keeps under another name, and removes no file. What cannot be found again is said
//! (docs/decisions/0026-a-snapshot-is-an-index-copy-and-links.md).

mod compare;
mod finding;
mod rebuild;
mod salvage;

pub use compare::check;
pub use finding::{CheckReport, Finding};
pub use rebuild::rebuild;
