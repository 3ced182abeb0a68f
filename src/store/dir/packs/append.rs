//! Fills packs: what the transactions of the writer thread append.
//!
//! Guarantees: all bodies of a transaction, and its entry in the journal, are written with one
//! write and made durable with one sync, before its commit; a place in a pack is given to one body,
//! once: after a transaction that failed, and after each opening of a store, a new pack is begun. A
//! write that failed leaves nothing in the pack. Without room for bodies nothing is appended, and
//! they go into the index, as removals must still work (`disk`). At most [`MAX_JOURNALED`]
//! transactions are in the journal alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::super::files::Files;
use super::super::modes::create_file;
use super::super::tables::FileRef;
use super::{journal, record};
use crate::digest::Sha256;

/// A pack that has so many bytes is finished.
const MAX_PACK_BYTES: u64 = 64 << 20;

/// A pack of which nothing is alive is finished already with so many bytes.
const MIN_DEAD_BYTES: u64 = 1 << 20;

/// So many transactions may be in the journal and not in the index's file. They are read when a
/// store is opened after a crash, and the index cannot use the pages again that they replaced.
const MAX_JOURNALED: u32 = 256;

/// The memory that is kept for the next transaction.
const KEPT_BYTES: usize = 1 << 20;

/// The pack that is being filled, of one open store.
#[derive(Debug)]
pub struct PackWriter {
    files: Arc<Files>,
    /// Random for each opening of a store: ids of packs follow from it.
    seed: String,
    begun: u64,
    current: Option<Current>,
    /// Memory for the next transaction.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Current {
    id: String,
    file: File,
    end: u64,
    /// Whether an index refers to the pack.
    committed: bool,
    /// How many transactions are in the journal alone.
    journaled: u32,
}

/// What one transaction appends to a pack.
#[derive(Debug, Default)]
pub struct Appending {
    /// The pack.
    pub id: String,
    /// Whether nothing was appended to it before.
    pub is_new: bool,
    /// Where it ended before.
    pub base: u64,
    /// Whether the entry in the journal makes the transaction durable, instead of a sync of the
    /// index.
    pub is_journaled: bool,
    bytes: Vec<u8>,
    /// False: nothing is appended.
    has_room: bool,
}

impl Appending {
    /// Appends a body. None: it must stay in the index.
    pub fn push(&mut self, row_key: &str, body: &[u8]) -> Option<FileRef> {
        if !self.has_room {
            return None;
        }
        let begin = self.end();
        let offset = begin + record::append(&mut self.bytes, row_key, body);
        Some(FileRef { id: self.id.clone(), len_bytes: body.len() as u64, offset })
    }

    /// Whether anything may be appended.
    pub fn has_room(&self) -> bool {
        self.has_room
    }

    /// Appends the entry of the transaction in the journal. To be called last.
    pub fn journal(&mut self, changes: &[u8], live_bytes: u64) {
        journal::append((&self.id, self.base), &mut self.bytes, changes, live_bytes);
    }

    /// Where the pack ends with what was appended.
    pub fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl PackWriter {
    pub fn new(files: Arc<Files>, seed: String) -> Self {
        Self { files, seed, begun: 0, current: None, buffer: Vec::new() }
    }

    /// For the next transaction, with whether a pack was finished.
    pub fn begin(&mut self) -> (Appending, bool) {
        let finished = self.current.take_if(|current| current.end >= MAX_PACK_BYTES).is_some();
        let (id, base) = match &self.current {
            Some(current) => (current.id.clone(), current.end),
            None => {
                let text = format!("{} {}", self.seed, self.begun);
                (Sha256::of(text.as_bytes()).hex()[..32].to_owned(), 0)
            }
        };
        let has_room = self.files.has_room(MAX_PACK_BYTES / 4);
        let may_be_journaled = |current: &Current| current.journaled < MAX_JOURNALED;
        let appending = Appending {
            id,
            is_new: self.current.is_none(),
            base,
            // What begins a pack is in the index's file, which says where the journal is.
            is_journaled: has_room && self.current.as_ref().is_some_and(may_be_journaled),
            bytes: std::mem::take(&mut self.buffer),
            has_room,
        };
        (appending, finished)
    }

    /// Creates the file of a pack that has none yet. Returns whether it did: its name is durable
    /// only after [`Files::sync_names`]. Blocks.
    pub fn begin_file(&mut self, appending: &Appending) -> io::Result<bool> {
        if self.current.is_some() || appending.is_empty() {
            return Ok(false);
        }
        self.begun += 1;
        let id = appending.id.clone();
        let file = create_file(&self.files.places().incoming.join(&id))?;
        self.current = Some(Current { id, file, end: 0, committed: false, journaled: 0 });
        Ok(true)
    }

    /// Writes what was appended into the file. **Durability**: the bytes are synced. Blocks.
    pub fn write(&mut self, appending: Appending) -> io::Result<()> {
        let (end, Appending { base, mut bytes, .. }) = (appending.end(), appending);
        if let Some(current) = self.current.as_mut().filter(|_| !bytes.is_empty()) {
            current.file.write_all_at(&bytes, base)?;
            current.file.sync_data()?;
            current.end = end;
        }
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES);
        self.buffer = bytes;
        Ok(())
    }

    /// To be called after a commit, with whether it is in the journal alone, and with how many
    /// bytes of the pack are alive where that changed. Returns whether the pack is finished.
    pub fn committed(&mut self, is_journaled: bool, live_bytes: Option<u64>) -> bool {
        let Some(current) = &mut self.current else { return false };
        if !current.committed {
            current.committed = true;
            // If this fails, readers find the file under `incoming/`, and the next opening moves
            // it.
            self.files.publish(&current.id).ok();
        }
        current.journaled = if is_journaled { current.journaled + 1 } else { 0 };
        let is_dead =
            |current: &mut Current| live_bytes == Some(0) && current.end >= MIN_DEAD_BYTES;
        self.current.take_if(is_dead).is_some()
    }

    /// Ends the pack after a transaction that failed, without what a failed write left in it: that
    /// could be an entry of the journal, which would be taken over later, over newer changes.
    /// Returns its id if it is in doubt whether an index refers to it. Blocks.
    pub fn abandon(&mut self) -> io::Result<Option<String>> {
        if let Some(current) = &self.current {
            current.file.set_len(current.end)?;
            current.file.sync_all()?;
        }
        Ok(self.current.take().filter(|current| !current.committed).map(|current| current.id))
    }
}
