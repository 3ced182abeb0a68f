//! Who asks: a signature verified against the account's secret.
//!
//! Guarantees: an access key that nobody has is verified against a secret of nobody and refused with the words of a
//! wrong signature, so neither time nor text tells them apart; nothing of the body is read.
//! It does not know what the account may do.

use std::sync::Arc;
use std::time::SystemTime;

use http::request;

use crate::accounts::{Account, Accounts};
use crate::digest::Sha256;
use crate::sigv4::{self, PayloadClaim};

use super::Settings;
use super::error::{Error, Kind};

/// Who asks, and what was signed of the body.
#[derive(Clone, Debug)]
pub struct Identity {
    pub account: Arc<Account>,
    /// Where the client signed the body's hash. Not yet compared with the body.
    pub payload_sha256: Option<Sha256>,
}

/// **Errors**: `Unauthorized`; `BadRequest` for a payload that is framed in a way we do not take here.
pub fn authenticate(
    head: &request::Parts,
    accounts: &Accounts,
    now: SystemTime,
    settings: &Settings,
) -> Result<Identity, Error> {
    let claim = sigv4::parse(head).map_err(refused)?;
    let credentials = accounts.credentials(claim.access_key_id());
    let secret = sigv4::Secret::new(credentials.secret.expose());
    let verified = claim.verify(head, &secret, now, settings.max_skew);
    // Only now: the work is the same for a key that nobody has.
    let Some(account) = credentials.account else {
        return Err(Error::new(Kind::Unauthorized, "the signature does not match, or nobody has this access key"));
    };
    let payload_sha256 = match verified.map_err(refused)?.payload {
        PayloadClaim::Hash(sha256) => Some(Sha256(sha256)),
        PayloadClaim::Unsigned => None,
        PayloadClaim::Streaming => {
            return Err(Error::bad("aws-chunked bodies are not taken here; sign the body's hash or UNSIGNED-PAYLOAD"));
        }
    };
    Ok(Identity { account: Arc::clone(account), payload_sha256 })
}

fn refused(error: sigv4::Error) -> Error {
    Error::new(Kind::Unauthorized, error.to_string())
}
