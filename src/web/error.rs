//! Why a request is refused before an operation runs, or while its body is read.
//!
//! A front maps each `Kind` to a status; the text may be shown to the client. It knows no status.

use std::error::Error as StdError;

use crate::sigv4::{Argument, Compared, Expiry};

/// What the client must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Correct the request.
    BadRequest,
    /// Sign the request correctly: the signature in its headers or form is malformed.
    Unauthorized,
    /// Sign the URL correctly: the parameters of its signature are malformed.
    MalformedUrlSignature,
    /// Sign in another way, or send the header that the signature needs.
    UnsupportedSignature,
    /// Correct what the request says of its signature.
    InvalidSignatureArgument,
    /// Use an access key that exists.
    UnknownAccessKey,
    /// Sign without a session token: the access key is not that of a session.
    InvalidToken,
    /// Declare the length of the body.
    LengthRequired,
    /// Send the request again, faster.
    RequestTimeout,
    /// Get a new presigned URL: this one has expired.
    Expired,
    /// Correct the clock: the date of the signature is too far off.
    Skewed,
    /// Check secret and signing: the signature of the request, or of a chunk of its body, is wrong.
    SignatureMismatch,
    /// Sign the request.
    Unsigned,
    /// Sign all of the request: a header, a parameter or the time is not covered.
    NotCovered,
    /// Correct the digest or checksum that the request declares: it is malformed.
    InvalidDigest,
    /// Send the body again: its bytes do not match the declared digest or checksum.
    BadDigest,
    /// Send the body again: its bytes do not match `x-amz-content-sha256`.
    PayloadMismatch,
    /// Send the body again: it ended early, or its framing is broken.
    IncompleteBody,
    /// Send the body again: it does not have its declared length.
    WrongLength,
    /// Correct the trailer of the body: it is malformed, or not the declared one.
    MalformedTrailer,
    /// Wait, then retry: too many requests are being served.
    SlowDown,
}

/// A value that a client may act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The region that a signature must name.
    Region(String),
    /// The access key that does not exist.
    AccessKeyId(String),
    /// What has a wrong value.
    Argument(Argument),
    /// The names of headers that the signature must cover.
    HeadersUnsigned(String),
    Expired(Expiry),
    /// What a signature was computed of.
    Mismatch(Compared),
    /// The signed SHA-256 of the body, and that of the bytes that came.
    Sha256 {
        declared: String,
        found: String,
    },
    /// The MD5 of `Content-MD5` in hex, and that of the bytes that came in Base64, as at S3.
    Md5 {
        declared: String,
        found: String,
    },
    /// A `Content-MD5` that is no MD5.
    ContentMd5(String),
}

/// A request that is refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    kind: Kind,
    what: String,
    /// Boxed, because few errors have one.
    detail: Option<Box<Detail>>,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), detail: None, source: None }
    }

    /// Adds the cause, which is for the log and not for the client.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn bad(what: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, what)
    }

    /// Adds a value that the answer names beside its text.
    #[must_use]
    pub fn with(mut self, detail: Detail) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn detail(&self) -> Option<&Detail> {
        self.detail.as_deref()
    }
}
