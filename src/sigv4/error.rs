//! Why a signature is refused.
//!
//! Guarantees: a text names what the client sent and never a secret. The texts are S3's where S3
//! has one, because people search for them and tools compare them. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>.

use std::borrow::Cow;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the request is not signed")]
    Unsigned,
    /// With the names of the headers.
    #[error("There were headers present in the request which were not signed")]
    HeadersUnsigned(String),
    /// In the `Authorization` header.
    #[error("The authorization header is malformed; {0}")]
    Malformed(Cow<'static, str>),
    /// In the URL.
    #[error("{0}")]
    MalformedQuery(Cow<'static, str>),
    /// The kind of signature is not accepted, or a header that it needs is absent.
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("{}", .0.what)]
    InvalidArgument(Box<Argument>),
    #[error("{0}")]
    Denied(&'static str),
    #[error("Request has expired.")]
    Expired(Expiry),
    #[error("the signature's date is too far from the gateway's time; check the clock")]
    Skewed,
    #[error("the signature does not match; check the secret and what was signed")]
    Mismatch(Box<Compared>),
}

/// The header, parameter or field of a request that has a wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    pub what: Cow<'static, str>,
    pub name: &'static str,
    pub value: String,
}

/// When a signed URL was valid. **Unit**: seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The validity that the URL states; None: it states the end only.
    pub validity: Option<u64>,
    /// The end, since 1970.
    pub until: u64,
    /// The gateway's time, since 1970.
    pub now: u64,
}

/// What a signature was computed of, for a client that looks for its mistake: all of it comes from
/// the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub access_key_id: String,
    pub signature: String,
    pub string_to_sign: Vec<u8>,
    /// Some for version 4 of a request.
    pub canonical_request: Option<Vec<u8>>,
}

impl Error {
    pub fn argument(name: &'static str, value: &str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::InvalidArgument(Box::new(Argument {
            what: what.into(),
            name,
            value: value.to_owned(),
        }))
    }
}

/// The refusal of a signature in the headers whose time is unknown.
pub(super) const NO_DATE: Error =
    Error::Denied("AWS authentication requires a valid Date or x-amz-date header.");

/// The refusal of another way to sign than those that are accepted.
pub(super) const OTHER_MECHANISM: Error = Error::Unsupported(
    "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
);
