//! Who asks: a signature verified against the account's secret.
//!
//! Guarantees: an access key that nobody has is verified against a secret of nobody, and refused
//! for the same reason as one that somebody has: first for what is wrong whatever the secret, at
//! last for its signature. So neither time nor text tells them apart, in a header, a URL or a form;
//! nothing of the body is read. It does not know what the account may do.

use std::sync::Arc;
use std::time::SystemTime;

use http::request;

use crate::accounts::{Account, Accounts, Credentials};
use crate::digest::Sha256;
use crate::sigv4::{self, ChunkVerifier, PolicySignature, SignedPayload, V2Signature};

use super::Settings;
use super::error::{Error, Kind};
use super::target::bucket_of_host;

/// Who asks, and what was signed of the body.
#[derive(Clone, Debug)]
pub struct Identity {
    pub account: Arc<Account>,
    /// Not yet compared with the body.
    pub payload: SignedPayload,
    /// None: nothing but a version 4 signature can sign chunks.
    pub(super) chunks: Option<ChunkVerifier>,
}

impl Identity {
    /// The SHA-256 of the body, where the client signed it.
    pub fn payload_sha256(&self) -> Option<Sha256> {
        match self.payload {
            SignedPayload::Hash(sha256) => Some(Sha256(sha256)),
            SignedPayload::Unsigned | SignedPayload::Streaming(_) => None,
        }
    }

    /// **Errors**: `BadRequest` for a body in frames, which not every protocol takes.
    pub fn require_plain(&self) -> Result<(), Error> {
        match self.payload {
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
) -> Result<Identity, Error> {
    let claim = match sigv4::parse(head) {
        Ok(claim) => claim,
        Err(error) => {
            let old = V2Signature::parse(head).filter(|_| error == sigv4::Error::Unsigned);
            return authenticate_old(
                old.ok_or_else(|| refused(error))?,
                head,
                accounts,
                now,
                settings,
            );
        }
    };
    let credentials = accounts.credentials(claim.access_key_id());
    let verified =
        claim.verify(head, &credentials.secret, now, settings.max_skew).map_err(refused)?;
    let account = owner(credentials)?;
    Ok(Identity { account, payload: verified.payload, chunks: Some(verified.chunk_verifier) })
}

/// As `authenticate`, for a URL that was signed the old way.
fn authenticate_old(
    claim: V2Signature,
    head: &request::Parts,
    accounts: &Accounts,
    now: SystemTime,
    settings: &Settings,
) -> Result<Identity, Error> {
    let credentials = accounts.credentials(claim.access_key_id());
    let bucket =
        settings.domain.as_deref().and_then(|domain| bucket_of_host(&head.headers, domain));
    claim.verify(head, bucket.as_deref(), &credentials.secret, now).map_err(refused)?;
    let account = owner(credentials)?;
    Ok(Identity { account, payload: SignedPayload::Unsigned, chunks: None })
}

/// Whose signature a form's policy bears: algorithm, credential, signature, policy. **Errors**: as
/// `authenticate`.
pub fn policy_account(accounts: &Accounts, fields: [&str; 4]) -> Result<Arc<Account>, Error> {
    let [algorithm, credential, signature, policy] = fields;
    if signature.is_empty() {
        return Err(refused(sigv4::Error::Unsigned));
    }
    let claim = PolicySignature { algorithm, credential, signature, policy };
    let credentials = accounts.credentials(claim.access_key_id());
    claim.verify(&credentials.secret).map_err(refused)?;
    owner(credentials)
}

/// Whose key it is, once its signature holds; nobody's secret is in the source, so its signature
/// can hold too.
/// **Errors**: as of a wrong signature.
fn owner(credentials: Credentials) -> Result<Arc<Account>, Error> {
    credentials.account.ok_or_else(|| refused(sigv4::Error::Mismatch))
}

fn refused(error: sigv4::Error) -> Error {
    let kind = match error {
        sigv4::Error::Unsigned | sigv4::Error::HeaderUnsigned(_) => Kind::Unsigned,
        sigv4::Error::Malformed(_) => Kind::Unauthorized,
        sigv4::Error::Expired => Kind::Expired,
        sigv4::Error::Skewed => Kind::Skewed,
        sigv4::Error::Mismatch => Kind::SignatureMismatch,
    };
    Error::new(kind, error.to_string())
}
