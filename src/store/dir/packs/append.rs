//! Fills packs: what the transactions of the writer thread append.
//!
//! Guarantees: all bodies of a transaction are written with one write and made durable with one
//! sync, before its commit; a place in a pack is given to one body, once: after a transaction that
//! failed, and after each opening of a store, a new pack is begun. Without room for bodies nothing
//! is appended, and they go into the index, as removals must still work (`disk`).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::super::files::Files;
use super::super::modes::create_file;
use super::super::tables::FileRef;
use super::record;
use crate::digest::Sha256;

/// A pack that has so many bytes is finished.
const MAX_PACK_BYTES: u64 = 64 << 20;

/// A pack of which nothing is alive is finished already with so many bytes.
const MIN_DEAD_BYTES: u64 = 1 << 20;

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
    bytes: Vec<u8>,
    /// To ask for room. None: nothing is appended.
    files: Option<Arc<Files>>,
    has_room: Option<bool>,
}

impl Appending {
    /// Appends a body. None: it must stay in the index.
    pub fn push(&mut self, row_key: &str, body: &[u8]) -> Option<FileRef> {
        let files = self.files.as_ref()?;
        if !*self.has_room.get_or_insert_with(|| files.has_room(MAX_PACK_BYTES / 4)) {
            return None;
        }
        let begin = self.end();
        let offset = begin + record::append(&mut self.bytes, row_key, body);
        Some(FileRef { id: self.id.clone(), len_bytes: body.len() as u64, offset })
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
        let appending = Appending {
            id,
            is_new: self.current.is_none(),
            base,
            bytes: std::mem::take(&mut self.buffer),
            files: Some(Arc::clone(&self.files)),
            has_room: None,
        };
        (appending, finished)
    }

    /// Writes what was appended. **Durability**: the bytes are synced; the name of a new pack is
    /// only after [`Files::sync_names`]. Blocks.
    pub fn write(&mut self, appending: Appending) -> io::Result<()> {
        let (end, Appending { id, base, mut bytes, .. }) = (appending.end(), appending);
        if !bytes.is_empty() {
            let current = match &mut self.current {
                Some(current) => current,
                None => {
                    self.begun += 1;
                    let file = create_file(&self.files.places().incoming.join(&id))?;
                    self.current.insert(Current { id, file, end: 0, committed: false })
                }
            };
            current.file.write_all_at(&bytes, base)?;
            current.file.sync_data()?;
            current.end = end;
        }
        bytes.clear();
        bytes.shrink_to(KEPT_BYTES);
        self.buffer = bytes;
        Ok(())
    }

    /// To be called after a commit, with how many bytes of the pack are alive where that changed.
    /// Returns whether the pack is finished.
    pub fn committed(&mut self, live_bytes: Option<u64>) -> bool {
        if let Some(current) = self.current.as_mut().filter(|current| !current.committed) {
            current.committed = true;
            // If this fails, readers find the file under `incoming/`, and the next opening moves
            // it.
            self.files.publish(&current.id).ok();
        }
        let is_dead =
            |current: &mut Current| live_bytes == Some(0) && current.end >= MIN_DEAD_BYTES;
        self.current.take_if(is_dead).is_some()
    }

    /// Ends the pack after a transaction that failed. Returns its id if it is in doubt whether an
    /// index refers to it.
    pub fn abandon(&mut self) -> Option<String> {
        self.current.take().filter(|current| !current.committed).map(|current| current.id)
    }
}
