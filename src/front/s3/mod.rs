//! The S3 protocol: what existing tools speak (DESIGN §7).
//!
//! Guarantees: every answer carries the request id; every failure is an S3 error document with a
//! code that clients act on; nothing happens for a request that is not signed by an account that
//! may do it; the state bucket and the uploads of other accounts are absent. A body that was not
//! read to its end closes the connection by an explicit `Connection: close`. It decides nothing
//! about sessions or objects: `upload` and `object` do. `error` is the only place that knows which
//! failure is which status.

mod attributes;
#[cfg(any(test, feature = "testing"))]
pub mod bench;
mod bucket;
mod complete;
mod conditions;
mod copy;
mod delete;
mod document;
mod error;
mod form;
#[cfg(fuzzing)]
pub mod fuzz;
mod get;
mod list;
mod multipart;
mod part;
mod pass_through;
mod post;
mod put;
mod restore;
mod route;
mod validate;
mod xml;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body::Body;

use crate::accounts::{Access, Accounts, Identity};
use crate::clock::Clock;
use crate::metric_names;
use crate::object::Objects;
use crate::upload::Uploads;
use crate::web::{
    self, AccessLog, BoxError, Declared, Metrics, Payload, PayloadSignature, Query, Reply,
    RequestBody, full,
};

use error::S3Error;
use route::{Op, Target};

type HandlerResult = Result<Reply, S3Error>;

/// The room's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Beginnings of the `User-Agent` of clients that do not wait for `100 Continue`, and that are
    /// answered all the same while they send (CLIENTS.md, *early close*). Empty: nobody.
    pub early_close: Vec<String>,
}

/// The S3 front of one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct S3Api(Arc<Parts>);

/// What the S3 front is put together from.
#[derive(Debug)]
pub struct Parts {
    pub uploads: Uploads,
    pub objects: Objects,
    pub accounts: Accounts,
    pub clock: Clock,
    pub metrics: Metrics,
    pub http: web::Settings,
    pub admission: web::Admission,
    pub settings: Settings,
    /// Whether an upload that its client aborts is kept for a successor.
    pub keeps_aborted: bool,
}

/// A request that was routed and whose sender is known.
struct AuthedRequest {
    head: request::Parts,
    query: Query,
    identity: Identity,
    payload: PayloadSignature,
    bucket: String,
    key: String,
}

impl S3Api {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Answers one request. **Cancel**: safe at any point; what was acknowledged stays.
    pub async fn answer<B>(&self, request: Request<B>) -> Reply
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let body = RequestBody::new(body, self.0.clock.clone(), &self.0.http);
        let mut record = AccessLog::new(&self.0.clock, &self.0.metrics, body.progress());
        let (method, resource) = (head.method.clone(), head.uri.path().to_owned());
        let one_reading = web::refuse_smuggling(&head);
        // Where the next request begins is as uncertain.
        let closes = one_reading.is_err();
        let answer = match one_reading {
            Ok(()) => self.routed(head, body, &mut record).await,
            Err(error) => Err(error.into()),
        };
        let mut reply = answer.unwrap_or_else(|error| error.reply(&method, &resource, &record.id));
        let id = HeaderValue::from_str(&record.id).expect("an id is made of hex digits");
        reply.headers_mut().insert(metric_names::REQUEST_ID, id);
        if closes || !record.body.ended() {
            // What is left of the body stands in the way of another request, and a silent close
            // confuses clients.
            reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        record.attach(reply)
    }

    async fn routed(
        &self,
        head: request::Parts,
        body: RequestBody,
        record: &mut AccessLog,
    ) -> HandlerResult {
        let Target { bucket, key } =
            route::target(head.uri.path(), &head.headers, self.0.http.domain.as_deref())?;
        let query = Query::parse(head.uri.query())?;
        let target = Target { bucket, key };
        let op = route::route(&head.method, &target, &query, &head.headers)?;
        record.op = op.name();
        route::refuse_headers(op, &head.headers)?;
        let parts = &self.0;
        if op == Op::PostObject {
            return Box::pin(self.post_object(&head, &target.bucket, body)).await;
        }
        let (identity, payload) =
            web::authenticate(&head, &parts.accounts, parts.clock.wall(), &parts.http)?;
        record.account = Some(identity.account_name().to_owned());
        let place = parts.admission.acquire(identity.account_name()).await?;
        let body = body.throttled(&place, &parts.clock);
        record.permit = Some(place);
        self.require_visible(&target)?;
        let Target { bucket, key } = target;
        self.serve(op, AuthedRequest { head, query, identity, payload, bucket, key }, body).await
    }

    /// **Errors**: those of `require_bucket` and `validate::key`.
    fn require_visible(&self, target: &Target) -> Result<(), S3Error> {
        if !target.bucket.is_empty() {
            self.require_bucket(&target.bucket)?;
        }
        validate::key(&target.key)
    }

