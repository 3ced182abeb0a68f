//! What is written down of a request: one log line and its figures, when its answer has gone out or
//! was given up.
//!
//! Guarantees: every request that got a record gets its line, also if the client hung up before the
//! answer or in mid-body; the line names no secret and no query. It does not know what the
//! operations are.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::clock::Clock;

use super::admission::Permit;
use super::answer_memory::OfAnswer;
use super::body::Progress;
use super::metrics::Metrics;
use super::reply::{BoxError, Reply, ReplyBody};
use super::throttle::Throttle;

/// What stands for the status of a request whose client was gone before its answer.
const HUNG_UP: u16 = 499;

/// The record of one request, written when it is dropped.
#[derive(Debug)]
pub struct AccessLog {
    clock: Clock,
    metrics: Metrics,
    begun: Duration,
    /// On every answer, as `x-amz-request-id`.
    pub id: String,
    pub op: &'static str,
    pub account: Option<String>,
    pub body: Progress,
    /// Held until the answer's last byte is out; while it only sends, one for sending.
    pub permit: Option<Permit>,
    status: u16,
    bytes_out: u64,
}

impl AccessLog {
    pub fn new(clock: &Clock, metrics: &Metrics, body: Progress) -> Self {
        metrics.begun();
        Self {
            begun: clock.monotonic(),
            id: clock.random_id(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            op: "unknown",
            account: None,
            body,
            permit: None,
            status: HUNG_UP,
            bytes_out: 0,
        }
    }

    /// The answer with this record tied to its body.
    pub fn attach(mut self, reply: Reply) -> Reply {
        self.status = reply.status().as_u16();
        let turn = self
            .permit
            .as_ref()
            .map_or_else(Throttle::default, |place| Throttle::new(place, &self.clock));
        let memory = self.permit.as_ref().map(|place| place.memory().of_answer());
        if is_long(&reply)
            && let Some(place) = &mut self.permit
        {
            place.only_sends_now();
        }
        reply.map(|body| LoggedBody { body, turn, memory, log: self }.boxed_unsync())
    }
}

/// What a connection takes ahead of a client that reads nothing; a shorter answer is gone at once.
const SHORT_BYTES: u64 = 64 << 10;

/// Whether the answer may take as long to send as its reader likes.
fn is_long(reply: &Reply) -> bool {
    let said = || reply.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    let len_bytes: Option<u64> = reply.body().size_hint().exact().or_else(said);
    len_bytes.is_none_or(|len_bytes| len_bytes > SHORT_BYTES)
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.metrics.ended(self.op, self.status, self.body.bytes(), self.bytes_out);
        tracing::info!(
            request = self.id,
            op = self.op,
            account = self.account.as_deref().unwrap_or("-"),
            status = self.status,
            bytes_in = self.body.bytes(),
            bytes_out = self.bytes_out,
            ms = u64::try_from(self.clock.monotonic().saturating_sub(self.begun).as_millis())
                .unwrap_or(u64::MAX),
            "request"
        );
    }
}

struct LoggedBody {
    body: ReplyBody,
    turn: Throttle,
    memory: Option<OfAnswer>,
    log: AccessLog,
}

impl Body for LoggedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        ready!(self.turn.poll(cx));
        if let Some(memory) = &self.memory {
            ready!(memory.poll_room(cx));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let polled = match &self.memory {
            Some(memory) => polled.map_ok(|frame| frame.map_data(|bytes| memory.counted(bytes))),
            None => polled,
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
                self.log.bytes_out += bytes;
                self.turn.moved(bytes);
            }
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(request = self.log.id, error = %error, "an answer broke off");
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
