//! Bodies on their way out.
//!
//! Guarantees: one type for all answers, so that the layers between a front and the socket are no
//! generics.

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub type ReplyBody = UnsyncBoxBody<Bytes, BoxError>;

/// An answer.
pub type Reply = http::Response<ReplyBody>;

/// A body that is in memory.
pub fn full(bytes: impl Into<Bytes>) -> ReplyBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that comes bit by bit. An error in it breaks the connection off, so the client sees that
/// it is not whole.
pub fn streamed(stream: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> ReplyBody {
    BodyExt::boxed_unsync(StreamBody::new(stream.map_ok(Frame::data)))
}
