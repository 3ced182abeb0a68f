//! A secret access key, and the signing key that was last derived from it.
//!
//! Guarantees: neither is ever printed. The signing key of the last scope is kept, because deriving
//! it costs a quarter of a small request
//! (docs/decisions/0021-what-a-small-request-costs.md). Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>, *signing key*.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};

use super::{SERVICE, Scope};

/// A secret access key. Cheap to clone; clones share the derived key.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    text: String,
    last_derived: Mutex<Option<(Scope, SigningKey)>>,
}

/// The key that signs within one scope.
#[derive(Clone)]
pub(super) struct SigningKey(Hmac<sha2::Sha256>);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Inner { text: text.to_owned(), last_derived: Mutex::default() }))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.text.as_bytes()
    }

    /// The signing key of a scope.
    pub(super) fn signing_key(&self, scope: &Scope) -> SigningKey {
        let mut last = self.0.last_derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = last.as_ref().filter(|(derived_for, _)| derived_for == scope) {
            return key.clone();
        }
        let first = SigningKey::new(format!("AWS4{}", self.0.text).as_bytes());
        let words = [scope.day.as_str(), &scope.region, SERVICE, "aws4_request"];
        let key = words.into_iter().fold(first, |key, text| SigningKey::new(&key.mac(text)));
        *last = Some((scope.clone(), key.clone()));
        key
    }
}

impl SigningKey {
    fn new(bytes: &[u8]) -> Self {
        Self(Hmac::new_from_slice(bytes).expect("HMAC takes a key of any length"))
    }

    /// The HMAC-SHA256 of the text.
    pub fn mac(&self, text: &str) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
