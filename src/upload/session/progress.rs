//! How far a session is, by its records.
//!
//! Guarantees: one pass over the segments; a complete session has nothing left to come, also where
//! parts between others were left out. It reads only the records.

use futures_util::TryStreamExt;

use super::super::error::Result;
use super::super::plan::{self, ChunkRange};
use super::state::Session;

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Chunks that are durable and recorded.
    pub stored: u64,
    /// None while the size is not known.
    pub remaining: Option<u64>,
    /// Missing chunks, ascending; without a size only those below the highest recorded one.
    pub missing: Vec<ChunkRange>,
    /// The bytes of the recorded chunks that clients sent.
    pub sent_bytes: u64,
    /// The bytes of the recorded chunks that the store had already.
    pub known_bytes: u64,
}

impl Session {
    /// What is stored and what is missing. The root is read again first: the client may have ended
    /// the session at another gateway.
    pub async fn progress(&self) -> Result<Progress> {
        let root = self.current_root().await?.value;
        let mut segments = self.all_segments().await?;
        let (mut stored, mut below) = (Vec::<u32>::new(), 0);
        let (mut sent_bytes, mut known_bytes) = (0, 0);
        while let Some((_, segment)) = segments.try_next().await? {
            for (index, record) in segment.chunks.iter().filter(|(_, record)| !record.invalidated) {
                stored.push(*index);
                sent_bytes += record.sent_bytes();
                known_bytes += record.digests.len_bytes - record.sent_bytes();
            }
            below = segment.chunks.keys().next_back().map_or(0, |last| u64::from(*last) + 1);
        }
        let (plan, count) = (root.plan, stored.len() as u64);
        let (remaining, missing) = match root.finished() {
            // Also where no size was named, and parts between others were left out.
            Some(_) => (Some(0), Vec::new()),
            None => {
                let remaining = plan.chunks().map(|total| total.saturating_sub(count));
                (remaining, plan::gaps(stored, plan.chunks().unwrap_or(below)))
            }
        };
        Ok(Progress { stored: count, remaining, missing, sent_bytes, known_bytes })
    }
}
