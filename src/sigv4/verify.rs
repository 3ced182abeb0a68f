//! Verifying a request's signature: it is parsed, the caller looks up the secret of its access key,
//! then it is verified.
//!
//! Guarantees: no request makes it panic; the signature is compared last, so that every other
//! refusal is the same for every secret and does not tell whether an access key exists; any region
//! is accepted, the service must be `s3`; an `x-amz-` header that the signature does not cover is
//! refused, so that nobody can add, for example, `x-amz-copy-source` to a URL that was presigned
//! for a put.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::canonical::{self, decoded, query_pairs};
use super::{
    ALGORITHM, CONTENT_SHA256, ChunkVerifier, DATE, MAX_EXPIRY_SECONDS, SERVICE, Scope, Secret,
    date,
};
use crate::hex::unhex;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the request is not signed")]
    Unsigned,
    #[error("the header {0} is not covered by the signature")]
    HeaderUnsigned(String),
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    #[error("the presigned URL has expired or is not valid yet")]
    Expired,
    #[error("the signature's date is too far from the gateway's time; check the clock")]
    Skewed,
    #[error("the signature does not match, or the access key does not exist")]
    Mismatch,
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
            text => unhex(text).map(Self::Hash).ok_or(Error::Malformed("x-amz-content-sha256")),
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
    credential: Cow<'a, str>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    time: Cow<'a, str>,
    expires: Option<u64>,
}

/// The signature of a request. **Errors**: `Unsigned`, `Malformed`.
pub fn parse(parts: &Parts) -> Result<RequestSignature, Error> {
    let in_query = query_pairs(parts).any(|(name, _)| decoded(name) == "X-Amz-Signature");
    match (parts.headers.get_all(AUTHORIZATION).iter().count(), in_query) {
        (0, _) => from_fields(query_fields(parts)?),
        (1, false) => from_fields(header_fields(parts)?),
        _ => Err(Error::Malformed("there is more than one signature in the headers and the URL")),
    }
}

fn header_fields(parts: &Parts) -> Result<Fields<'_>, Error> {
    let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let line = text(AUTHORIZATION)
        .ok_or(Error::Malformed("the Authorization header is not plain text"))?;
    let line = line
        .strip_prefix(ALGORITHM)
        .ok_or(Error::Malformed("the algorithm is not AWS4-HMAC-SHA256"))?;
    let fields: BTreeMap<&str, &str> =
        line.split(',').filter_map(|field| field.trim().split_once('=')).collect();
    let field = |name| {
        fields
            .get(name)
            .map(|text| Cow::Borrowed(*text))
            .ok_or(Error::Malformed("the Authorization header lacks a field"))
    };
    Ok(Fields {
        credential: field("Credential")?,
        signed_headers: field("SignedHeaders")?,
        signature: field("Signature")?,
        time: text(DATE).ok_or(Error::Malformed("x-amz-date is absent"))?.into(),
        expires: None,
    })
}

fn query_fields(parts: &Parts) -> Result<Fields<'static>, Error> {
    let query: BTreeMap<String, String> =
        query_pairs(parts).map(|(name, value)| (decoded(name), decoded(value))).collect();
    let field = |name| {
        query
            .get(name)
            .cloned()
            .map(Cow::Owned)
            .ok_or(Error::Malformed("the URL lacks a parameter of the signature"))
    };
    if !query.contains_key("X-Amz-Signature") {
        return Err(Error::Unsigned);
    }
    if field("X-Amz-Algorithm")? != ALGORITHM {
        return Err(Error::Malformed("the algorithm is not AWS4-HMAC-SHA256"));
    }
    let expires = field("X-Amz-Expires")?.parse().ok();
    let expires = expires.filter(|expires| (1..=MAX_EXPIRY_SECONDS).contains(expires));
    Ok(Fields {
        credential: field("X-Amz-Credential")?,
        signed_headers: field("X-Amz-SignedHeaders")?,
        signature: field("X-Amz-Signature")?,
        time: field("X-Amz-Date")?,
        expires: Some(expires.ok_or(Error::Malformed("X-Amz-Expires is not in [1, 604800]"))?),
    })
}

fn from_fields(fields: Fields<'_>) -> Result<RequestSignature, Error> {
    let scope: Vec<&str> = fields.credential.split('/').collect();
    let [key, day, region, SERVICE, "aws4_request"] = scope[..] else {
        return Err(Error::Malformed("the scope of the credential"));
    };
    if !fields.time.starts_with(day) || day.len() != 8 {
        return Err(Error::Malformed("the scope names another day than the date"));
    }
    let signed_headers =
        fields.signed_headers.split(';').map(|name| name.parse().ok()).collect::<Option<Vec<_>>>();
    let signed_headers = signed_headers.ok_or(Error::Malformed("the name of a signed header"))?;
    if !signed_headers.contains(&HOST) {
        return Err(Error::Malformed("host is not signed"));
    }
    Ok(RequestSignature {
        access_key_id: key.to_owned(),
        scope: Scope { day: day.to_owned(), region: region.to_owned() },
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

    /// Verifies the request with the secret of its access key. **Errors**: `Malformed`,
    /// `HeaderUnsigned`, `Expired` and `Skewed`, which do not depend on the secret; `Mismatch` only
    /// where none of these applies.
    pub fn verify(
        self,
        parts: &Parts,
        secret: &Secret,
        now: SystemTime,
        skew: Duration,
    ) -> Result<Verified, Error> {
        let payload = match parts.headers.get(CONTENT_SHA256).map(|value| value.to_str()) {
            Some(text) => text.map_err(|_| Error::Malformed("x-amz-content-sha256"))?,
            None if self.expires.is_some() => "UNSIGNED-PAYLOAD",
            None => return Err(Error::Malformed("x-amz-content-sha256 is absent")),
        };
        let signed_payload = SignedPayload::parse(payload)?;
        self.check_headers(parts)?;
        self.check_time(now, skew)?;
        let request = canonical::request(parts, &self.signed_headers, payload)
            .ok_or(Error::Malformed("a signed header is absent"))?;
        let key = secret.signing_key(&self.scope);
        let expected = canonical::signature(&request, &self.time, &self.scope, &key);
        if !bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
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
        let signed_at =
            date::parse(&self.time).ok_or(Error::Malformed("the format of the date"))?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let valid_until = signed_at + self.expires.unwrap_or(skew.as_secs());
        if now <= valid_until && signed_at <= now + skew.as_secs() {
            return Ok(());
        }
        Err(if self.expires.is_some() { Error::Expired } else { Error::Skewed })
    }
}
