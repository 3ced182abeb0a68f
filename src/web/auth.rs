//! Authentication: verifies the signature of a request, URL or form against the account's secret.
//!
//! Guarantees: what is wrong whatever the secret is is refused first, then an access key that does
//! not exist, the signature last; nothing of the body is read. It does not know what the account
//! may do. Source: docs/architecture.md#identity.

use std::time::SystemTime;

use http::request;

use crate::accounts::{Accounts, Credentials, Identity};
use crate::digest::Sha256;
use crate::sigv4::{self, ChunkVerifier, PolicySignature, SignedPayload, V2Signature};

use super::Settings;
use super::error::{Detail, Error, Kind};
use super::target::bucket_of_host;

/// What the signature of a request says about its body.
#[derive(Clone, Debug)]
pub struct PayloadSignature {
    /// Not yet compared with the body.
    pub(super) claim: SignedPayload,
    /// None: only a signature of version 4 can sign the chunks of a body.
    pub(super) chunks: Option<ChunkVerifier>,
}

impl PayloadSignature {
    /// That of a body which nothing signs.
    pub fn unsigned() -> Self {
        Self { claim: SignedPayload::Unsigned, chunks: None }
    }

    /// The SHA-256 of the body, if the client signed it.
    pub fn sha256(&self) -> Option<Sha256> {
        match self.claim {
            SignedPayload::Hash(sha256) => Some(Sha256(sha256)),
            SignedPayload::Unsigned | SignedPayload::Streaming(_) => None,
        }
    }

    /// Whether the body is `aws-chunked`.
    pub fn is_framed(&self) -> bool {
        matches!(self.claim, SignedPayload::Streaming(_))
    }

    /// **Errors**: `BadRequest` for an `aws-chunked` body, which not every front accepts.
    pub fn require_unframed(&self) -> Result<(), Error> {
        match self.claim {
            SignedPayload::Hash(_) | SignedPayload::Unsigned => Ok(()),
            SignedPayload::Streaming(_) => Err(Error::bad(
                "aws-chunked bodies are not taken here; sign the body's hash or UNSIGNED-PAYLOAD",
            )),
        }
    }
}

/// The sender of a request, and what was signed of its body. Parameters of a signed URL that stand
/// for headers become headers of `head`. **Errors**: `Unsigned`, `Unauthorized`,
/// `MalformedUrlSignature`, `UnsupportedSignature`, `InvalidSignatureArgument`, `Expired`,
/// `Skewed`, `UnknownAccessKey`, `InvalidToken`, `SignatureMismatch`.
pub fn authenticate(
    head: &mut request::Parts,
    accounts: &Accounts,
    now: SystemTime,
    settings: &Settings,
) -> Result<(Identity, PayloadSignature), Error> {
    let claim = match sigv4::parse(head) {
        Ok(claim) => claim,
        Err(error) => {
            let v2 = v2_signature(head, &error, settings)?.ok_or_else(|| refusal(error))?;
            return authenticate_v2(&v2, head, accounts, now, settings);
        }
    };
    require_region(claim.region(), settings, |what| claim.malformed_credential(what))?;
    let checked = claim.check(head, now, settings.max_skew).map_err(refusal)?;
    let Credentials { secret, identity } = known(accounts, checked.access_key_id())?;
    require_no_token(sigv4::has_session_token(head))?;
    let verified = checked.verify(head, &secret).map_err(refusal)?;
    let payload =
        PayloadSignature { claim: verified.payload, chunks: Some(verified.chunk_verifier) };
    Ok((identity, payload))
}

/// The signature of version 2 of a request that has none of version 4, where one is accepted.
fn v2_signature(
    head: &request::Parts,
    no_v4: &sigv4::Error,
    settings: &Settings,
) -> Result<Option<V2Signature>, Error> {
    if *no_v4 == sigv4::Error::Unsigned {
        return Ok(V2Signature::parse(head));
    }
    let asked = settings.signature_v2 && matches!(no_v4, sigv4::Error::Unsupported(_));
    if asked { V2Signature::parse_header(head).map_err(refusal) } else { Ok(None) }
}

