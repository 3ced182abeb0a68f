//! Verifying a request's signature: it is parsed, the caller looks up the secret of its access key,
//! then it is verified.
//!
//! Guarantees: no request makes it panic; the signature is compared last, so that every other
//! refusal is the same for every secret; the service must be `s3`, and the caller judges the
//! region; an `x-amz-` header that the signature does not cover is refused, so that nobody can add,
//! for example, `x-amz-copy-source` to a URL that was presigned for a put. Without `x-amz-date`,
//! `Date` is the time of the signature. Source, also of the texts:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use http::header::{AUTHORIZATION, DATE as HTTP_DATE, HOST};
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::canonical::{self, Reading, decoded, query_pairs};
use super::{
    ALGORITHM, CONTENT_SHA256, ChunkVerifier, DATE, MAX_EXPIRY_SECONDS, Scope, Secret, V2Signature,
    date,
};
use crate::hex::unhex;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the request is not signed")]
    Unsigned,
    #[error("the header {0} is not covered by the signature")]
    HeaderUnsigned(String),
    /// In a header or in a form.
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    #[error("the signature in the URL is malformed: {0}")]
    MalformedQuery(&'static str),
    /// The kind of signature is not accepted, or a header that it needs is absent.
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("{0}")]
    InvalidArgument(&'static str),
    #[error("{0}")]
    Denied(&'static str),
    #[error("the request has expired")]
    Expired,
    #[error("the signature's date is too far from the gateway's time; check the clock")]
    Skewed,
    #[error("the signature does not match; check the secret and what was signed")]
    Mismatch,
}

/// The refusal of a signature in the headers whose time is unknown.
pub(super) const NO_DATE: Error =
    Error::Denied("a signature needs a valid Date or x-amz-date header");

/// Where a signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Query,
}

impl Place {
    fn malformed(self, what: &'static str) -> Error {
        match self {
            Self::Header => Error::Malformed(what),
            Self::Query => Error::MalformedQuery(what),
        }
    }
}

/// Headers that every signature covers although it need not list them: the canonical request ends
/// with the first, the string to sign contains the second.
const ALWAYS_SIGNED: [HeaderName; 2] = [CONTENT_SHA256, DATE];

/// What the signature covers of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedPayload {
    /// The SHA-256 of the whole body.
    Hash([u8; 32]),
    Unsigned,
    /// An `aws-chunked` body.
    Streaming(StreamForm),
}

/// The `STREAMING-…` values of `x-amz-content-sha256`.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamForm {
    /// Each chunk is signed.
    Signed,
    /// Each chunk and the trailer are signed.
    SignedTrailer,
    /// The body is not signed; the trailer has a checksum.
    UnsignedTrailer,
}

impl SignedPayload {
    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "UNSIGNED-PAYLOAD" => Ok(Self::Unsigned),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(Self::Streaming(StreamForm::Signed)),
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                Ok(Self::Streaming(StreamForm::SignedTrailer))
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => {
                Ok(Self::Streaming(StreamForm::UnsignedTrailer))
            }
            text => unhex(text).map(Self::Hash).ok_or(Error::InvalidArgument(
                "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, one of the STREAMING- values, or a SHA-256 in hex",
            )),
        }
    }
}

/// The result of a successful verification.
#[derive(Clone, Debug)]
pub struct Verified {
    pub payload: SignedPayload,
    /// For a body whose chunks are signed.
    pub chunk_verifier: ChunkVerifier,
}

/// A signature that was parsed and is not yet verified.
#[derive(Clone, Debug)]
pub struct RequestSignature {
    access_key_id: String,
    scope: Scope,
    signed_headers: Vec<HeaderName>,
    signature: String,
    time: String,
    /// **Unit**: seconds. Some for a presigned URL only.
    expires: Option<u64>,
}

/// The fields of a signature, from the header or the query.
struct Fields<'a> {
    place: Place,
    credential: Cow<'a, str>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    time: Cow<'a, str>,
    expires: Option<u64>,
}

/// Parameters whose presence says that a URL is signed.
const QUERY_MARKS: [&str; 3] = ["X-Amz-Signature", "X-Amz-Credential", "X-Amz-Algorithm"];

