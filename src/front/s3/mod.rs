//! The S3 protocol, which existing tools speak.
//!
//! Guarantees: every failure is an S3 error document with a code that clients act on; nothing runs
//! for a request that is not signed by an account with the rights; the state bucket and the uploads
//! of other accounts look absent. It decides nothing about sessions or objects: `upload` and
//! `object` do. `error` is the only file of this front that maps failures to statuses. Source:
//! docs/architecture.md#s3-api.

mod acl;
mod attributes;
#[cfg(any(test, feature = "testing"))]
pub mod bench;
mod bucket;
mod checksums;
mod complete;
mod conditions;
mod copy;
mod copy_source;
mod cors;
mod delete;
mod document;
mod error;
mod error_details;
mod form;
mod form_file;
#[cfg(fuzzing)]
pub mod fuzz;
mod get;
mod list;
mod location;
mod lock_configuration;
mod multipart;
mod object_attributes;
mod parameters;
mod part;
mod pass_through;
mod policy;
mod post;
mod put;
mod put_setting;
mod restore;
mod route;
mod sentences;
mod tagging;
mod token;
mod unset;
mod validate;
mod versions;
pub mod vocabulary;
mod xml;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, ready};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request};
use std::borrow::Cow;

use crate::accounts::{Access, Identity};
use crate::front::envelope::{self, FailedRequest, Front, OriginRequest, Route, Shared};
use crate::names::Bucket;
use crate::web::{self, AccessLog, Declared, Payload, Query, Reply, RequestBody, full};

use cors::Preflight;
use error::S3Error;
use route::{S3Operation, Target};
use vocabulary::{Operations, hoist};

pub use cors::CorsSettings;

type AuthedRequest = envelope::AuthedRequest<Target>;
type HandlerResult = Result<Reply, S3Error>;

/// The room's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Words in the `User-Agent` of clients that do not wait for `100 Continue`, and that still
    /// read a response while they send (docs/clients.md#early-close). Empty: no client.
    pub early_close: Vec<String>,
    /// Rules for pages of other origins, beside those of the buckets.
    pub cors: Vec<CorsSettings>,
}

/// The S3 front of one gateway.
#[derive(Debug)]
pub struct S3Api {
    shared: Shared,
    settings: Settings,
    /// Whether an upload that its client aborts is kept for a successor.
    keeps_aborted_uploads: bool,
}

/// An operation of a request that is not signed itself.
#[derive(Debug)]
pub enum OpenOperation {
    /// An HTML form uploads to this bucket: it is the form that is signed.
    FormUpload(Bucket),
    Preflight(Preflight),
}

impl Front for S3Api {
    type Operation = S3Operation;
    type Target = Target;
    type OpenOperation = OpenOperation;
    type Error = S3Error;

    const TAKES_AWS_CHUNKED: bool = true;

    /// Every path can be that of a bucket and a key.
    fn owns(&self, _: &request::Parts) -> bool {
        true
    }

    fn route(&self, head: &request::Parts, log: &mut AccessLog) -> Result<Route<Self>, S3Error> {
        let domain = self.shared.http.domain.as_deref();
        let target = route::target(head.uri.path(), &head.headers, domain)?;
        log.subject.is(&target.bucket, &target.key);
        if head.method == Method::OPTIONS {
            log.op = "s3-preflight";
            return Ok(Route::Open(OpenOperation::Preflight(Preflight { target })));
        }
        let query = Query::parse(head.uri.query())?;
        let operation = route::route(&head.method, &target, &query, &head.headers)?;
        log.op = operation.name();
        if operation == S3Operation::PostObject {
            vocabulary::check(operation, &query, &head.headers)?;
            return Ok(Route::Open(OpenOperation::FormUpload(target.bucket)));
        }
        Ok(Route::Signed { operation, target, query })
    }

