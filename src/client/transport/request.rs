//! Requests that can be sent repeatedly.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use percent_encoding::utf8_percent_encode;

use crate::api::ROOT;
use crate::digest::Sha256;
use crate::sigv4::URI_COMPONENT;

/// What the paths of S3 requests lie below.
const S3_ROOT: &str = "";

/// A request of the chunk API, or one of S3, which can be sent repeatedly.
#[derive(Clone, Debug)]
pub(in crate::client) struct ApiRequest {
    pub method: Method,
    /// What the path lies below: the chunk API, or nothing for an S3 request.
    pub root: &'static str,
    /// The path with its query, percent-encoded.
    pub path: String,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: Bytes,
    /// The SHA-256 of `body`, which is signed.
    pub sha256: Sha256,
    /// Whether the gateway may have to work for minutes before it responds.
    pub is_long: bool,
    /// How many bytes of a file the response will have. They count for a limit of the rate, and as
    /// progress.
    pub expected_bytes: u64,
    /// How long failures that the gateway responds with are retried, if not as long as all others.
    pub max_refused: Option<Duration>,
}

impl ApiRequest {
    pub fn get(path: String) -> Self {
        Self::new(Method::GET, path, Bytes::new())
    }

    /// It may wait for a finalize under way.
    pub fn delete(path: String) -> Self {
        Self { is_long: true, ..Self::new(Method::DELETE, path, Bytes::new()) }
    }

    /// A request of S3 without a body.
    pub fn s3(method: Method, path: String) -> Self {
        Self { root: S3_ROOT, ..Self::new(method, path, Bytes::new()) }
    }

    /// A request of S3 with a document as its body.
    pub fn s3_document(method: Method, path: String, document: String) -> Self {
        Self { root: S3_ROOT, ..Self::new(method, path, Bytes::from(document)) }
    }

    /// The same request for so many bytes of a file.
    pub fn expecting(self, bytes: u64) -> Self {
        Self { expected_bytes: bytes, ..self }
    }

    /// Bytes that count for a limit of the rate.
    pub fn counted_bytes(&self) -> u64 {
        self.expected_bytes + self.body.len() as u64
    }

    pub fn with_header(mut self, name: impl Into<Cow<'static, str>>, value: &str) -> Self {
        self.headers.push((name.into(), value.to_owned()));
        self
    }

    pub fn is_s3(&self) -> bool {
        self.root == S3_ROOT
    }

    pub fn post(path: &str, body: &impl serde::Serialize) -> Self {
        let body = Bytes::from(
            serde_json::to_vec(body).expect("requests have string keys and no failing parts"),
        );
        let request = Self { is_long: true, ..Self::new(Method::POST, path.to_owned(), body) };
        request.with_header("content-type", "application/json")
    }

    /// A request with bytes of a file. **Shape**: `sha256` is that of `body`.
    pub fn put(path: String, body: Bytes, sha256: Sha256) -> Self {
        // Not left to hyper, which sends no length for an empty body.
        let len = body.len().to_string();
        let request = Self { body, sha256, ..Self::new(Method::PUT, path, Bytes::new()) };
        let digest = format!("sha-256=:{}:", sha256.base64());
        request.with_header("content-length", &len).with_header("content-digest", &digest)
    }

    fn new(method: Method, path: String, body: Bytes) -> Self {
        let sha256 = Sha256::of(&body);
        Self {
            method,
            root: ROOT,
            path,
            headers: Vec::new(),
            body,
            sha256,
            is_long: false,
            expected_bytes: 0,
            max_refused: None,
        }
    }
}

/// Percent-encodes the value of a query parameter.
pub(in crate::client) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, URI_COMPONENT).to_string()
}
