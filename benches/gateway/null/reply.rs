//! Responses: heads, XML documents, and generated bodies.
//!
//! Guarantees: a body whose bytes were discarded is streamed from one static buffer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

static PATTERN: [u8; 256 << 10] = [0x5a; 256 << 10];

/// A response's body.
pub enum Content {
    Bytes(Bytes),
    /// So many bytes of the pattern.
    Pattern(u64),
    /// The response to a HEAD: the length is in the head only.
    Nothing,
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut *self {
            Self::Nothing => return Poll::Ready(None),
            Self::Bytes(bytes) => std::mem::take(bytes),
            Self::Pattern(remaining) => {
                let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(PATTERN.len());
                *remaining -= len as u64;
                Bytes::from_static(&PATTERN[..len])
            }
        };
        Poll::Ready(if data.is_empty() { None } else { Some(Ok(Frame::data(data))) })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Pattern(left) => *left == 0,
            Self::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Pattern(left) => SizeHint::with_exact(*left),
            Self::Nothing => SizeHint::default(),
        }
    }
}

/// A response that is being built.
pub struct Reply {
    status: u16,
    headers: HeaderMap,
    content: Content,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), content: Content::Bytes(Bytes::new()) }
    }

    /// S3's error document.
    pub fn refused((status, code): (u16, &str)) -> Self {
        let document = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self::new(status).xml(&document)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    pub fn headers(mut self, more: &HeaderMap) -> Self {
        self.headers.extend(more.clone());
        self
    }

    pub fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    pub fn text(self, text: &str) -> Self {
        self.content(Content::Bytes(Bytes::copy_from_slice(text.as_bytes())))
    }

    pub fn xml(self, document: &str) -> Self {
        self.header("content-type", "application/xml")
            .text(&format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}"))
    }

    pub fn finish(self) -> Response<Content> {
        let mut response = Response::new(self.content);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        *response.headers_mut() = self.headers;
        response
    }
}