/// The signature of a request. **Errors**: `Unsigned`, `Malformed`, `MalformedQuery`,
/// `Unsupported`, `InvalidArgument`, `Denied`.
pub fn parse(parts: &Parts) -> Result<RequestSignature, Error> {
    let in_query = query_pairs(parts).any(|(name, _)| QUERY_MARKS.contains(&&*decoded(name)));
    let mut lines = parts.headers.get_all(AUTHORIZATION).iter();
    match (lines.next(), lines.next(), in_query) {
        (None, _, true) => from_fields(query_fields(parts)?),
        (None, _, false) => Err(Error::Unsigned),
        (Some(line), None, false) if line.is_empty() => Err(Error::Unsigned),
        (Some(_), None, false) if !V2Signature::is_in_url(parts) => {
            from_fields(header_fields(parts)?)
        }
        _ => Err(Error::InvalidArgument(
            "only one signature is allowed: in one Authorization header or in the URL",
        )),
    }
}

fn header_fields(parts: &Parts) -> Result<Fields<'_>, Error> {
    let line = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let line = line.ok_or(Error::Malformed("the Authorization header is not plain text"))?;
    let Some(line) = line.strip_prefix(ALGORITHM) else {
        return Err(match line.split(' ').next() {
            Some("AWS") => Error::Unsupported(
                "signature version 2 in the Authorization header is not accepted; use AWS4-HMAC-SHA256",
            ),
            Some(kind) if kind.starts_with("AWS4-") => Error::Unsupported(
                "the authorization mechanism is not accepted; use AWS4-HMAC-SHA256",
            ),
            _ => Error::InvalidArgument("the authorization type is not supported"),
        });
    };
    let fields: BTreeMap<&str, &str> =
        line.split(',').filter_map(|field| field.trim().split_once('=')).collect();
    let field = |name| {
        fields.get(name).map(|text| Cow::Borrowed(*text)).ok_or(Error::Malformed(
            "the Authorization header needs Credential, SignedHeaders and Signature",
        ))
    };
    Ok(Fields {
        place: Place::Header,
        credential: field("Credential")?,
        signed_headers: field("SignedHeaders")?,
        signature: field("Signature")?,
        time: header_time(parts)?,
        expires: None,
    })
}

/// The time of a signature in the headers. **Errors**: `Denied`.
fn header_time(parts: &Parts) -> Result<Cow<'_, str>, Error> {
    let text = |name: HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap_or(""));
    match (text(DATE), text(HTTP_DATE)) {
        (Some(time), _) if date::parse(time).is_some() => Ok(Cow::Borrowed(time)),
        (None, Some(time)) if date::parse(time).is_some() => Ok(Cow::Borrowed(time)),
        (None, Some(time)) => {
            let seconds = date::parse_http(time).ok_or(NO_DATE)?;
            Ok(Cow::Owned(date::format(UNIX_EPOCH + Duration::from_secs(seconds))))
        }
        (Some(_), _) | (None, None) => Err(NO_DATE),
    }
}

fn query_fields(parts: &Parts) -> Result<Fields<'static>, Error> {
    let query: BTreeMap<String, String> =
        query_pairs(parts).map(|(name, value)| (decoded(name), decoded(value))).collect();
    let field = |name| {
        query.get(name).cloned().map(Cow::Owned).ok_or(Error::MalformedQuery(
            "it needs the parameters X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, \
             X-Amz-SignedHeaders and X-Amz-Expires",
        ))
    };
    if field("X-Amz-Algorithm")? != ALGORITHM {
        return Err(Error::MalformedQuery("X-Amz-Algorithm is not AWS4-HMAC-SHA256"));
    }
    let (credential, signed_headers) = (field("X-Amz-Credential")?, field("X-Amz-SignedHeaders")?);
    let (signature, time) = (field("X-Amz-Signature")?, field("X-Amz-Date")?);
    if date::parse(&time).is_none() {
        return Err(Error::MalformedQuery("X-Amz-Date is not of the form yyyyMMdd'T'HHmmss'Z'"));
    }
    let expires = field("X-Amz-Expires")?;
    let expires = expires
        .parse::<i128>()
        .map_err(|_| Error::MalformedQuery("X-Amz-Expires should be a number"))?;
    let expires = u64::try_from(expires)
        .map_err(|_| Error::MalformedQuery("X-Amz-Expires must be non-negative"))?;
    if expires > MAX_EXPIRY_SECONDS {
        return Err(Error::MalformedQuery("X-Amz-Expires must be at most a week (604800 seconds)"));
    }
    let (place, expires) = (Place::Query, Some(expires));
    Ok(Fields { place, credential, signed_headers, signature, time, expires })
}

