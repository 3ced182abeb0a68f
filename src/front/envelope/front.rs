//! What a front gives to the envelope: its routes, its operations and the form of its errors.

use std::borrow::Cow;

use futures_util::future::{BoxFuture, ready};
use http::{HeaderMap, Method, Uri, header, request};

use crate::accounts::Identity;
use crate::web::{self, AccessLog, PayloadSignature, Query, Reply, RequestBody, Subject};

/// A protocol that clients speak.
///
/// A front does not authenticate, admit, log or count; [`super::Endpoint`] does.
pub trait Front: Send + Sync + Sized + 'static {
    /// An operation that needs a signed request.
    type Operation: Send;
    /// What the path of a signed request names, as far as `Operation` does not say it.
    type Target: Send;
    /// An operation that runs without a signed request: it is public, or its body is signed.
    type OpenOperation: Send;
    type Error: From<web::Error> + Send;

    /// Whether a body in `aws-chunked` framing is accepted.
    const TAKES_AWS_CHUNKED: bool;

    /// Whether the request is addressed to this front.
    fn owns(&self, head: &request::Parts) -> bool;

    /// Finds the operation, names it in `log`, and refuses whatever can be refused before the
    /// sender is known.
    fn route(&self, head: &request::Parts, log: &mut AccessLog)
    -> Result<Route<Self>, Self::Error>;

    /// Runs an operation that needs no signed request, and names in `log` whoever it finds to be
    /// its sender.
    fn run_open<'a>(
        &'a self,
        operation: Self::OpenOperation,
        head: request::Parts,
        body: RequestBody,
        log: &'a mut AccessLog,
    ) -> BoxFuture<'a, Result<Reply, Self::Error>>;

    /// Runs an operation for an authenticated sender. The rights are checked here. The future has a
    /// box per operation: in line, each request would be as large as the largest of them
    /// (docs/decisions/0021-what-a-small-request-costs.md).
    fn run(
        &self,
        operation: Self::Operation,
        request: AuthedRequest<Self::Target>,
        body: RequestBody,
    ) -> BoxFuture<'_, Result<Reply, Self::Error>>;

    /// The stable code of a failure, for the log.
    fn code(error: &Self::Error) -> Cow<'static, str>;

    /// The response to a request that failed.
    fn error_reply(&self, error: Self::Error, request: &FailedRequest<'_>) -> Reply;

    /// Lets a page of another origin read the response, also that of a failure. Called last, and
    /// only for a request with an `Origin`.
    fn share<'a>(&'a self, _: &'a OriginRequest, _: &'a mut Reply) -> BoxFuture<'a, ()> {
        Box::pin(ready(()))
    }
}

/// The operation that a request asks for.
#[derive(Debug)]
pub enum Route<F: Front> {
    Open(F::OpenOperation),
    Signed { operation: F::Operation, target: F::Target, query: Query },
}

/// A request whose operation is known and whose sender is authenticated and admitted.
#[derive(Debug)]
pub struct AuthedRequest<T> {
    pub head: request::Parts,
    pub query: Query,
    pub identity: Identity,
    /// What was signed of the body; not yet compared with it.
    pub payload: PayloadSignature,
    pub target: T,
    /// Where it is noted what the request is about, for the log.
    pub subject: Subject,
}

impl<T> AuthedRequest<T> {
    /// A header as text without spaces around it; None if it is absent or not printable ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }
}

/// A request with an `Origin`, which browsers add for pages of other origins.
#[derive(Debug)]
pub struct OriginRequest {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
}

impl OriginRequest {
    /// None for a request without an `Origin`, for which nothing is copied.
    pub fn of(head: &request::Parts) -> Option<Box<Self>> {
        head.headers.contains_key(header::ORIGIN).then(|| {
            Box::new(Self {
                method: head.method.clone(),
                uri: head.uri.clone(),
                headers: head.headers.clone(),
            })
        })
    }
}

/// What an error response may say about its request.
#[derive(Debug)]
pub struct FailedRequest<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub id: &'a str,
}
