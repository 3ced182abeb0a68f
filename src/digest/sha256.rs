//! A SHA-256 value, its text forms, and a running hash.
//!
//! Guarantees: the text is `sha256:<64 hex digits>` in the chunk API, and Base64 in records and
//! header fields. Values are not compared in constant time, because digests are not secret.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest;

use crate::hex::{hex, unhex};

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// The text is not a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a digest of the form {1}")]
pub struct ParseDigestError(pub String, pub &'static str);

impl Sha256 {
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// 64 lower-case hex digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Either case; None unless 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// 44 characters, as in `x-amz-checksum-sha256` and RFC 9530.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    pub fn from_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.strip_prefix("sha256:").and_then(Self::from_hex);
        hex.ok_or_else(|| ParseDigestError(text.to_owned(), "sha256:<64 hex digits>"))
    }
}

/// As `sha256:<hex>`.
impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A running SHA-256. A clone is cheap, and keeps the state before a chunk that may fail.
#[derive(Clone, Default)]
pub struct RunningSha256(sha2::Sha256);

impl RunningSha256 {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl fmt::Debug for RunningSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunningSha256")
    }
}

/// The SHA-256 of a body, shared by the stream that computes it and a later reader of that stream,
/// which need not hash the bytes again (docs/decisions/0004-bytes-are-hashed-once.md). It is set
/// once, before the last frame goes on.
#[derive(Clone, Debug, Default)]
pub struct PassedSha256(Arc<OnceLock<Sha256>>);

impl PassedSha256 {
    pub fn set(&self, sha256: Sha256) {
        // Cannot fail: a body ends once.
        self.0.set(sha256).ok();
    }

    /// None before the end of the body.
    pub fn get(&self) -> Option<Sha256> {
        self.0.get().copied()
    }
}
