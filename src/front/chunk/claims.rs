//! Claims: which of a client's chunks must be sent.
//!
//! Guarantees: what is refused is refused before anything is recorded; a chunk that is not named as
//! missing is durable. Source: docs/api.md#claim-chunks.

use http::StatusCode;

use crate::accounts::Access;
use crate::api;
use crate::digest::Sha256;
use crate::names::BackupId;
use crate::upload::ChunkClaim;
use crate::web::RequestBody;

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, json};

/// The most chunks of one call.
const MAX_CLAIMS: usize = 10_000;

impl ChunkApi {
    pub(super) async fn claim_chunks(
        &self,
        request: AuthedRequest,
        body: RequestBody,
        id: BackupId,
    ) -> HandlerResult {
        let session = self.session_to_write(&request, &id).await?;
        let document: api::ClaimChunks = json::read_long(body, &request.payload).await?;
        let claims = claims(document)?;
        let reads_bucket = request.identity.allows(Access::Read, &session.root().bucket, "");
        let claimed = session.claim_chunks(&claims, reads_bucket).await?;
        self.shared.metrics.chunks_known(claimed.recorded + claimed.copied);
        let missing = claimed.missing.iter().map(|range| [range.first, range.last]).collect();
        let reply = api::Claims { recorded: claimed.recorded, copied: claimed.copied, missing };
        Ok(json::reply(StatusCode::OK, &reply))
    }
}

/// The claims of a request, ascending. **Errors**: `BadRequest`.
fn claims(document: api::ClaimChunks) -> Result<Vec<ChunkClaim>, Problem> {
    if document.chunks.len() > MAX_CLAIMS {
        return Err(Problem::bad(format!("chunks must have at most {MAX_CLAIMS} entries")));
    }
    let parsed = document.chunks.into_iter().map(|chunk| {
        let api::ClaimedChunk { index, checksum, length } = chunk;
        let sha256: Sha256 = checksum.parse().map_err(|_| {
            Problem::bad(format!("the checksum of chunk {index} must be sha256: and 64 hex digits"))
        })?;
        Ok(ChunkClaim { index, sha256, len_bytes: length })
    });
    let mut claims = parsed.collect::<Result<Vec<_>, Problem>>()?;
    claims.sort_unstable_by_key(|claim| claim.index);
    let twice = claims.windows(2).find(|pair| pair[0].index == pair[1].index);
    match twice {
        None => Ok(claims),
        Some(pair) => Err(Problem::bad(format!("chunk {} is claimed twice", pair[0].index))),
    }
}
