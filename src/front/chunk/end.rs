//! Ending a backup: finalize and abort.
//!
//! Guarantees: both can be repeated; a repeated call gives the same response as the first.

use http::{Response, StatusCode};

use crate::api;
use crate::names::BackupId;
use crate::web::{RequestBody, full};

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, json, view};

impl ChunkApi {
    pub(super) async fn finalize(
        &self,
        request: AuthedRequest,
        body: RequestBody,
        id: BackupId,
    ) -> HandlerResult {
        let session = self.session_to_write(&request, &id).await?;
        let document: api::Finalize = json::read_or_default(body, &request.payload).await?;
        let expected = document.expected_digest.as_deref().map(str::parse).transpose();
        let expected =
            expected.map_err(|error| Problem::bad(format!("expectedDigest: {error}")))?;
        let object = session.finalize(expected).await?;
        Ok(json::reply(StatusCode::OK, &view::finalized(&object)))
    }

    pub(super) async fn abort(&self, request: AuthedRequest, id: BackupId) -> HandlerResult {
        let session = self.session_to_write(&request, &id).await?;
        session.abort("aborted by a client").await?;
        let mut reply = Response::new(full(""));
        *reply.status_mut() = StatusCode::NO_CONTENT;
        Ok(reply)
    }
}
