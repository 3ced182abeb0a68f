//! Which store, and how to reach it.
//!
//! Guarantees: a choice that comes through is well-formed. It does not look whether the store is
//! there.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Error, Settings};

/// `dir:PATH`, `s3+http://HOST:PORT` or `s3+https://HOST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    Dir(PathBuf),
    /// The endpoint with its scheme, without a slash at the end.
    S3(String),
}

impl FromStr for StoreChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "it is dir:PATH, s3+http://HOST:PORT or s3+https://HOST";
        if let Some(path) = text.strip_prefix("dir:") {
            return if path.is_empty() {
                Err(FORMS.to_owned())
            } else {
                Ok(Self::Dir(path.into()))
            };
        }
        let endpoint = text.strip_prefix("s3+").ok_or(FORMS)?.trim_end_matches('/');
        let host = endpoint
            .strip_prefix("http://")
            .or_else(|| endpoint.strip_prefix("https://"))
            .ok_or(FORMS)?;
        if host.is_empty() || host.contains(['/', '@', '?', '#', ' ']) {
            return Err(format!("{FORMS}, without a path, name or password in it"));
        }
        Ok(Self::S3(endpoint.to_owned()))
    }
}

/// The store and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    pub choice: StoreChoice,
    /// Region and addressing of an S3 store; its endpoint is that of `choice`.
    pub s3: crate::store::aws::Settings,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self { choice: StoreChoice::Dir("./ratchet-data".into()), s3: Default::default() }
    }
}

/// Whether a gateway can be served so.
pub(super) fn serves(settings: &Settings) -> Result<(), Error> {
    let half = |tls: &crate::server::TlsSettings| {
        tls.certificate.as_os_str().is_empty() || tls.key.as_os_str().is_empty()
    };
    if settings.server.tls.as_ref().is_some_and(half) {
        let what = "server.tls_certificate and server.tls_key go together: set both, or none for plain http";
        return Err(Error::Together(what.to_owned()));
    }
    let keyless = settings.accounts.accounts.is_empty();
    match &settings.store.choice {
        StoreChoice::S3(_) if keyless => Err(Error::Together(
            "a gateway in front of an S3 store needs an access key of its own: write an [[account]] into the settings \
             file, or set RATCHET_ACCESS_KEY_ID and RATCHET_SECRET_ACCESS_KEY"
                .to_owned(),
        )),
        StoreChoice::S3(_) | StoreChoice::Dir(_) => Ok(()),
    }
}
