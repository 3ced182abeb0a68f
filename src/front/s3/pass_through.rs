//! Operations that the gateway does not implement and passes through to the store.
//!
//! Guarantees: only the operations of `object::Operation` are passed through, each with its own
//! parameters and headers; any other is refused by name (`vocabulary`). An operation on a
//! bucket needs `admin` on the whole bucket; one whose document makes the store write or send
//! elsewhere needs `admin` on everything, so that nothing is changed that no grant covers. The
//! client's signature and session token are not passed on. Source:
//! docs/architecture.md#pass-through.

use http::{Method, Response, StatusCode};

use super::error::S3Error;
use super::{AuthedRequest, HandlerResult, S3Api, restore, unset};
use crate::accounts::Access;
use crate::names::Bucket;
use crate::object::{Level, Operation, Passthrough};
use crate::web::{Reply, RequestBody, streamed};

const MAX_DOCUMENT_BYTES: usize = 1 << 20;

/// Subresources whose document names a bucket or a queue that the store then writes to, with the
/// rights of the gateway's key.
const WRITES_ELSEWHERE: &[&str] =
    &["analytics", "inventory", "logging", "notification", "replication"];

/// Allows shortening a retention that the owner of the bucket set.
const BYPASS: &str = "x-amz-bypass-governance-retention";

/// Headers of the store's response that belong to its connection and are not passed on.
const CONNECTION_HEADERS: &[&str] = &[
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
        let mut passthrough = without_document(operation, &request, &[]);
        let document = request.read_document(body, MAX_DOCUMENT_BYTES).await?;
        if operation.subresource == "torrent" {
            // Some servers send the object itself.
            return Err(unset::refused(operation));
        }
        passthrough.body = if operation.subresource == "restore" {
            restore::rebuild(&document)?.into()
        } else {
            document.clone()
        };
        match self.send_through(passthrough).await? {
            None => self.run_here(operation, &request, &document).await,
            Some(reply)
                if unset::is_unknown_to_server(&operation.method, reply.status().as_u16()) =>
            {
                self.require_target(operation.level, &request).await?;
                self.read_unset(operation, &request)
            }
            Some(reply) => Ok(reply),
        }
    }

    /// The store's own response. None: the store is no S3 server.
    pub(super) async fn send_through(
        &self,
        request: Passthrough,
    ) -> Result<Option<Reply>, S3Error> {
        let Some(response) = self.shared.objects.pass_through(request).await? else {
            return Ok(None);
        };
        let mut reply = Response::new(streamed(response.body));
        *reply.status_mut() =
            StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
        for (name, value) in &response.headers {
            // The rules for pages of other origins are the gateway's, not the store's.
            let is_rule = name.as_str().starts_with("access-control-");
            if !is_rule && !CONNECTION_HEADERS.contains(&name.as_str()) {
                reply.headers_mut().append(name, value.clone());
            }
        }
        Ok(Some(reply))
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
    let writes_elsewhere = operation.level == Level::Bucket
        && !reads
        && WRITES_ELSEWHERE.contains(&operation.subresource);
    if writes_elsewhere && !request.identity.allows(Access::Admin, &Bucket::default(), "") {
        return Err(S3Error::denied());
    }
    if request.head.headers.contains_key(BYPASS) {
        request.require(Access::Admin)?;
    }
    Ok(())
}

/// The request to the store, without its document and without the parameters `unsent`: the
/// parameters and headers that the operation has. The vocabulary has refused others that could
/// mean something.
pub(super) fn without_document(
    operation: &'static Operation,
    request: &AuthedRequest,
    unsent: &[&str],
) -> Passthrough {
    let (bucket, key) = (request.target.bucket.clone(), request.target.key.clone());
    let mut passthrough = Passthrough::new(operation, bucket, key, bytes::Bytes::new());
    for (name, value) in request.query.pairs().filter(|(name, _)| !unsent.contains(name)) {
        passthrough.add_parameter(name, value);
    }
    for (name, value) in &request.head.headers {
        passthrough.add_header(name, value);
    }
    passthrough
}
