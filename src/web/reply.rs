//! The type of all responses.
//!
//! Guarantees: one type for all response bodies, so that nothing between a front and the socket is
//! generic.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response.
pub type ReplyBody = UnsyncBoxBody<Bytes, BoxError>;

/// A response.
pub type Reply = http::Response<ReplyBody>;

/// A body that is in memory as a whole.
pub fn full(bytes: impl Into<Bytes>) -> ReplyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is streamed. An error in the stream aborts the connection, so that the client sees
/// that the response is incomplete.
pub fn streamed(stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> ReplyBody {
    BodyExt::boxed_unsync(StreamBody::new(stream.map_ok(Frame::data)))
}

/// Whether the client sends its body only once it is asked for.
pub fn waits_for_continue(headers: &HeaderMap) -> bool {
    let expect = headers.get(header::EXPECT);
    expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Makes the response the last one of its connection.
pub fn close_after(reply: &mut Reply) {
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// As `close_after`, for a client that will not send its body any more. `Connection: close` is for
/// the next hop only: a proxy such as HAProxy removes it and waits for the body, for which it takes
/// the client's next request. A response without a length ends with its connection, on every hop
/// (RFC 9112, section 6.3); hyper sends one as HTTP/1.0.
pub fn close_after_on_every_hop(reply: &mut Reply) {
    close_after(reply);
    if matches!(reply.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return;
    }
    reply.headers_mut().remove(header::CONTENT_LENGTH);
    *reply.version_mut() = Version::HTTP_10;
    let body = std::mem::replace(reply.body_mut(), full(""));
    *reply.body_mut() = BodyExt::boxed_unsync(StreamBody::new(BodyStream::new(body)));
}
