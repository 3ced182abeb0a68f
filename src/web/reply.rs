//! The type of all responses.
//!
//! Guarantees: one type for all response bodies, so that nothing between a front and the socket is
//! generic.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};

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