    fn run_open<'a>(
        &'a self,
        operation: OpenOperation,
        head: request::Parts,
        body: RequestBody,
        log: &'a mut AccessLog,
    ) -> BoxFuture<'a, HandlerResult> {
        match operation {
            OpenOperation::FormUpload(bucket) => {
                Box::pin(self.post_object(head, bucket, body, log))
            }
            OpenOperation::Preflight(preflight) => Box::pin(self.preflight(preflight, head)),
        }
    }

    fn run(
        &self,
        operation: S3Operation,
        mut request: AuthedRequest,
        body: RequestBody,
    ) -> BoxFuture<'_, HandlerResult> {
        if let Err(error) = self.prepare(operation, &mut request) {
            return Box::pin(ready(Err(error)));
        }
        match operation {
            S3Operation::ListBuckets => Box::pin(self.list_buckets(request)),
            S3Operation::CreateBucket => Box::pin(self.create_bucket(request, body)),
            S3Operation::HeadBucket => Box::pin(self.head_bucket(request)),
            S3Operation::DeleteBucket => Box::pin(self.delete_bucket(request)),
            S3Operation::GetBucketLocation => Box::pin(self.bucket_location(request)),
            S3Operation::GetBucketVersioning => Box::pin(self.bucket_versioning(request)),
            S3Operation::GetBucketCors => Box::pin(self.bucket_cors(request)),
            S3Operation::PutBucketCors => Box::pin(self.put_bucket_cors(request, body)),
            S3Operation::DeleteBucketCors => Box::pin(self.delete_bucket_cors(request)),
            S3Operation::ListObjects => Box::pin(self.list_objects(request)),
            S3Operation::ListObjectsV2 => Box::pin(self.list_objects_v2(request)),
            S3Operation::ListObjectVersions => Box::pin(self.list_versions(request)),
            S3Operation::DeleteObjects => Box::pin(self.delete_objects(request, body)),
            S3Operation::ListMultipartUploads => Box::pin(self.list_uploads(request)),
            S3Operation::GetObject | S3Operation::HeadObject => Box::pin(self.get_object(request)),
            S3Operation::PutObject => Box::pin(self.put_object(request, body)),
            S3Operation::CopyObject => Box::pin(self.copy_object(request)),
            S3Operation::DeleteObject => Box::pin(self.delete_object(request)),
            S3Operation::GetObjectAttributes => Box::pin(self.object_attributes(request)),
            S3Operation::CreateMultipartUpload => Box::pin(self.create_upload(request)),
            S3Operation::UploadPart => Box::pin(self.upload_part(request, body)),
            S3Operation::UploadPartCopy => Box::pin(self.upload_part_copy(request)),
            S3Operation::CompleteMultipartUpload => Box::pin(self.complete_upload(request, body)),
            S3Operation::AbortMultipartUpload => Box::pin(self.abort_upload(request)),
            S3Operation::ListParts => Box::pin(self.list_parts(request)),
            S3Operation::PassThrough(operation) => {
                Box::pin(self.pass_through(operation, request, body))
            }
            S3Operation::PostObject => {
                Box::pin(ready(Err(S3Error::not_implemented("a POST without a form"))))
            }
        }
    }

    fn code(error: &S3Error) -> Cow<'static, str> {
        Cow::Borrowed(error.code)
    }

    fn error_reply(&self, error: S3Error, request: &FailedRequest<'_>) -> Reply {
        error.reply(request.method, request.uri.path(), request.id)
    }

    fn share<'a>(&'a self, request: &'a OriginRequest, reply: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(S3Api::share(self, request, reply))
    }
}

impl S3Api {
    pub fn new(shared: Shared, settings: Settings, keeps_aborted_uploads: bool) -> Self {
        Self { shared, settings, keeps_aborted_uploads }
    }

    /// What every operation on an authenticated request begins with. **Errors**: those of
    /// `require_visible`, `vocabulary` and `hoist`; `InvalidRequest` for a framed document;
    /// `AccessDenied` where the request expects another owner of the bucket.
    fn prepare(&self, operation: S3Operation, request: &mut AuthedRequest) -> Result<(), S3Error> {
        self.require_visible(&request.target)?;
        vocabulary::check(operation, &request.query, &request.head.headers)?;
        hoist::hoist(&request.query, &mut request.head.headers)?;
        if request.payload.is_framed() && Operations::WITH_DOCUMENT.has(operation) {
            let message = "The value of x-amz-content-sha256 header is invalid.";
            return Err(S3Error::invalid_request(message));
        }
        request.require_owner("x-amz-expected-bucket-owner")
    }

