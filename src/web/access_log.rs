//! The access log: one log line and the metrics of each request, when its response is sent or given
//! up.
//!
//! Guarantees: every request is logged once, also if the client disconnects before the response or
//! in the middle of it: a refused or failed one as a warning, others at `debug`. The line says who
//! asked, from where, for what, and what became of it; it contains no secret and no query. It does
//! not know the operations. Source: docs/operations.md#the-access-log.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::clock::Clock;
use crate::names::{AccountName, Bucket, Key};
use crate::observe::ACCESS;

use super::admission::Permit;
use super::body::Progress;
use super::metrics::{EndedRequest, Metrics};
use super::reply::{BoxError, Reply, ReplyBody};
use super::response_memory::ResponseShare;
use super::throttle::Throttle;

/// Logged as the status if the client disconnected before the response. Source: nginx, which has
/// the same code for it.
const CLIENT_DISCONNECTED: u16 = 499;

/// What a request is about, as soon as it is known. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Subject(Arc<OnceLock<(Bucket, Key)>>);

impl Subject {
    /// The first name counts.
    pub fn is(&self, bucket: &Bucket, key: &Key) {
        self.0.get_or_init(|| (bucket.clone(), key.clone()));
    }
}

/// Whether a response with this status says that the gateway refused or failed, and not that
/// something is absent, changed or conflicting, or that the client went away.
fn is_refusal(status: u16) -> bool {
    status >= 400 && !matches!(status, 404 | 409 | 412 | 416 | CLIENT_DISCONNECTED)
}

/// The log entry of one request, written when it is dropped.
#[derive(Debug)]
pub struct AccessLog {
    clock: Clock,
    metrics: Metrics,
    started_at: Duration,
    /// Sent with every response as `x-amz-request-id`.
    pub id: String,
    /// The name of the operation.
    pub op: &'static str,
    pub account: Option<AccountName>,
    /// None where the request did not come by a socket.
    pub peer: Option<SocketAddr>,
    pub subject: Subject,
    /// The code of the error; empty for a success.
    pub code: Cow<'static, str>,
    pub body: Progress,
    /// Held until the response is sent; a long response changes it to a sending one.
    pub permit: Option<Permit>,
    status: u16,
    bytes_out: u64,
}

impl AccessLog {
    pub fn new(clock: &Clock, metrics: &Metrics, body: Progress) -> Self {
        metrics.request_started();
        Self {
            started_at: clock.monotonic(),
            id: clock.random_id(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            op: "unknown",
            account: None,
            peer: None,
            subject: Subject::default(),
            code: Cow::Borrowed(""),
            body,
            permit: None,
            status: CLIENT_DISCONNECTED,
            bytes_out: 0,
        }
    }

    /// Ties this entry to the body of the response, so that it is written when the body is sent.
    pub fn attach(mut self, reply: Reply) -> Reply {
        self.status = reply.status().as_u16();
        let throttle = self
            .permit
            .as_ref()
            .map_or_else(Throttle::default, |permit| Throttle::new(permit, &self.clock));
        let memory = self.permit.as_ref().map(|permit| permit.memory().new_share());
        if is_long(&reply)
            && let Some(permit) = &mut self.permit
        {
            permit.downgrade_to_sending();
        }
        reply.map(|body| LoggedBody { body, throttle, memory, log: self }.boxed_unsync())
    }
}

/// A connection buffers this much for a client that does not read; a shorter response is sent at
/// once.
const MAX_SHORT_BYTES: u64 = 64 << 10;

/// Whether a slow client can delay the end of the response.
fn is_long(reply: &Reply) -> bool {
    let declared = || reply.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    let len_bytes: Option<u64> = reply.body().size_hint().exact().or_else(declared);
    len_bytes.is_none_or(|len_bytes| len_bytes > MAX_SHORT_BYTES)
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let took = self.clock.monotonic().saturating_sub(self.started_at);
        let (op, status, bytes_in, bytes_out) =
            (self.op, self.status, self.body.bytes(), self.bytes_out);
        self.metrics.request_ended(EndedRequest { op, status, bytes_in, bytes_out, took });
        let (bucket, key) = self.subject.0.get().map_or(("", ""), |(bucket, key)| (bucket, key));
        // The level of an event is a constant.
        macro_rules! line {
            ($level:expr) => {
                tracing::event!(
                    target: ACCESS,
                    $level,
                    request = self.id,
                    peer = self.peer.map(tracing::field::display),
                    account = self.account.as_deref().unwrap_or("-"),
                    op,
                    bucket,
                    key,
                    status,
                    code = &*self.code,
                    bytes_in,
                    bytes_out,
                    ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    "request"
                )
            };
        }
        if is_refusal(status) {
            line!(tracing::Level::WARN);
        } else {
            line!(tracing::Level::DEBUG);
        }
    }
}

struct LoggedBody {
    body: ReplyBody,
    throttle: Throttle,
    memory: Option<ResponseShare>,
    log: AccessLog,
}

impl Body for LoggedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.throttle.poll(cx));
        if let Some(memory) = &self.memory {
            ready!(memory.poll_ready(cx));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let polled = match &self.memory {
            Some(memory) => polled.map_ok(|frame| frame.map_data(|bytes| memory.count(bytes))),
            None => polled,
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                self.log.bytes_out += bytes;
                self.throttle.record(bytes);
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(request = self.log.id, error = %error, "a response failed before its end");
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
