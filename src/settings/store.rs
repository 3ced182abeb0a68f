//! Which store the gateway uses, and how to reach it.
//!
//! Guarantees: an accepted choice is well-formed. It does not check that the store exists.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Error, Settings};

/// `dir:PATH`, `s3+http://HOST:PORT` or `s3+https://HOST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreChoice {
    Dir(PathBuf),
    /// The endpoint with its scheme, without a trailing slash.
    S3(String),
}

impl FromStr for StoreChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORMS: &str = "it must be dir:PATH, s3+http://HOST:PORT or s3+https://HOST";
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
            return Err(format!("{FORMS}, without a path, user name or password"));
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

/// Checks what a gateway needs beside valid single settings. **Errors**: `Combination`.
pub(super) fn check_gateway(settings: &Settings) -> Result<(), Error> {
    let incomplete = |tls: &crate::server::TlsSettings| {
        tls.certificate.as_os_str().is_empty() || tls.key.as_os_str().is_empty()
    };
    if settings.server.tls.as_ref().is_some_and(incomplete) {
        let problem =
            "set both server.tls_certificate and server.tls_key, or neither for plain HTTP";
        return Err(Error::Combination(problem.to_owned()));
    }
    let no_account = settings.accounts.accounts.is_empty();
    match &settings.store.choice {
        StoreChoice::S3(_) if no_account => Err(Error::Combination(
            "a gateway in front of an S3 store needs an access key of its own: add an [[account]] to the settings \
             file, or set RATCHET_ACCESS_KEY_ID and RATCHET_SECRET_ACCESS_KEY"
                .to_owned(),
        )),
        StoreChoice::S3(_) | StoreChoice::Dir(_) => Ok(()),
    }
}
