//! Why a request is refused before it reaches a session.
//!
//! `Kind` is what a front translates; the text may be shown to the client. It knows no status code.

use std::error::Error as StdError;

/// What a caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mend the request.
    BadRequest,
    /// Sign it, with a key that we know and a clock that is right.
    Unauthorized,
    /// Say how long the body is.
    LengthRequired,
    /// Send faster, or again.
    RequestTimeout,
    /// A presigned URL's time is over.
    Expired,
    /// Set the clock.
    Skewed,
    /// The signature of the request, or of a chunk of its body, is another one.
    SignatureMismatch,
    /// Sign it, if it is not meant for everyone.
    Unsigned,
    /// The digest or checksum that the request declares is not well formed.
    InvalidDigest,
    /// The bytes are not what the request's digest or checksum says.
    BadDigest,
    /// The bytes are not what `x-amz-content-sha256` says.
    PayloadMismatch,
    /// The body ended before its promised length.
    IncompleteBody,
    /// Wait, then repeat: too many requests are being served.
    SlowDown,
}

/// A request that is refused.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    kind: Kind,
    what: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// The private cause, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub fn bad(what: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, what)
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }
}
