//! Verifying a request's signature: read the claim, look the key up elsewhere, verify.
//!
//! Guarantees: no byte of a request makes it panic; the signature is compared last, so that every
//! other refusal is the same for whatever secret, and tells nobody whether an access key exists;
//! any region is accepted, the service must be `s3`; no `x-amz-` header that the signature does not
//! cover, so that nobody can add, say, a copy's source to a URL that was signed for a put.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderName;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use subtle::ConstantTimeEq;

use super::canonical::{self, Terms, decoded, pairs};
use super::hex::unhex;
use super::{
    ALGORITHM, CONTENT_SHA256, ChunkSigner, DATE, LONGEST_EXPIRY_SECONDS, SERVICE, Scope, Secret,
    date,
};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the request is not signed")]
    Unsigned,
    #[error("the header {0} is there and not signed")]
    HeaderUnsigned(String),
    #[error("the signature is malformed: {0}")]
    Malformed(&'static str),
    #[error("the presigned URL is expired, or not valid yet")]
    Expired,
    #[error("the signature's date is too far from now; check the clock")]
    Skewed,
    #[error("the signature does not match, or nobody has this access key")]
    Mismatch,
}

/// Headers that are part of what is signed though they are not listed: the canonical request ends
/// with the one, the string to sign has the other.
const SIGNED_ANYHOW: [HeaderName; 2] = [CONTENT_SHA256, DATE];

/// What was signed of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadClaim {
    /// The SHA-256 of the whole body.
    Hash([u8; 32]),
    Unsigned,
    /// Framed as `aws-chunked`.
    Streaming(StreamForm),
}

/// The `STREAMING-…` values of `x-amz-content-sha256`.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamForm {
    /// Each chunk is signed.
    Signed,
    /// Each chunk is signed, and the trailer.
    SignedTrailer,
    /// Nothing of the body is signed; a checksum comes in the trailer.
    UnsignedTrailer,
}

impl PayloadClaim {
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

/// A signature that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    pub payload: PayloadClaim,
    /// Verifies the chunks of a body whose chunks are signed.
    pub chunks: ChunkSigner,
}

/// A signature that was read, not yet verified.
#[derive(Clone, Debug)]
pub struct Claim {
    access_key_id: String,
    scope: Scope,
    signed_headers: Vec<HeaderName>,
    signature: String,
    time: String,
    /// Seconds; only of a presigned URL.
    expires: Option<u64>,
}

/// The parts of a claim, wherever they stood.
struct Fields<'a> {
    credential: Cow<'a, str>,
    signed_headers: Cow<'a, str>,
    signature: Cow<'a, str>,
    time: Cow<'a, str>,
    expires: Option<u64>,
}

/// Reads the signature of a request. **Errors**: `Unsigned`, `Malformed`.
pub fn parse(parts: &Parts) -> Result<Claim, Error> {
    let in_query = pairs(parts).any(|(name, _)| decoded(name) == "X-Amz-Signature");
    match (parts.headers.get_all(AUTHORIZATION).iter().count(), in_query) {
        (0, _) => claim(query_fields(parts)?),
        (1, false) => claim(header_fields(parts)?),
        _ => Err(Error::Malformed("there must be one signature, in the header or in the URL")),
    }
}

fn header_fields(parts: &Parts) -> Result<Fields<'_>, Error> {
    let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let line = text(AUTHORIZATION).ok_or(Error::Malformed("authorization is not plain text"))?;
    let line = line.strip_prefix(ALGORITHM).ok_or(Error::Malformed("another algorithm"))?;
    let fields: BTreeMap<&str, &str> =
        line.split(',').filter_map(|field| field.trim().split_once('=')).collect();
    let field = |name| {
        fields
            .get(name)
            .map(|text| Cow::Borrowed(*text))
            .ok_or(Error::Malformed("a field is missing"))
    };
    Ok(Fields {
        credential: field("Credential")?,
        signed_headers: field("SignedHeaders")?,
        signature: field("Signature")?,
        time: text(DATE).ok_or(Error::Malformed("no x-amz-date"))?.into(),
        expires: None,
    })
}

