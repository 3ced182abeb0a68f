//! The stamp of a document: how often it was written, and by which writes.
//!
//! Guarantees: `seq` grows by one with each write; the last write ids are remembered, so that a
//! write whose response was lost can be recognised. Pure. Source: docs/architecture.md#write-ids.

use serde::{Deserialize, Serialize};

/// How many earlier write ids a document remembers. One write per process and document is in
/// flight, so this many processes may write between a lost response and the read that settles it.
const MAX_RECENT_WRITE_IDS: usize = 8;

/// Which write produced a document, and how many writes it has had.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    pub seq: u64,
    /// Random; empty in a document that was never written.
    pub write_id: String,
    /// The write ids before `write_id`, the newest first.
    #[serde(default)]
    pub recent_write_ids: Vec<String>,
}

impl Stamp {
    /// The stamp of the next write.
    #[must_use]
    pub fn next(&self, write_id: &str) -> Self {
        let mut recent_write_ids = self.recent_write_ids.clone();
        if !self.write_id.is_empty() {
            recent_write_ids.insert(0, self.write_id.clone());
        }
        recent_write_ids.truncate(MAX_RECENT_WRITE_IDS);
        Self { seq: self.seq + 1, write_id: write_id.to_owned(), recent_write_ids }
    }

    /// Whether the write with this id happened, as far as the stamp remembers.
    pub fn remembers(&self, write_id: &str) -> bool {
        self.write_id == write_id || self.recent_write_ids.iter().any(|id| id == write_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_and_eight_before_it_are_remembered() {
        let stamp =
            (0..10).fold(Stamp::default(), |stamp, write| stamp.next(&format!("write{write}")));
        assert_eq!(stamp.seq, 10);
        assert!((1..10).all(|write| stamp.remembers(&format!("write{write}"))));
        assert!(!stamp.remembers("write0"));
    }
}