    /// Whatever way a bucket's name comes in, it passes here. **Errors**: `InvalidBucketName` for
    /// what is no name, and for one that the store keeps for itself; `NoSuchBucket` for the
    /// gateway's own.
    fn require_bucket(&self, bucket: &str) -> Result<(), S3Error> {
        validate::bucket(bucket)?;
        if self.0.objects.reserves(bucket) {
            return Err(S3Error::reserved_bucket(bucket));
        }
        if self.0.uploads.is_state_bucket(bucket) {
            Err(S3Error::no_such_bucket(bucket))
        } else {
            Ok(())
        }
    }

    /// What serves the operation, in a box of its size: in line, each request would be as large as
    /// the largest of them, and is moved more than once before it begins.
    fn serve(
        &self,
        op: Op,
        asked: AuthedRequest,
        body: RequestBody,
    ) -> BoxFuture<'_, HandlerResult> {
        match op {
            Op::ListBuckets => Box::pin(self.list_buckets(asked)),
            Op::CreateBucket => Box::pin(self.create_bucket(asked, body)),
            Op::HeadBucket => Box::pin(self.head_bucket(asked)),
            Op::DeleteBucket => Box::pin(self.delete_bucket(asked)),
            Op::GetBucketLocation => Box::pin(self.bucket_location(asked)),
            Op::GetBucketVersioning => Box::pin(self.bucket_versioning(asked)),
            Op::ListObjects => Box::pin(self.list_objects(asked)),
            Op::ListObjectsV2 => Box::pin(self.list_objects_v2(asked)),
            Op::DeleteObjects => Box::pin(self.delete_objects(asked, body)),
            Op::ListMultipartUploads => Box::pin(self.list_uploads(asked)),
            Op::GetObject => Box::pin(self.get_object(asked)),
            Op::HeadObject => Box::pin(self.head_object(asked)),
            Op::PutObject => Box::pin(self.put_object(asked, body)),
            Op::CopyObject => Box::pin(self.copy_object(asked)),
            Op::DeleteObject => Box::pin(self.delete_object(asked)),
            Op::GetObjectAttributes => Box::pin(self.object_attributes(asked)),
            Op::CreateMultipartUpload => Box::pin(self.create_upload(asked)),
            Op::UploadPart => Box::pin(self.upload_part(asked, body)),
            Op::UploadPartCopy => Box::pin(self.upload_part_copy(asked)),
            Op::CompleteMultipartUpload => Box::pin(self.complete_upload(asked, body)),
            Op::AbortMultipartUpload => Box::pin(self.abort_upload(asked)),
            Op::ListParts => Box::pin(self.list_parts(asked)),
            Op::PostObject => {
                Box::pin(async { Err(S3Error::not_implemented("a POST that is no form")) })
            }
            Op::Other(operation) => Box::pin(self.pass_through(operation, asked, body)),
        }
    }
}

impl AuthedRequest {
    /// **Errors**: `AccessDenied`.
    fn require(&self, access: Access) -> Result<(), S3Error> {
        if self.identity.allows(access, &self.bucket, &self.key) {
            Ok(())
        } else {
            Err(S3Error::denied())
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }

    /// The whole body, verified. **Errors**: those of its digests; `MalformedXML` where it is
    /// longer than `max_bytes`.
    async fn document(&self, body: RequestBody, max_bytes: usize) -> Result<Bytes, S3Error> {
        let declared = Declared::read(&self.head, &self.payload)?;
        if declared.len_bytes.is_some_and(|len| len > max_bytes as u64) {
            return Err(S3Error::malformed_xml());
        }
        let (payload, outcome) = Payload::new(declared, &self.payload, body);
        let mut all = Vec::new();
        let mut payload = std::pin::pin!(payload);
        while let Some(frame) = futures_util::StreamExt::next(&mut payload).await {
            let frame = frame.map_err(|_| broken(&outcome))?;
            if all.len() + frame.len() > max_bytes {
                return Err(S3Error::malformed_xml());
            }
            all.extend_from_slice(&frame);
        }
        Ok(all.into())
    }
}

/// Why a body did not come whole.
fn broken(outcome: &web::PayloadOutcome) -> S3Error {
    let broke_off = || web::Error::new(web::Kind::IncompleteBody, "the body broke off");
    outcome.refusal().unwrap_or_else(broke_off).into()
}

/// An answer with an XML document.
fn xml_reply(text: String) -> Reply {
    let mut reply = Response::new(full(text));
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    reply
}

fn empty_reply(status: StatusCode) -> Reply {
    let mut reply = Response::new(full(""));
    *reply.status_mut() = status;
    reply
}

fn is_head(method: &Method) -> bool {
    *method == Method::HEAD
}
