//! Subresources that the gateway has no use for: passed on to a store that may know them.
//!
//! Guarantees: only known subresources, so that no request reaches the store that the gateway would have to answer; a
//! bucket's need `admin` on the whole of it, and those that name another bucket `admin` on all; nothing that names a
//! source is passed on; the client's signature and session stay here.
//! Source: DESIGN §7, §12.14.

use http::{HeaderMap, HeaderName, Method, Response, StatusCode};

use super::error::S3Error;
use super::{Answer, Asked, S3Api};
use crate::accounts::Access;
use crate::http::{Arriving, streamed};
use crate::object::Foreign;

const MOST_DOCUMENT: usize = 1 << 20;

/// What makes the store write into a bucket that the document names, with rights that are the gateway's.
const NAME_A_BUCKET: &[&str] = &["analytics", "inventory", "logging", "replication"];

/// What of a request's head is the object's business and not the connection's.
const PASSED: &[&str] = &["content-type", "content-md5", "if-match", "if-none-match", "range"];
/// What of these is the signature's.
const SIGNATURE: &[&str] =
    &["x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-decoded-content-length"];
/// What of an answer's head is the connection's.
const OF_CONNECTION: &[&str] =
    &["connection", "keep-alive", "transfer-encoding", "date", "server", "x-amz-request-id", "x-amz-id-2"];

impl S3Api {
    pub(super) async fn pass_on(&self, asked: Asked, body: Arriving) -> Answer {
        let access = match (asked.key.is_empty(), &asked.head.method) {
            (true, _) => Access::Admin,
            (false, &Method::GET | &Method::HEAD) => Access::Read,
            (false, _) => Access::Write,
        };
        asked.require(access)?;
        let elsewhere = asked.key.is_empty() && NAME_A_BUCKET.iter().any(|name| asked.query.get(name).is_some());
        if elsewhere && asked.head.method != Method::GET && !asked.identity.account.allows(Access::Admin, "", "") {
            return Err(S3Error::denied());
        }
        if asked.head.headers.contains_key("x-amz-copy-source") {
            return Err(S3Error::invalid("x-amz-copy-source has no meaning here"));
        }
        let body = asked.document(body, MOST_DOCUMENT).await?;
        let request = Foreign {
            method: asked.head.method.clone(),
            bucket: asked.bucket.as_str().into(),
            key: asked.key.as_str().into(),
            query: unsigned(asked.head.uri.query().unwrap_or_default()),
            headers: passed(&asked.head.headers),
            body,
        };
        let Some(answer) = self.0.objects.pass_on(request).await? else {
            return Err(S3Error::not_implemented("this subresource"));
        };
        let mut reply = Response::new(streamed(answer.body));
        *reply.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in &answer.headers {
            if !OF_CONNECTION.contains(&name.as_str()) {
                reply.headers_mut().append(name, value.clone());
            }
        }
        Ok(reply)
    }
}

/// The query without a presigned URL's signature.
fn unsigned(query: &str) -> String {
    let of_signature = |pair: &&str| pair.to_ascii_lowercase().starts_with("x-amz-");
    query.split('&').filter(|pair| !pair.is_empty() && !of_signature(pair)).collect::<Vec<_>>().join("&")
}

fn passed(headers: &HeaderMap) -> HeaderMap {
    let fits = |name: &HeaderName| {
        let name = name.as_str();
        PASSED.contains(&name) || name.starts_with("x-amz-") && !SIGNATURE.contains(&name) && name != "x-amz-trailer"
    };
    headers.iter().filter(|(name, _)| fits(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}
