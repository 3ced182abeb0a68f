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
}

impl Session {
    /// What is stored and what is missing. The root is read again first: the client may have ended
    /// the session at another gateway.
    pub async fn progress(&self) -> Result<Progress> {
        let root = self.current_root().await?.value;
        let plan = root.plan;
        let segments = self.all_segments().await?;
        let (stored, below) = segments
            .try_fold((Vec::<u32>::new(), 0), |(mut stored, _), (_, segment)| async move {
                stored.extend(
                    segment
                        .chunks
                        .iter()
                        .filter(|(_, record)| !record.invalidated)
                        .map(|(index, _)| *index),
                );
                let below =
                    segment.chunks.keys().next_back().map_or(0, |last| u64::from(*last) + 1);
                Ok((stored, below))
            })
            .await?;
        let count = stored.len() as u64;
        if root.finished().is_some() {
            // Also where no size was named, and parts between others were left out.
            return Ok(Progress { stored: count, remaining: Some(0), missing: Vec::new() });
        }
        let missing = plan::gaps(stored, plan.chunks().unwrap_or(below));
        Ok(Progress {
            stored: count,
            remaining: plan.chunks().map(|total| total.saturating_sub(count)),
            missing,
        })
    }
}
