//! Backups of one chunk, or of none, in one request.
//!
//! Guarantees: what `create` and `put_chunk` refuse is refused before the body is read; an object
//! is replaced only under the condition of the request. Source: docs/api.md#back-up-in-one-request.

use std::collections::BTreeMap;

use http::header;

use crate::api;
use crate::header_names::METADATA_PREFIX;
use crate::names::BackupId;
use crate::object::PutMode;
use crate::upload::{Body, WholeFile};
use crate::web::RequestBody;

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, chunks, create, validate};

impl ChunkApi {
    pub(super) async fn put_whole(
        &self,
        request: AuthedRequest,
        body: RequestBody,
        id: BackupId,
    ) -> HandlerResult {
        validate::backup_id(&id)?;
        let (sha256, len_bytes) = chunks::declared(&request)?;
        let new = validate::create(document(&request, len_bytes)?)?;
        self.require_target(&request, (&new.bucket, &new.key))?;
        let (mode, account) = (condition(&request)?, request.identity.account_name().clone());
        let body = Body::new(len_bytes, body);
        let file = WholeFile { body, sha256, mode };
        let (created, session) = self.shared.uploads.put_whole(&account, &id, new, file).await?;
        self.shared.metrics.chunk_stored();
        Ok(create::reply(&account, created, &session))
    }
}

/// What the query and the header say of the backup. **Errors**: `BadRequest`.
fn document(request: &AuthedRequest, len_bytes: u64) -> Result<api::CreateBackup, Problem> {
    let text = |name: &str| request.query.get(name).unwrap_or_default().to_owned();
    let chunk_size = match request.query.get("chunkSize") {
        None => len_bytes.max(1),
        Some(text) => text.parse().map_err(|_| Problem::bad("chunkSize is not a number"))?,
    };
    let headers = &request.head.headers;
    let printable = |name: &header::HeaderName| {
        let values = headers.get_all(name).iter().map(|value| value.to_str().ok());
        let values: Option<Vec<&str>> = values.collect();
        values
            .map(|values| values.join(","))
            .ok_or_else(|| Problem::bad(format!("the header {name} must be printable ASCII")))
    };
    let mut metadata = BTreeMap::new();
    for name in headers.keys() {
        if let Some(short) = name.as_str().strip_prefix(METADATA_PREFIX) {
            metadata.insert(short.to_owned(), printable(name)?);
        }
    }
    let content_type = headers.contains_key(header::CONTENT_TYPE);
    Ok(api::CreateBackup {
        bucket: text("bucket"),
        key: text("key"),
        chunk_size,
        size: Some(len_bytes),
        file_id: text("fileId"),
        digest: None,
        metadata,
        content_type: content_type.then(|| printable(&header::CONTENT_TYPE)).transpose()?,
        // One piece: an object that is put whole is plain, and nothing of it could be shared.
        layout: None,
    })
}

/// What may be at the target. **Errors**: `BadRequest`.
fn condition(request: &AuthedRequest) -> Result<PutMode, Problem> {
    let headers = &request.head.headers;
    let value = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    match (value(header::IF_NONE_MATCH), value(header::IF_MATCH)) {
        (None, None) => Ok(PutMode::Overwrite),
        (Some("*"), None) => Ok(PutMode::CreateOnly),
        (None, Some(tag)) if is_strong_tag(tag) => {
            Ok(PutMode::IfMatch(tag.trim_matches('"').into()))
        }
        (Some(_), _) | (None, Some(_)) => Err(Problem::bad(
            "the condition must be If-None-Match: * or If-Match with one ETag in quotes",
        )),
    }
}

fn is_strong_tag(tag: &str) -> bool {
    tag.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .is_some_and(|inner| !inner.is_empty() && !inner.contains('"'))
}
