//! Finds the gateway's address and the credentials for it: in flags, the environment, the AWS
//! profile, and the file in which the embedded store keeps its access key.
//!
//! Guarantees: the first of these places that has a value wins; a secret is never printed.

mod profile;

use std::path::PathBuf;

use super::{Error, Result};
use crate::sigv4::Credentials;

use profile::{Profile, credentials_of, parse};

/// The address of `ratchet serve` without settings.
const DEFAULT_URL: &str = "http://127.0.0.1:9010";
/// Where `ratchet serve` without settings keeps its access key.
const EMBEDDED_CREDENTIALS: &str = "./ratchet-data/credentials";

/// The address of a gateway and the credentials for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://HOST:PORT` or `https://HOST`, without a slash at the end.
    pub url: String,
    pub region: String,
    pub credentials: Credentials,
    /// Trusted certificates that replace the machine's: `--ca`, `AWS_CA_BUNDLE` or `ca_bundle` of
    /// the profile.
    pub ca_bundle: Option<PathBuf>,
}

impl Endpoint {
    /// Finds all values; `flag` is the argument of `--endpoint`. **Errors**: `WrongUse` if there
    /// are no credentials or the address is invalid.
    pub fn find(flag: Option<&str>) -> Result<Self> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let profile = Profile::find(&env);
        let url = flag
            .map(str::to_owned)
            .or_else(|| env("AWS_ENDPOINT_URL_S3"))
            .or_else(|| env("AWS_ENDPOINT_URL"))
            .or_else(|| profile.value("endpoint_url"))
            .unwrap_or_else(|| DEFAULT_URL.to_owned());
        let region = env("AWS_REGION")
            .or_else(|| env("AWS_DEFAULT_REGION"))
            .or_else(|| profile.value("region"))
            .unwrap_or_else(|| "us-east-1".to_owned());
        let found = match credentials_of_env(&env)? {
            Some(credentials) => Some(credentials),
            None => profile.credentials()?.or_else(of_embedded_store),
        };
        let credentials = found.ok_or_else(|| {
            Error::WrongUse(
                "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                 AWS_PROFILE, to an access key of the gateway; `ratchet serve` prints the lines to \
                 paste"
                    .to_owned(),
            )
        })?;
        let ca_bundle = env("AWS_CA_BUNDLE").or_else(|| profile.value("ca_bundle"));
        let ca_bundle = ca_bundle.map(PathBuf::from);
        Ok(Self { url: valid_url(&url)?, region, credentials, ca_bundle })
    }
}

/// The address without a slash at the end. **Errors**: `WrongUse` if it has a path or no host.
fn valid_url(url: &str) -> Result<String> {
    let url = url.trim_end_matches('/');
    let uri: http::Uri = url.parse().map_err(|_| {
        Error::WrongUse(format!("the endpoint {url:?} is not a URL; write it as http://HOST:PORT"))
    })?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) if uri.path() == "/" => Ok(url.to_owned()),
        _ => Err(Error::WrongUse(format!(
            "the endpoint {url:?} is not of the form http://HOST:PORT or https://HOST:PORT"
        ))),
    }
}

/// **Errors**: `WrongUse` if only one half of the access key is set.
fn credentials_of_env(env: &impl Fn(&str) -> Option<String>) -> Result<Option<Credentials>> {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    let only = |set: &str, missing: &str| {
        Err(Error::WrongUse(format!("{set} is set and {missing} is not; set both, or neither")))
    };
    match (env(ID), env(SECRET)) {
        (Some(id), Some(secret)) => {
            Ok(Some(Credentials::new(&id, &secret, env("AWS_SESSION_TOKEN"))))
        }
        (Some(_), None) => only(ID, SECRET),
        (None, Some(_)) => only(SECRET, ID),
        (None, None) => Ok(None),
    }
}

fn of_embedded_store() -> Option<Credentials> {
    let text = std::fs::read_to_string(EMBEDDED_CREDENTIALS).ok()?;
    ["ratchet", "default"].iter().find_map(|section| credentials_of(&parse(&text, section)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_host_without_a_path() {
        assert_eq!(valid_url("http://127.0.0.1:9010/").unwrap(), "http://127.0.0.1:9010");
        for invalid in ["", "127.0.0.1", "ftp://h", "http://h/path"] {
            assert!(valid_url(invalid).is_err(), "{invalid}");
        }
    }
}
