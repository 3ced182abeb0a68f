//! Operations that the gateway does not do itself: passed through to a store that may.
//!
//! Guarantees: only the operations of `object::Operation`, each with its own parameters and
//! headers; what else a request says is refused by name. An operation on a bucket needs `admin` on
//! the whole of it; one whose document makes the store write or send to another place needs `admin`
//! on everything, and so nothing is touched that no grant covers. The client's signature and
//! session stay here. Source: DESIGN §7, §12.14.

use http::{HeaderName, Method, Response, StatusCode};

use super::error::S3Error;
use super::{AuthedRequest, HandlerResult, S3Api, restore};
use crate::accounts::Access;
use crate::object::{Level, Operation, Passthrough};
use crate::web::{RequestBody, streamed};

const MAX_DOCUMENT: usize = 1 << 20;

/// Documents that name a bucket or a queue into which the store then writes, with the rights of the
/// gateway's key.
const NAME_ANOTHER_PLACE: &[&str] =
    &["analytics", "inventory", "logging", "notification", "replication"];

/// Lets a retention be shortened that the bucket's owner set.
const BYPASS: &str = "x-amz-bypass-governance-retention";

/// Headers that are the gateway's business, not the store's: of the signature, of the body's
/// framing, both handled here, and what SDKs say of themselves.
const HANDLED_HEADERS: &[&str] = &[
    "x-amz-api-version",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-sdk-checksum-algorithm",
    "x-amz-security-token",
    "x-amz-te",
    "x-amz-trailer",
    "x-amz-user-agent",
];

/// Headers without `x-amz-` that change what a request means, and that no operation passed through
/// has.
const REFUSED_HEADERS: &[&str] =
    &["if-match", "if-modified-since", "if-none-match", "if-unmodified-since", "range"];

/// Query parameters that are the gateway's business: signatures, and the operation's name, which
/// some SDKs repeat.
const HANDLED_PARAMETERS: &[&str] = &[
    "AWSAccessKeyId",
    "Expires",
    "Signature",
    "X-Amz-Algorithm",
    "X-Amz-Content-Sha256",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Sdk-Checksum-Algorithm",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "x-id",
];

/// What of an answer's head is the connection's.
const OF_CONNECTION: &[&str] = &[
    "connection",
    "keep-alive",
    "transfer-encoding",
    "date",
    "server",
    "x-amz-request-id",
    "x-amz-id-2",
];

impl S3Api {
    pub(super) async fn pass_through(
        &self,
        operation: &'static Operation,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        require_access(operation, &request)?;
        let mut passthrough = typed(operation, &request)?;
        let document = request.read_document(body, MAX_DOCUMENT).await?;
        passthrough.body = if operation.subresource == "restore" {
            restore::checked(&document)?.into()
        } else {
            document
        };
        let Some(answer) = self.shared.objects.pass_through(passthrough).await? else {
            return Err(S3Error::not_implemented(&format!(
                "{} of ?{}",
                operation.method, operation.subresource
            )));
        };
        let mut reply = Response::new(streamed(answer.body));
        *reply.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in &answer.headers {
            if !OF_CONNECTION.contains(&name.as_str()) {
                reply.headers_mut().append(name, value.clone());
            }
        }
        Ok(reply)
    }
}

/// **Errors**: `AccessDenied`.
fn require_access(operation: &Operation, request: &AuthedRequest) -> Result<(), S3Error> {
    let reads = operation.method == Method::GET;
    request.require(match operation.level {
        Level::Bucket => Access::Admin,
        Level::Object if reads => Access::Read,
        Level::Object => Access::Write,
    })?;
    let elsewhere = operation.level == Level::Bucket
        && !reads
        && NAME_ANOTHER_PLACE.contains(&operation.subresource);
    if elsewhere && !request.identity.allows(Access::Admin, "", "") {
        return Err(S3Error::denied());
    }
    if request.head.headers.contains_key(BYPASS) {
        request.require(Access::Admin)?;
    }
    Ok(())
}

/// The request without its document. **Errors**: `NotImplemented`, which names what the operation
/// does not have.
fn typed(operation: &'static Operation, request: &AuthedRequest) -> Result<Passthrough, S3Error> {
    let (bucket, key) = (request.target.bucket.as_str().into(), request.target.key.as_str().into());
    let mut passthrough = Passthrough::new(operation, bucket, key, bytes::Bytes::new());
    for (name, value) in request.query.pairs() {
        if operation.has_parameter(name) {
            passthrough.add_parameter(name, value);
        } else if !HANDLED_PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(not_here("query parameter", name, operation));
        }
    }
    for (name, value) in &request.head.headers {
        if operation.has_header(name.as_str()) {
            passthrough.add_header(name, value);
        } else if !is_harmless(name) {
            return Err(not_here("header", name.as_str(), operation));
        }
    }
    Ok(passthrough)
}

fn is_harmless(name: &HeaderName) -> bool {
    let name = name.as_str();
    HANDLED_HEADERS.contains(&name)
        || !name.starts_with("x-amz-") && !REFUSED_HEADERS.contains(&name)
}

fn not_here(kind: &str, name: &str, operation: &Operation) -> S3Error {
    S3Error::not_implemented(&format!(
        "the {kind} {name:?} with {} of ?{}",
        operation.method, operation.subresource
    ))
}
