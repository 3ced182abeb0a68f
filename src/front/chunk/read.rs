//! Reading backups: the manifest, the missing chunks, and the list.
//!
//! Guarantees: a list has only backups that the sender may read; the `ETag` of a manifest changes
//! whenever its text does.

use http::{HeaderValue, Response, StatusCode, header};

use crate::accounts::Access;
use crate::api;
use crate::names::{BackupId, Bucket, Key};
use crate::upload::ListQuery;
use crate::web::{full, streamed};

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, json, view};

const MAX_LIST_LIMIT: usize = 1000;
const DEFAULT_LIST_LIMIT: usize = 100;

impl ChunkApi {
    pub(super) async fn get(&self, request: AuthedRequest, id: BackupId) -> HandlerResult {
        let view = request.query.get("view").map(str::to_owned);
        let account = request.query.get("account");
        let (owner, session) = self.session_to_read(&request, &id, account).await?;
        match view.as_deref() {
            None => {}
            Some("missing") => {
                let progress = session.progress().await?;
                let root = session.root();
                let missing = api::Missing {
                    backup_id: root.backup_id.to_string(),
                    status: view::status(&root.status),
                    stored: progress.stored,
                    remaining: progress.remaining,
                    missing: progress
                        .missing
                        .iter()
                        .map(|range| [range.first, range.last])
                        .collect(),
                    sent_bytes: Some(progress.sent_bytes),
                    known_bytes: Some(progress.known_bytes),
                };
                return Ok(json::reply(StatusCode::OK, &missing));
            }
            Some(other) => {
                return Err(Problem::bad(format!(
                    "view={other:?} is not known; the only view is view=missing"
                )));
            }
        }
        // The tag is read first: a later change makes the text newer than its tag, never older.
        let tag = format!("\"{}\"", session.version().await?);
        let unchanged = request
            .head
            .headers
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .any(|line| matches(line, &tag));
        let mut reply = if unchanged {
            let mut reply = Response::new(full(""));
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            reply
        } else {
            let (segments, chunk_size) = (session.segments().await?, session.chunk_size().await?);
            let mut reply =
                Response::new(streamed(view::manifest(&owner, session, chunk_size, segments)));
            reply
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply
        };
        let tag = HeaderValue::from_str(&tag).expect("a version has only hex digits");
        reply.headers_mut().insert(header::ETAG, tag);
        Ok(reply)
    }

    pub(super) async fn list(&self, request: AuthedRequest) -> HandlerResult {
        let query = list_query(&request)?;
        let identity = &request.identity;
        let page = self.shared.uploads.list_shared(identity.account_name(), &query).await?;
        let visible = page
            .roots
            .iter()
            .filter(|(_, root)| identity.allows(Access::Read, &root.bucket, &root.key));
        let list = api::BackupList {
            backups: visible.map(|(owner, root)| view::summary(owner, root)).collect(),
            next: page.next,
        };
        Ok(json::reply(StatusCode::OK, &list))
    }
}

/// The most entries of a page of a listing. **Errors**: `BadRequest`.
pub(super) fn limit(request: &AuthedRequest) -> Result<usize, Problem> {
    let Some(text) = request.query.get("limit") else { return Ok(DEFAULT_LIST_LIMIT) };
    let limit = text.parse().ok().filter(|limit| (1..=MAX_LIST_LIMIT).contains(limit));
    limit.ok_or_else(|| Problem::bad(format!("limit must be in [1, {MAX_LIST_LIMIT}]")))
}

fn list_query(request: &AuthedRequest) -> Result<ListQuery, Problem> {
    let text = |name: &str| request.query.get(name).map(str::to_owned);
    if let Some(status) = request.query.get("status") {
        let known =
            serde_json::from_value::<api::Status>(serde_json::Value::String(status.to_owned()));
        known.map_err(|_| Problem::bad(format!("status {status:?} is not known")))?;
    }
    Ok(ListQuery {
        bucket: text("bucket").map(Bucket::from),
        prefix: text("prefix").unwrap_or_default(),
        key: text("key").map(Key::from),
        file_id: text("fileId"),
        status: text("status"),
        after: text("after"),
        limit: limit(request)?,
    })
}

/// Whether a line of `If-None-Match` lists the tag, by weak comparison (RFC 9110 §13.1.2).
fn matches(line: &HeaderValue, tag: &str) -> bool {
    let line = line.to_str().unwrap_or_default();
    line.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
