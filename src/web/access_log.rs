//! The access log: one log line and the metrics of each request, when its response is sent or given
//! up.
//!
//! Guarantees: every request is logged once, also if the client disconnects before the response or
//! in the middle of it; the line contains no secret and no query. It does not know the operations.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::clock::Clock;
use crate::names::AccountName;

use super::admission::Permit;
use super::body::Progress;
use super::metrics::Metrics;
use super::reply::{BoxError, Reply, ReplyBody};
use super::response_memory::ResponseShare;
use super::throttle::Throttle;

/// Logged as the status if the client disconnected before the response. Source: nginx, which has
/// the same code for it.
const CLIENT_DISCONNECTED: u16 = 499;

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
        self.metrics.request_ended(self.op, self.status, self.body.bytes(), self.bytes_out);
        tracing::info!(
            request = self.id,
            op = self.op,
            account = self.account.as_deref().unwrap_or("-"),
            status = self.status,
            bytes_in = self.body.bytes(),
            bytes_out = self.bytes_out,
            ms = u64::try_from(self.clock.monotonic().saturating_sub(self.started_at).as_millis())
                .unwrap_or(u64::MAX),
            "request"
        );
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
