//! Signing a request, in its headers or in its URL.
//!
//! Guarantees: a signature in the headers covers every header of the request except those that
//! clients and proxies add or change afterwards.

use std::time::{Duration, SystemTime};

use http::header::{
    AUTHORIZATION, CONNECTION, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::request::Parts;

use super::canonical::{self, Reading, encoded};
use super::{
    ALGORITHM, CONTENT_SHA256, Credentials, DATE, MAX_EXPIRY_SECONDS, Payload, SECURITY_TOKEN,
    Scope, date,
};

/// Headers that are not signed: hop-by-hop headers, and those that are changed on the way.
const UNSIGNED_HEADERS: [HeaderName; 6] =
    [AUTHORIZATION, CONNECTION, EXPECT, TE, TRANSFER_ENCODING, USER_AGENT];

/// Why a request cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the request's URL names no host")]
    NoHost,
    #[error("a header, the access key id or the session token is not plain text")]
    NotText,
}

/// Signs the request in its headers: adds `host`, `x-amz-date`, `x-amz-content-sha256`,
/// `x-amz-security-token`, `authorization`.
pub fn sign(
    parts: &mut Parts,
    credentials: &Credentials,
    region: &str,
    payload: Payload,
    now: SystemTime,
) -> Result<(), SignError> {
    let time = date::format(now);
    let scope = Scope { day: time[..8].to_owned(), region: region.to_owned() };
    if !parts.headers.contains_key(HOST) {
        let host = value(parts.uri.authority().ok_or(SignError::NoHost)?.as_str())?;
        parts.headers.insert(HOST, host);
    }
    parts.headers.insert(DATE, value(&time)?);
    let payload = payload.header_value();
    parts.headers.insert(CONTENT_SHA256, value(&payload)?);
    if let Some(token) = &credentials.session_token {
        parts.headers.insert(SECURITY_TOKEN, value(token)?);
    }
    let signed = parts.headers.keys().filter(|name| !UNSIGNED_HEADERS.contains(name));
    let mut signed_headers: Vec<HeaderName> = signed.cloned().collect();
    signed_headers.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    let request = canonical::request(parts, &signed_headers, &payload, Reading::AsSent);
    let signing_key = credentials.secret.signing_key(&scope);
    let signature =
        canonical::signature(&request.ok_or(SignError::NotText)?, &time, &scope, &signing_key);
    let mut line =
        [ALGORITHM, " Credential=", &credentials.access_key_id, "/", &scope.text()].concat();
    line.push_str(",SignedHeaders=");
    line.extend(canonical::header_names(&signed_headers));
    line.push_str(",Signature=");
    line.push_str(&signature);
    parts.headers.insert(AUTHORIZATION, value(&line)?);
    Ok(())
}

/// The request's URL with a signature in its query. `host` is the only header that is signed.
/// `expires` is limited to `[1 s, 7 days]`.
pub fn presign(
    parts: &Parts,
    credentials: &Credentials,
    region: &str,
    expires: Duration,
    now: SystemTime,
) -> Result<String, SignError> {
    let time = date::format(now);
    let scope = Scope { day: time[..8].to_owned(), region: region.to_owned() };
    let expires = expires.as_secs().clamp(1, MAX_EXPIRY_SECONDS);
    let credential = encoded(&format!("{}/{}", credentials.access_key_id, scope.text()));
    let mut query = parts.uri.query().map_or_else(String::new, |query| format!("{query}&"));
    query.push_str(&format!(
        "X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential={credential}&X-Amz-Date={time}"
    ));
    query.push_str(&format!("&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host"));
    if let Some(token) = &credentials.session_token {
        query.push_str(&format!("&X-Amz-Security-Token={}", encoded(token)));
    }
    let authority = parts.uri.authority().ok_or(SignError::NoHost)?;
    let scheme = parts.uri.scheme_str().unwrap_or("http");
    let url = format!("{scheme}://{authority}{}?{query}", parts.uri.path());
    let (mut signed, ()) = http::Request::builder()
        .method(parts.method.clone())
        .uri(&url)
        .body(())
        .map_err(|_| SignError::NotText)?
        .into_parts();
    signed.headers.insert(HOST, value(authority.as_str())?);
    let request = canonical::request(&signed, &[HOST], "UNSIGNED-PAYLOAD", Reading::AsSent);
    let request = request.ok_or(SignError::NotText)?;
    let signature =
        canonical::signature(&request, &time, &scope, &credentials.secret.signing_key(&scope));
    Ok(format!("{url}&X-Amz-Signature={signature}"))
}

fn value(text: &str) -> Result<HeaderValue, SignError> {
    HeaderValue::from_str(text).map_err(|_| SignError::NotText)
}