fn from_fields(fields: Fields<'_>) -> Result<RequestSignature, Error> {
    let place = fields.place;
    let (key, scope) =
        Scope::of_credential(&fields.credential).map_err(|what| place.malformed(what))?;
    if !fields.time.starts_with(&*scope.day) || scope.day.len() != 8 {
        return Err(place.malformed("the credential names another day than the date"));
    }
    let signed_headers =
        fields.signed_headers.split(';').map(|name| name.parse().ok()).collect::<Option<Vec<_>>>();
    let signed_headers =
        signed_headers.ok_or_else(|| place.malformed("the name of a signed header"))?;
    if !signed_headers.contains(&HOST) {
        return Err(place.malformed("host is not signed"));
    }
    Ok(RequestSignature {
        access_key_id: key.to_owned(),
        scope,
        signed_headers,
        signature: fields.signature.into_owned(),
        time: fields.time.into_owned(),
        expires: fields.expires,
    })
}

impl RequestSignature {
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// The region of the credential.
    pub fn region(&self) -> &str {
        &self.scope.region
    }

    /// Whether the signature is in the URL.
    pub fn is_in_url(&self) -> bool {
        self.expires.is_some()
    }

    /// Checks everything but the signature itself, which needs the secret. **Errors**:
    /// `InvalidArgument`, `Unsupported`, `HeaderUnsigned`, `Expired`, `Denied`, `Skewed`.
    pub fn check(&self, parts: &Parts, now: SystemTime, skew: Duration) -> Result<(), Error> {
        SignedPayload::parse(self.payload(parts)?)?;
        self.check_headers(parts)?;
        self.check_time(now, skew)
    }

    /// The value of `x-amz-content-sha256`.
    fn payload<'a>(&self, parts: &'a Parts) -> Result<&'a str, Error> {
        match parts.headers.get(CONTENT_SHA256) {
            // What is not text is no value that is accepted.
            Some(value) => Ok(value.to_str().unwrap_or_default()),
            None if self.is_in_url() => Ok("UNSIGNED-PAYLOAD"),
            None => Err(Error::Unsupported("the header x-amz-content-sha256 is missing")),
        }
    }

    /// Verifies the request with the secret of its access key. **Errors**: those of `check`;
    /// `Malformed` where a signed header is absent; `Mismatch` only where none of these applies.
    pub fn verify(
        self,
        parts: &Parts,
        secret: &Secret,
        now: SystemTime,
        skew: Duration,
    ) -> Result<Verified, Error> {
        self.check(parts, now, skew)?;
        let payload = self.payload(parts)?;
        let signed_payload = SignedPayload::parse(payload)?;
        let key = secret.signing_key(&self.scope);
        let matches = |reading| {
            let place = if self.is_in_url() { Place::Query } else { Place::Header };
            let request = canonical::request(parts, &self.signed_headers, payload, reading)
                .ok_or_else(|| place.malformed("a signed header is absent"))?;
            let expected = canonical::signature(&request, &self.time, &self.scope, &key);
            Ok(bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())))
        };
        // Clients that write a header in Latin-1 sign it as they send it, or its text in UTF-8.
        let latin1 = || canonical::has_latin1(parts, &self.signed_headers);
        let is_valid = matches(Reading::AsSent)? || (latin1() && matches(Reading::Latin1)?);
        if !is_valid {
            return Err(Error::Mismatch);
        }
        let chunk_verifier = ChunkVerifier::new(key, self.scope, self.time, self.signature);
        Ok(Verified { payload: signed_payload, chunk_verifier })
    }

    fn check_headers(&self, parts: &Parts) -> Result<(), Error> {
        let covered =
            |name: &HeaderName| ALWAYS_SIGNED.contains(name) || self.signed_headers.contains(name);
        let uncovered =
            parts.headers.keys().find(|name| name.as_str().starts_with("x-amz-") && !covered(name));
        uncovered.map_or(Ok(()), |name| Err(Error::HeaderUnsigned(name.as_str().to_owned())))
    }

    fn check_time(&self, now: SystemTime, skew: Duration) -> Result<(), Error> {
        let signed_at = date::parse(&self.time).ok_or(NO_DATE)?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let is_early = signed_at > now + skew.as_secs();
        match self.expires {
            Some(_) if is_early => Err(Error::Denied("the presigned URL is not valid yet")),
            Some(expires) if now > signed_at + expires => Err(Error::Expired),
            None if is_early || now > signed_at + skew.as_secs() => Err(Error::Skewed),
            Some(_) | None => Ok(()),
        }
    }
}
