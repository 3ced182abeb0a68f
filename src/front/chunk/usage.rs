//! What the objects below a prefix take in the store.
//!
//! Guarantees: it is a listing, and needs the same right: whoever may not list a prefix learns
//! nothing of it. Only the objects of the page are looked at, so nothing tells of other objects
//! that share their bytes. Source: docs/api.md#usage.

use http::StatusCode;

use crate::accounts::Access;
use crate::api;
use crate::names::{Bucket, Key};
use crate::object::{Extent, ListOptions, Next, ObjectExtents, StoreKind};
use crate::upload;

use super::problem::Problem;
use super::{AuthedRequest, ChunkApi, HandlerResult, json, read, validate};

impl ChunkApi {
    pub(super) async fn usage(&self, request: AuthedRequest) -> HandlerResult {
        let (bucket, options) = usage_query(&request)?;
        request.subject.is(&bucket, &Key::from(options.prefix.as_str()));
        if self.shared.objects.reserves(&bucket) {
            return Err(Problem::reserved_bucket(&bucket));
        }
        if !request.identity.allows(Access::Read, &bucket, &options.prefix) {
            return Err(Problem::forbidden(Access::Read, &bucket));
        }
        let page = self.shared.objects.extents(&bucket, &options).await;
        let page = page.map_err(|error| {
            if error.kind() == StoreKind::NoSuchBucket {
                return upload::Error::NoSuchBucket(bucket.clone());
            }
            upload::Error::own(format!("listing the bucket {bucket}"), error)
        })?;
        let objects = page.objects.into_iter().map(shown).collect();
        let usage = api::UsagePage { objects, next: page.next.map(cursor) };
        Ok(json::reply(StatusCode::OK, &usage))
    }
}

fn usage_query(request: &AuthedRequest) -> Result<(Bucket, ListOptions), Problem> {
    let bucket = request.query.get("bucket").ok_or_else(|| Problem::bad("bucket is missing"))?;
    validate::bucket(bucket)?;
    let mut options = ListOptions {
        prefix: request.query.get("prefix").unwrap_or_default().to_owned(),
        limit: read::limit(request)?,
        ..ListOptions::default()
    };
    if let Some(cursor) = request.query.get("after") {
        let next = continued(cursor);
        options.continue_at(
            next.ok_or_else(|| Problem::bad("after must be the value of next on the page before"))?,
        );
    }
    Ok((Bucket::from(bucket), options))
}

/// What the next page continues with: the store's own token, or else a key.
fn cursor(next: Next) -> String {
    next.token.map_or_else(|| format!("k{}", next.after), |token| format!("t{token}"))
}

fn continued(cursor: &str) -> Option<Next> {
    let token = cursor.strip_prefix('t').map(str::to_owned);
    let after = cursor.strip_prefix('k').or(token.as_deref().map(|_| ""))?;
    Some(Next { after: after.to_owned(), token })
}

fn shown(object: ObjectExtents) -> api::ObjectUsage {
    let ObjectExtents { key, etag, size_bytes, extents } = object;
    let extent = |Extent { id, first, len_bytes }: Extent| api::Extent {
        id: format!("{id:016x}"),
        first,
        length: len_bytes,
    };
    api::ObjectUsage {
        key: key.to_string(),
        etag: etag.to_string(),
        size: size_bytes,
        extents: extents.map(|extents| extents.into_iter().map(extent).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_continues_where_its_page_ended() {
        let next = |after: &str, token: Option<&str>| Next {
            after: after.to_owned(),
            token: token.map(str::to_owned),
        };
        assert_eq!(continued(&cursor(next("t/k", None))), Some(next("t/k", None)));
        assert_eq!(continued(&cursor(next("t/k", Some("kx")))), Some(next("", Some("kx"))));
        for other in ["", "x", "/key"] {
            assert_eq!(continued(other), None, "{other:?}");
        }
    }
}
