//! Verifying a request's signature: it is parsed and checked, the caller looks up the secret of its
//! access key, then it is verified.
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
use super::error::{Compared, Error, Expiry, NO_DATE, OTHER_MECHANISM};
use super::{
    ALGORITHM, CONTENT_SHA256, ChunkVerifier, DATE, MAX_EXPIRY_SECONDS, SECURITY_TOKEN, Scope,
    Secret, V2Signature, date,
};
use crate::hex::unhex;

/// Where a signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Query,
}

impl Place {
    fn malformed(self, what: impl Into<Cow<'static, str>>) -> Error {
        match self {
            Self::Header => Error::Malformed(what.into()),
            Self::Query => Error::MalformedQuery(what.into()),
        }
    }

    fn malformed_credential(self, what: String) -> Error {
        match self {
            Self::Header => self.malformed(what),
            Self::Query => {
                self.malformed(format!("Error parsing the X-Amz-Credential parameter; {what}"))
            }
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
            text if text.starts_with("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD") => {
                Err(OTHER_MECHANISM)
            }
            text => unhex(text).map(Self::Hash).ok_or_else(|| {
                Error::argument(
                    "x-amz-content-sha256",
                    text,
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, \
                     STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, \
                     STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, \
                     STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, \
                     STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
                )
            }),
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

/// A signature that is right in all that does not need its secret.
#[derive(Clone, Debug)]
pub struct Checked {
    signature: RequestSignature,
    payload: SignedPayload,
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
        (Some(line), ..) => Err(Error::argument(
            "Authorization",
            line.to_str().unwrap_or_default(),
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature \
             query string parameter or the Authorization header should be specified",
        )),
    }
}

/// Whether the request says that its access key is that of a session. Some tools say so with an
/// empty token for a key that is none.
pub fn has_session_token(parts: &Parts) -> bool {
    let in_query = query_pairs(parts).any(|(name, value)| {
        !value.is_empty() && decoded(name).eq_ignore_ascii_case(SECURITY_TOKEN.as_str())
    });
    in_query || parts.headers.get_all(SECURITY_TOKEN).iter().any(|token| !token.is_empty())
}

fn header_fields(parts: &Parts) -> Result<Fields<'_>, Error> {
    let line = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let line = line.ok_or(Error::Malformed("it is not plain text.".into()))?;
    let invalid = |value, what| Err(Error::argument("Authorization", value, what));
    let Some((kind, fields)) = line.split_once(' ') else {
        return invalid(
            line,
            "Authorization header is invalid -- one and only one ' ' (space) required.",
        );
    };
    match kind {
        ALGORITHM => {}
        "AWS" => return Err(OTHER_MECHANISM),
        kind if kind.starts_with("AWS4-") => return Err(OTHER_MECHANISM),
        kind => return invalid(kind, "Unsupported Authorization Type"),
    }
    let [credential, signed_headers, signature] = components(fields)?;
    Ok(Fields {
        place: Place::Header,
        credential: Cow::Borrowed(credential),
        signed_headers: Cow::Borrowed(signed_headers),
        signature: Cow::Borrowed(signature),
        time: header_time(parts)?,
        expires: None,
    })
}

/// The values of the components of an `Authorization` header. **Errors**: `Malformed`.
fn components(fields: &str) -> Result<[&str; 3], Error> {
    let fields: Vec<&str> =
        fields.split(',').map(str::trim).filter(|field| !field.is_empty()).collect();
    if fields.len() < 3 {
        return Err(Error::Malformed(
            "the authorization header requires three components: Credential, SignedHeaders, and \
             Signature."
                .into(),
        ));
    }
    if let Some(field) = fields.iter().find(|field| !field.contains('=')) {
        let what = format!("the authorization component \"{field}\" is malformed.");
        return Err(Error::Malformed(what.into()));
    }
    let value = |name: &str| {
        let mut named = fields.iter().filter_map(|field| field.split_once('='));
        let found = named.find(|(known, _)| *known == name).map(|(_, value)| value);
        found.ok_or_else(|| Error::Malformed(format!("missing {name}.").into()))
    };
    Ok([value("Credential")?, value("SignedHeaders")?, value("Signature")?])
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
    let malformed = |what: &'static str| Error::MalformedQuery(what.into());
    let field = |name| {
        let value = query.get(name).filter(|value| !value.is_empty()).cloned().map(Cow::Owned);
        value.ok_or_else(|| {
            malformed(
                "Query-string authentication version 4 requires the X-Amz-Algorithm, \
                 X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and \
                 X-Amz-Expires parameters.",
            )
        })
    };
    match &*field("X-Amz-Algorithm")? {
        ALGORITHM => {}
        "AWS4-ECDSA-P256-SHA256" => {
            return Err(malformed("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        _ => {
            return Err(malformed(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"",
            ));
        }
    }
    let (credential, signed_headers) = (field("X-Amz-Credential")?, field("X-Amz-SignedHeaders")?);
    let (signature, time) = (field("X-Amz-Signature")?, field("X-Amz-Date")?);
    if date::parse(&time).is_none() {
        return Err(malformed(
            "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"",
        ));
    }
    let expires = field("X-Amz-Expires")?;
    let expires =
        expires.parse::<i128>().map_err(|_| malformed("X-Amz-Expires should be a number"))?;
    let expires = u64::try_from(expires.min(i128::from(u64::MAX)))
        .map_err(|_| malformed("X-Amz-Expires must be non-negative"))?;
    if expires > MAX_EXPIRY_SECONDS {
        return Err(malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires \
             must be less than 604800 seconds",
        ));
    }
    let (place, expires) = (Place::Query, Some(expires));
    Ok(Fields { place, credential, signed_headers, signature, time, expires })
}

fn from_fields(fields: Fields<'_>) -> Result<RequestSignature, Error> {
    let place = fields.place;
    let (key, scope) = Scope::of_credential(&fields.credential)
        .map_err(|what| place.malformed_credential(what))?;
    // Both have at least eight digits, which are the day.
    if !fields.time.starts_with(&*scope.day) {
        return Err(place.malformed(format!(
            "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
            scope.day,
            &fields.time[..8]
        )));
    }
    let signed_headers =
        fields.signed_headers.split(';').map(|name| name.parse().ok()).collect::<Option<Vec<_>>>();
    let signed_headers = signed_headers
        .ok_or_else(|| place.malformed("SignedHeaders has a name that no header can have."))?;
    if !signed_headers.contains(&HOST) {
        return Err(place.malformed("SignedHeaders does not name host."));
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
    /// The region of the credential.
    pub fn region(&self) -> &str {
        &self.scope.region
    }

    /// The refusal of a credential, with what is wrong with it.
    pub fn malformed_credential(&self, what: String) -> Error {
        self.place().malformed_credential(what)
    }

    fn place(&self) -> Place {
        if self.is_in_url() { Place::Query } else { Place::Header }
    }

    /// Whether the signature is in the URL.
    pub fn is_in_url(&self) -> bool {
        self.expires.is_some()
    }

    /// Checks everything but the signature itself, which needs the secret. **Errors**:
    /// `InvalidArgument`, `Unsupported`, `HeadersUnsigned`, `Expired`, `Denied`, `Skewed`.
    pub fn check(self, parts: &Parts, now: SystemTime, skew: Duration) -> Result<Checked, Error> {
        let payload = SignedPayload::parse(self.payload(parts)?)?;
        self.check_headers(parts)?;
        self.check_time(now, skew)?;
        Ok(Checked { signature: self, payload })
    }

    /// The value of `x-amz-content-sha256`.
    fn payload<'a>(&self, parts: &'a Parts) -> Result<&'a str, Error> {
        match parts.headers.get(CONTENT_SHA256) {
            // What is not text is no value that is accepted.
            Some(value) => Ok(value.to_str().unwrap_or_default()),
            None if self.is_in_url() => Ok("UNSIGNED-PAYLOAD"),
            None => Err(Error::Unsupported(
                "Missing required header for this request: x-amz-content-sha256",
            )),
        }
    }

    fn check_headers(&self, parts: &Parts) -> Result<(), Error> {
        let covered =
            |name: &HeaderName| ALWAYS_SIGNED.contains(name) || self.signed_headers.contains(name);
        let names = parts.headers.keys().filter(|name| name.as_str().starts_with("x-amz-"));
        let mut uncovered: Vec<&str> =
            names.filter(|name| !covered(name)).map(HeaderName::as_str).collect();
        if uncovered.is_empty() {
            return Ok(());
        }
        uncovered.sort_unstable();
        Err(Error::HeadersUnsigned(uncovered.join(", ")))
    }

    fn check_time(&self, now: SystemTime, skew: Duration) -> Result<(), Error> {
        let signed_at = date::parse(&self.time).ok_or(NO_DATE)?;
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let is_early = signed_at > now + skew.as_secs();
        match self.expires {
            Some(_) if is_early => Err(Error::Denied("the presigned URL is not valid yet")),
            Some(validity) if now > signed_at + validity => {
                let until = signed_at + validity;
                Err(Error::Expired(Expiry { validity: Some(validity), until, now }))
            }
            None if is_early || now > signed_at + skew.as_secs() => Err(Error::Skewed),
            Some(_) | None => Ok(()),
        }
    }
}

impl Checked {
    pub fn access_key_id(&self) -> &str {
        &self.signature.access_key_id
    }