fn query_fields(parts: &Parts) -> Result<Fields<'static>, Error> {
    let query: BTreeMap<String, String> =
        pairs(parts).map(|(name, value)| (decoded(name), decoded(value))).collect();
    let field = |name| {
        query.get(name).cloned().map(Cow::Owned).ok_or(Error::Malformed("a parameter is missing"))
    };
    if !query.contains_key("X-Amz-Signature") {
        return Err(Error::Unsigned);
    }
    if field("X-Amz-Algorithm")? != ALGORITHM {
        return Err(Error::Malformed("another algorithm"));
    }
    let expires = field("X-Amz-Expires")?.parse().ok();
    let expires = expires.filter(|expires| (1..=LONGEST_EXPIRY_SECONDS).contains(expires));
    Ok(Fields {
        credential: field("X-Amz-Credential")?,
        signed_headers: field("X-Amz-SignedHeaders")?,
        signature: field("X-Amz-Signature")?,
        time: field("X-Amz-Date")?,
        expires: Some(expires.ok_or(Error::Malformed("X-Amz-Expires is not in [1, 604800]"))?),
    })
}

fn claim(fields: Fields<'_>) -> Result<Claim, Error> {
    let scope: Vec<&str> = fields.credential.split('/').collect();
    let [key, day, region, SERVICE, "aws4_request"] = scope[..] else {
        return Err(Error::Malformed("the credential's scope"));
    };
    if !fields.time.starts_with(day) || day.len() != 8 {
        return Err(Error::Malformed("the scope is of another day"));
    }
    let signed_headers =
        fields.signed_headers.split(';').map(|name| name.parse().ok()).collect::<Option<Vec<_>>>();
    let signed_headers = signed_headers.ok_or(Error::Malformed("a signed header's name"))?;
    if !signed_headers.contains(&HOST) {
        return Err(Error::Malformed("host is not signed"));
    }
    Ok(Claim {
        access_key_id: key.to_owned(),
        scope: Scope { day: day.to_owned(), region: region.to_owned() },
        signed_headers,
        signature: fields.signature.into_owned(),
        time: fields.time.into_owned(),
        expires: fields.expires,
    })
}

impl Claim {
    pub fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    /// Verifies the request with the claimed key's secret. **Errors**: `Malformed`,
    /// `HeaderUnsigned`, `Expired` and `Skewed`, which do not depend on the secret; `Mismatch` only
    /// where it is none of these.
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
            None => return Err(Error::Malformed("no x-amz-content-sha256")),
        };
        let claim = PayloadClaim::parse(payload)?;
        self.check_headers(parts)?;
        self.check_time(now, skew)?;
        let terms = Terms { signed_headers: &self.signed_headers, payload };
        let request = canonical::request(parts, &terms)
            .ok_or(Error::Malformed("a signed header is absent"))?;
        let key = secret.signing_key(&self.scope);
        let ours = canonical::signature(&request, &self.time, &self.scope, &key);
        if !bool::from(ours.as_bytes().ct_eq(self.signature.as_bytes())) {
            return Err(Error::Mismatch);
        }
        let chunks = ChunkSigner::new(key, self.scope, self.time, self.signature);
        Ok(Verified { payload: claim, chunks })
    }

    fn check_headers(&self, parts: &Parts) -> Result<(), Error> {
        let covered =
            |name: &HeaderName| SIGNED_ANYHOW.contains(name) || self.signed_headers.contains(name);
        let bare =
            parts.headers.keys().find(|name| name.as_str().starts_with("x-amz-") && !covered(name));
        bare.map_or(Ok(()), |name| Err(Error::HeaderUnsigned(name.as_str().to_owned())))
    }

    fn check_time(&self, now: SystemTime, skew: Duration) -> Result<(), Error> {
        let signed_at = date::seconds(&self.time).ok_or(Error::Malformed("the date"))?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let until = signed_at + self.expires.unwrap_or(skew.as_secs());
        if now <= until && signed_at <= now + skew.as_secs() {
            return Ok(());
        }
        Err(if self.expires.is_some() { Error::Expired } else { Error::Skewed })
    }
}
