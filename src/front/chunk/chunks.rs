//! Storing and reading chunks.
//!
//! Guarantees: a chunk that is already stored is answered before any of its body is requested, so
//! that a client that waits for `100 Continue` sends nothing; the bytes are hashed once, in
//! `upload`. Source: docs/api.md#put-a-chunk, docs/architecture.md#known-chunks; RFC 9530.

use futures_util::TryStreamExt;
use http::{HeaderValue, Response, StatusCode, header};

use crate::api;
use crate::digest::Sha256;
use crate::escape::error_chain;
use crate::names::BackupId;
use crate::upload::{Admission, Body, Stored};
use crate::web::{Reply, RequestBody, content_digest, print_sha256, streamed};

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, json};

impl ChunkApi {
    pub(super) async fn put_chunk(
        &self,
        request: AuthedRequest,
        body: RequestBody,
        id: BackupId,
        index: u64,
    ) -> HandlerResult {
        let (sha256, len_bytes) = declared(&request)?;
        let session = self.session_to_write(&request, &id).await?;
        let known = match session.admit(index, sha256, len_bytes).await? {
            Admission::Known => true,
            Admission::Wanted(permit) => match permit.store(Body::new(len_bytes, body)).await? {
                Stored::New => false,
                Stored::Known => true,
            },
        };
        if known {
            self.shared.metrics.chunk_known();
        } else {
            self.shared.metrics.chunk_stored();
        }
        let status = if known { StatusCode::OK } else { StatusCode::CREATED };
        Ok(stored(status, index, &sha256))
    }

    pub(super) async fn get_chunk(
        &self,
        request: AuthedRequest,
        id: BackupId,
        index: u64,
    ) -> HandlerResult {
        let account = request.query.get("account");
        let (_, session) = self.session_to_read(&request, &id, account).await?;
        let chunk = self.shared.objects.read_chunk(&session, index).await?;
        let len_bytes = chunk.body.len_bytes();
        let root = session.root();
        // The status is sent by then: only the log can say which bytes of the store are damaged.
        let body = chunk.body.inspect_err(move |error| {
            let (bucket, key) = (root.bucket.as_str(), root.key.as_str());
            let cause = error_chain(error.as_ref());
            tracing::error!(bucket, key, chunk = index, cause, "a chunk cannot be read");
        });
        let mut reply = Response::new(streamed(body));
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, len_bytes.into());
        headers.insert("content-digest", digest_value(&chunk.record.digests.sha256));
        Ok(reply)
    }
}

/// The checksum and length that the request declares. **Errors**: `BadRequest`, `LengthRequired`.
pub(super) fn declared(request: &AuthedRequest) -> Result<(Sha256, u64), Problem> {
    let headers = &request.head.headers;
    let len = headers.get(header::CONTENT_LENGTH).ok_or_else(Problem::length_required)?;
    let len = len.to_str().ok().and_then(|text| text.parse().ok());
    let len = len.ok_or_else(|| Problem::bad("Content-Length is not a number"))?;
    let sha256 = content_digest(headers)?;
    let sha256 =
        sha256.ok_or_else(|| Problem::bad("a chunk needs Content-Digest: sha-256=:<base64>:"))?;
    match request.payload.sha256() {
        Some(signed) if signed != sha256 => {
            Err(Problem::bad("Content-Digest and x-amz-content-sha256 name different bytes"))
        }
        Some(_) | None => Ok((sha256, len)),
    }
}

fn stored(status: StatusCode, index: u64, sha256: &Sha256) -> Reply {
    json::reply(status, &api::StoredChunk { index, checksum: sha256.to_string() })
}

fn digest_value(sha256: &Sha256) -> HeaderValue {
    HeaderValue::from_str(&print_sha256(sha256)).expect("Base64 is printable ASCII")
}