    /// **Errors**: those of `require_bucket` and `validate::key`.
    fn require_visible(&self, target: &Target) -> Result<(), S3Error> {
        if !target.bucket.is_empty() {
            self.require_bucket(&target.bucket)?;
        }
        validate::key(&target.key)
    }

    /// Checks the name of a bucket, wherever in the request it stands. **Errors**:
    /// `InvalidBucketName` for an invalid name, and for one that the store reserves; `NoSuchBucket`
    /// for the state bucket.
    fn require_bucket(&self, bucket: &Bucket) -> Result<(), S3Error> {
        validate::bucket(bucket)?;
        if self.shared.objects.reserves(bucket) {
            return Err(S3Error::reserved_bucket(bucket));
        }
        if self.shared.uploads.is_state_bucket(bucket) {
            Err(S3Error::no_such_bucket(bucket))
        } else {
            Ok(())
        }
    }
}

impl AuthedRequest {
    /// **Errors**: `AccessDenied`.
    fn require(&self, access: Access) -> Result<(), S3Error> {
        let Target { bucket, key } = &self.target;
        if self.identity.allows(access, bucket, key) { Ok(()) } else { Err(S3Error::denied()) }
    }

    /// A header that is `true` or `false`; absent means false. **Errors**: `InvalidArgument`.
    fn flag(&self, name: &str) -> Result<bool, S3Error> {
        match self.header(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(_) => Err(S3Error::invalid(format!("{name} must be true or false"))),
        }
    }

    /// As the function `require_owner`, for this request.
    fn require_owner(&self, header: &'static str) -> Result<(), S3Error> {
        require_owner(&self.head.headers, header, &self.identity)
    }

    /// Reads the whole body and verifies it. **Errors**: those of its digests;
    /// `MaxMessageLengthExceeded` if it is longer than `max_bytes`.
    async fn read_document(&self, body: RequestBody, max_bytes: usize) -> Result<Bytes, S3Error> {
        self.read_declared(Declared::read(&self.head, &self.payload)?, body, max_bytes).await
    }

    /// As `read_document`, with what is declared of the body.
    async fn read_declared(
        &self,
        declared: Declared,
        body: RequestBody,
        max_bytes: usize,
    ) -> Result<Bytes, S3Error> {
        if declared.len_bytes.is_some_and(|len| len > max_bytes as u64) {
            return Err(S3Error::too_long(max_bytes));
        }
        let (payload, outcome) = Payload::new(declared, &self.payload, body);
        let mut document = Vec::new();
        let mut payload = std::pin::pin!(payload);
        while let Some(frame) = payload.next().await {
            let frame = frame.map_err(|_| payload_error(&outcome))?;
            if document.len() + frame.len() > max_bytes {
                return Err(S3Error::too_long(max_bytes));
            }
            document.extend_from_slice(&frame);
        }
        Ok(document.into())
    }
}

/// Checks the header that names the owner whom the client expects a bucket to have. Every account
/// sees itself as the owner. **Errors**: `AccessDenied`.
fn require_owner(
    headers: &HeaderMap,
    header: &'static str,
    identity: &Identity,
) -> Result<(), S3Error> {
    match headers.get(header) {
        Some(owner) if owner.as_bytes() != identity.account_name().as_bytes() => {
            Err(S3Error::other_owner(header))
        }
        Some(_) | None => Ok(()),
    }
}

/// Why a body was not read to its end.
fn payload_error(outcome: &web::PayloadOutcome) -> S3Error {
    let incomplete = || web::Error::new(web::Kind::IncompleteBody, "the body ended too early");
    outcome.refusal().unwrap_or_else(incomplete).into()
}

/// A response with an XML document.
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
