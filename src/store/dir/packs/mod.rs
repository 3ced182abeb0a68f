//! Packs: files that hold the bodies of many small objects
//! (docs/decisions/0027-small-objects-are-in-packs.md).
//!
//! Guarantees: a pack is only appended to, by the writer thread of the process that created it, and
//! the bytes of a transaction are durable before its commit; so what an index refers to never
//! changes, also in a snapshot that shares the file. Behind the last body that an index knows only
//! whole entries of the `journal` mean something, and only in the pack that the index names. A pack
//! is a file like others for the table of files, for pins, the reaper and snapshots; how much of it
//! is alive is in the table `packs` (`tables`).

mod append;
mod compact;
mod handles;
mod journal;
mod record;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod tests;

pub(super) use append::{Appending, PackWriter};
pub(super) use compact::start_compactor;
pub(super) use handles::PackHandles;
pub(super) use journal::{JournalEntries, JournalEntry};
pub(super) use record::{PackedBody, record_bytes};