/// As `authenticate`, for the older signature.
fn authenticate_v2(
    claim: &V2Signature,
    head: &mut request::Parts,
    accounts: &Accounts,
    now: SystemTime,
    settings: &Settings,
) -> Result<(Identity, PayloadSignature), Error> {
    claim.check(head, now, settings.max_skew).map_err(refusal)?;
    let Credentials { secret, identity } = known(accounts, claim.access_key_id())?;
    require_no_token(sigv4::has_session_token(head))?;
    let bucket =
        settings.domain.as_deref().and_then(|domain| bucket_of_host(&head.headers, domain));
    let (bucket, skew) = (bucket.as_deref(), settings.max_skew);
    claim.verify(head, bucket, &secret, now, skew).map_err(refusal)?;
    for (name, value) in claim.headers_in_url(head).map_err(refusal)? {
        head.headers.insert(name, value);
    }
    Ok((identity, PayloadSignature::unsigned()))
}

/// The identity that signed the policy of a form; `token` is its field `x-amz-security-token`.
/// **Errors**: those of `authenticate`.
pub fn authenticate_policy(
    accounts: &Accounts,
    claim: PolicySignature<'_>,
    token: Option<&str>,
    settings: &Settings,
) -> Result<Identity, Error> {
    if let Some(region) = claim.region().map_err(refusal)? {
        let credential = claim.credential().unwrap_or_default();
        let malformed = |what| sigv4::Error::argument("x-amz-credential", credential, what);
        require_region(&region, settings, malformed)?;
    }
    let Credentials { secret, identity } = known(accounts, claim.access_key_id())?;
    require_no_token(token.is_some_and(|token| !token.is_empty()))?;
    claim.verify(&secret).map_err(refusal)?;
    Ok(identity)
}

/// No access key of an account is that of a session. **Errors**: `InvalidToken`.
fn require_no_token(has_token: bool) -> Result<(), Error> {
    if !has_token {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidToken, "The provided token is malformed or otherwise invalid."))
}

/// **Errors**: `UnknownAccessKey`.
fn known(accounts: &Accounts, access_key_id: &str) -> Result<Credentials, Error> {
    accounts.credentials(access_key_id).ok_or_else(|| {
        let what = "the access key id does not exist";
        Error::new(Kind::UnknownAccessKey, what).with(Detail::AccessKeyId(access_key_id.to_owned()))
    })
}

/// **Errors**: `malformed` where the settings name another region.
fn require_region(
    found: &str,
    settings: &Settings,
    malformed: impl FnOnce(String) -> sigv4::Error,
) -> Result<(), Error> {
    let Some(region) = settings.region.as_deref().filter(|region| *region != found) else {
        return Ok(());
    };
    let what = format!("the region '{found}' is wrong; expecting '{region}'");
    let refusal = refusal(malformed(what));
    Err(refusal.with(Detail::Region(region.to_owned())))
}

fn refusal(error: sigv4::Error) -> Error {
    let kind = match error {
        sigv4::Error::Unsigned => Kind::Unsigned,
        sigv4::Error::HeadersUnsigned(_) | sigv4::Error::Denied(_) => Kind::NotCovered,
        sigv4::Error::Malformed(_) => Kind::Unauthorized,
        sigv4::Error::MalformedQuery(_) => Kind::MalformedUrlSignature,
        sigv4::Error::Unsupported(_) => Kind::UnsupportedSignature,
        sigv4::Error::InvalidArgument(_) => Kind::InvalidSignatureArgument,
        sigv4::Error::Expired(_) => Kind::Expired,
        sigv4::Error::Skewed => Kind::Skewed,
        sigv4::Error::Mismatch(_) => Kind::SignatureMismatch,
    };
    let refusal = Error::new(kind, error.to_string());
    match error {
        sigv4::Error::HeadersUnsigned(names) => refusal.with(Detail::HeadersUnsigned(names)),
        sigv4::Error::InvalidArgument(argument) => refusal.with(Detail::Argument(*argument)),
        sigv4::Error::Expired(expiry) => refusal.with(Detail::Expired(expiry)),
        sigv4::Error::Mismatch(compared) => refusal.with(Detail::Mismatch(*compared)),
        sigv4::Error::Unsigned
        | sigv4::Error::Denied(_)
        | sigv4::Error::Malformed(_)
        | sigv4::Error::MalformedQuery(_)
        | sigv4::Error::Unsupported(_)
        | sigv4::Error::Skewed => refusal,
    }
}
