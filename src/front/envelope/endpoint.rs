//! A front in its envelope.
//!
//! Guarantees: a body that was not read to its end closes the connection by an explicit
//! `Connection: close`, and on every hop where its client still waits to send it; a response to
//! HEAD has no body; a permit is held until the last byte of the response is sent.

use std::convert::Infallible;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{HeaderValue, Method, header, request};
use http_body::Body;

use super::{AuthedRequest, FailedRequest, Front, OriginRequest, Route, Shared};
use crate::header_names;
use crate::web::{self, AccessLog, Reply, RequestBody, full};

/// A front with what the envelope needs.
#[derive(Debug)]
pub struct Endpoint<F> {
    shared: Shared,
    front: F,
}

/// An [`Endpoint`] whose front is not named by its type.
pub trait Serve: Send + Sync {
    /// Whether the request is addressed to this front.
    fn owns(&self, head: &request::Parts) -> bool;

    /// Serves one request. **Cancel**: safe at any point; what was acknowledged stays.
    fn serve(
        self: Arc<Self>,
        head: request::Parts,
        body: RequestBody,
    ) -> BoxFuture<'static, Result<Reply, Infallible>>;
}

impl<F: Front> Serve for Endpoint<F> {
    fn owns(&self, head: &request::Parts) -> bool {
        self.front.owns(head)
    }

    fn serve(
        self: Arc<Self>,
        head: request::Parts,
        body: RequestBody,
    ) -> BoxFuture<'static, Result<Reply, Infallible>> {
        Box::pin(async move { Ok(self.respond(head, body).await) })
    }
}

impl<F: Front> Endpoint<F> {
    pub fn new(shared: Shared, front: F) -> Self {
        Self { shared, front }
    }

    async fn respond(&self, head: request::Parts, body: RequestBody) -> Reply {
        let mut log = AccessLog::new(&self.shared.clock, &self.shared.metrics, body.progress());
        log.peer = head.extensions.get().copied();
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let origin_request = OriginRequest::of(&head);
        let waits = web::waits_for_continue(&head.headers);
        let unambiguous = web::refuse_smuggling(&head);
        // In an ambiguous request it is uncertain too where the next one begins.
        let must_close = unambiguous.is_err();
        let outcome = match unambiguous {
            Ok(()) => self.run(head, body, &mut log).await,
            Err(error) => Err(error.into()),
        };
        let mut reply = outcome.unwrap_or_else(|error| {
            log.code = F::code(&error);
            let request = FailedRequest { method: &method, uri: &uri, id: &log.id };
            self.front.error_reply(error, &request)
        });
        if method == Method::HEAD {
            remove_body(&mut reply);
        }
        let id = HeaderValue::from_str(&log.id).expect("an id is made of hex digits");
        reply.headers_mut().insert(header_names::REQUEST_ID, id);
        if must_close || !log.body.ended() {
            // The unread rest of the body would be taken for the next request; a silent close
            // confuses clients (docs/decisions/0023-lingering-close.md).
            match waits && log.body.bytes() == 0 && method != Method::HEAD {
                true => web::close_after_on_every_hop(&mut reply),
                false => web::close_after(&mut reply),
            }
        }
        if let Some(request) = &origin_request {
            self.front.share(request, &mut reply).await;
        }
        log.attach(reply)
    }

    async fn run(
        &self,
        mut head: request::Parts,
        body: RequestBody,
        log: &mut AccessLog,
    ) -> Result<Reply, F::Error> {
        let (operation, target, query) = match self.front.route(&head, log)? {
            Route::Open(operation) => {
                return self.front.run_open(operation, head, body, log).await;
            }
            Route::Signed { operation, target, query } => (operation, target, query),
        };
        let Shared { accounts, clock, http, admission, .. } = &self.shared;
        let (identity, payload) = web::authenticate(&mut head, accounts, clock.wall(), http)?;
        if !F::TAKES_AWS_CHUNKED {
            payload.require_unframed()?;
        }
        log.account = Some(identity.account_name().clone());
        let permit = admission.acquire(identity.account_name()).await?;
        let body = body.throttled(&permit, clock);
        log.permit = Some(permit);
        let subject = log.subject.clone();
        let request = AuthedRequest { head, query, identity, payload, target, subject };
        self.front.run(operation, request, body).await
    }
}

/// Leaves the headers as they would be with the body, including its length.
fn remove_body(reply: &mut Reply) {
    let len_bytes = reply.body().size_hint().exact();
    if len_bytes == Some(0) {
        return;
    }
    if let Some(len_bytes) = len_bytes
        && !reply.headers().contains_key(header::CONTENT_LENGTH)
    {
        reply.headers_mut().insert(header::CONTENT_LENGTH, len_bytes.into());
    }
    *reply.body_mut() = full("");
}
