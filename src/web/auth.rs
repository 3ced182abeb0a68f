//! Authentication: verifies the signature of a request, URL or form against the account's secret.
//!
//! Guarantees: an unknown access key is verified against a stand-in secret and refused for the same
//! reasons and in the same order as a known one: first for what is wrong whatever the secret is,
//! last for the signature. So neither time nor text tells whether a key exists. Nothing of the body
//! is read. It does not know what the account may do. Source: docs/architecture.md#identity.

use std::time::SystemTime;

use http::request;

use crate::accounts::{Accounts, Credentials, Identity};
use crate::digest::Sha256;
use crate::sigv4::{self, ChunkVerifier, PolicySignature, SignedPayload, V2Signature};

use super::Settings;
use super::error::{Error, Kind};
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
    /// The SHA-256 of the body, if the client signed it.
    pub fn sha256(&self) -> Option<Sha256> {
        match self.claim {
            SignedPayload::Hash(sha256) => Some(Sha256(sha256)),
            SignedPayload::Unsigned | SignedPayload::Streaming(_) => None,
        }
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

/// **Errors**: `Unsigned`, `Unauthorized` (malformed), `SignatureMismatch`, `Expired`, `Skewed`.
pub fn authenticate(
    head: &request::Parts,
    accounts: &Accounts,
    now: SystemTime,
    settings: &Settings,
) -> Result<(Identity, PayloadSignature), Error> {
    let claim = match sigv4::parse(head) {
        Ok(claim) => claim,
        Err(error) => {
            let v2 = V2Signature::parse(head).filter(|_| error == sigv4::Error::Unsigned);
            return authenticate_v2(
                v2.ok_or_else(|| refusal(error))?,
                head,
                accounts,
                now,
                settings,
            );
        }
    };
    let credentials = accounts.credentials(claim.access_key_id());
    let verified =
        claim.verify(head, &credentials.secret, now, settings.max_skew).map_err(refusal)?;
    let payload =
        PayloadSignature { claim: verified.payload, chunks: Some(verified.chunk_verifier) };
    Ok((identity_of(credentials)?, payload))
}

/// As `authenticate`, for a URL with the older query signature.
fn authenticate_v2(
    claim: V2Signature,
    head: &request::Parts,
    accounts: &Accounts,
    now: SystemTime,
    settings: &Settings,
) -> Result<(Identity, PayloadSignature), Error> {
    let credentials = accounts.credentials(claim.access_key_id());
    let bucket =
        settings.domain.as_deref().and_then(|domain| bucket_of_host(&head.headers, domain));
    claim.verify(head, bucket.as_deref(), &credentials.secret, now).map_err(refusal)?;
    let payload = PayloadSignature { claim: SignedPayload::Unsigned, chunks: None };
    Ok((identity_of(credentials)?, payload))
}

/// The identity that signed the policy of a form. `fields`: algorithm, credential, signature,
/// policy. **Errors**: those of `authenticate`.
pub fn authenticate_policy(accounts: &Accounts, fields: [&str; 4]) -> Result<Identity, Error> {
    let [algorithm, credential, signature, policy] = fields;
    if signature.is_empty() {
        return Err(refusal(sigv4::Error::Unsigned));
    }
    let claim = PolicySignature { algorithm, credential, signature, policy };
    let credentials = accounts.credentials(claim.access_key_id());
    claim.verify(&credentials.secret).map_err(refusal)?;
    identity_of(credentials)
}

/// The identity of a verified signature. **Errors**: that of a wrong signature for an unknown
/// access key: the secret that stands in for its own is in the source code, so anyone can sign with
/// it.
fn identity_of(credentials: Credentials) -> Result<Identity, Error> {
    credentials.identity.ok_or_else(|| refusal(sigv4::Error::Mismatch))
}

fn refusal(error: sigv4::Error) -> Error {
    let kind = match error {
        sigv4::Error::Unsigned | sigv4::Error::HeaderUnsigned(_) => Kind::Unsigned,
        sigv4::Error::Malformed(_) => Kind::Unauthorized,
        sigv4::Error::Expired => Kind::Expired,
        sigv4::Error::Skewed => Kind::Skewed,
        sigv4::Error::Mismatch => Kind::SignatureMismatch,
    };
    Error::new(kind, error.to_string())
}