    /// Verifies the request with the secret of its access key. **Errors**: `Malformed` where a
    /// signed header is absent; `Mismatch`.
    pub fn verify(self, parts: &Parts, secret: &Secret) -> Result<Verified, Error> {
        let Self { signature: claim, payload } = self;
        let text = claim.payload(parts)?;
        let key = secret.signing_key(&claim.scope);
        let canonical = |reading| {
            canonical::request(parts, &claim.signed_headers, text, reading).ok_or_else(|| {
                let what = "SignedHeaders names a header that the request does not have.";
                claim.place().malformed(what)
            })
        };
        let matches = |request: &[u8]| {
            let expected = canonical::signature(request, &claim.time, &claim.scope, &key);
            bool::from(expected.as_bytes().ct_eq(claim.signature.as_bytes()))
        };
        // Clients that write a header in Latin-1 sign it as they send it, or its text in UTF-8.
        let latin1 = || canonical::has_latin1(parts, &claim.signed_headers);
        let request = canonical(Reading::AsSent)?;
        let is_valid = matches(&request) || (latin1() && matches(&canonical(Reading::Latin1)?));
        if !is_valid {
            let string_to_sign = canonical::string_to_sign(&request, &claim.time, &claim.scope);
            return Err(Error::Mismatch(Box::new(Compared {
                access_key_id: claim.access_key_id,
                signature: claim.signature,
                string_to_sign: string_to_sign.into_bytes(),
                canonical_request: Some(request),
            })));
        }
        let chunk_verifier = ChunkVerifier::new(key, claim.scope, claim.time, claim.signature);
        Ok(Verified { payload, chunk_verifier })
    }
}
