//! Claims: a client says which chunks it has, and is told which ones it must send.
//!
//! Guarantees: a chunk that is not named as missing is durable and recorded, as after a put of it;
//! what is known in complete objects is copied, a bounded number at a time. Nothing is changed by a
//! claim of bytes that nobody has. Source: docs/api.md#claim-chunks.

use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::super::PutPermit;
use super::super::chunk::Admission;
use super::super::error::Result;
use super::super::manifest::Record;
use super::super::plan::{ChunkIndex, ChunkRange};
use super::super::session::Session;
use super::find::Wanted;
use crate::digest::Sha256;

/// How long the first call waits until the known parts are loaded.
const LOAD_LIMIT: Duration = Duration::from_secs(10);
/// Chunks of one call that are looked for at a time.
const MAX_LOOKS: usize = 16;

/// A chunk that the client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkClaim {
    pub index: u64,
    pub sha256: Sha256,
    pub len_bytes: u64,
}

/// What became of the claims of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Chunks that were recorded before.
    pub recorded: u64,
    /// Chunks that were copied from complete objects.
    pub copied: u64,
    /// Those that must be sent, ascending.
    pub missing: Vec<ChunkRange>,
}

impl Session {
    /// Records those of the chunks whose bytes are known, and says which ones are not. `claims` is
    /// ascending; `reads_bucket`: whether the client may read all of the bucket, so that other
    /// accounts' objects count too. **Errors**: as for `admit`; what was recorded before the error
    /// stays.
    pub async fn claim_chunks(&self, claims: &[ChunkClaim], reads_bucket: bool) -> Result<Claimed> {
        let mut claimed = Claimed::default();
        let mut wanted = Vec::new();
        for claim in claims {
            match self.admit(claim.index, claim.sha256, claim.len_bytes).await? {
                Admission::Known => claimed.recorded += 1,
                Admission::Wanted(permit) => wanted.push((permit, *claim)),
            }
        }
        let copies = stream::iter(wanted).map(|(permit, claim)| async move {
            let is_copied = self.copy_claimed(permit, claim, reads_bucket).await;
            (claim.index, is_copied)
        });
        let mut copies = copies.buffered(MAX_LOOKS);
        while let Some((index, is_copied)) = copies.next().await {
            if is_copied {
                claimed.copied += 1;
                continue;
            }
            match claimed.missing.last_mut() {
                Some(range) if range.last + 1 == index => range.last = index,
                Some(_) | None => claimed.missing.push(ChunkRange { first: index, last: index }),
            }
        }
        Ok(claimed)
    }

    async fn copy_claimed(&self, permit: PutPermit, claim: ChunkClaim, reads_bucket: bool) -> bool {
        let Ok(index) = ChunkIndex::try_from(claim.index) else { return false };
        let ChunkClaim { sha256, len_bytes, .. } = claim;
        // The chunk API needs no checksum but the SHA-256.
        let is_summed = &|_: &Record| true;
        let load_limit = LOAD_LIMIT;
        let wanted = Wanted { index, sha256, len_bytes, reads_bucket, is_summed, load_limit };
        self.copy_known(permit, &wanted).await.is_some()
    }
}
