//! Finds the gateway's address and the credentials for it: in flags, the environment, the AWS
//! profile, and the file in which the embedded store keeps its access key.
//!
//! Guarantees: the first of these places that has a value wins; a secret is never printed. Source:
//! <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::sigv4::Credentials;

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
    /// `AWS_CA_BUNDLE`: trusted certificates that replace the machine's.
    pub ca_bundle: Option<PathBuf>,
}

impl Endpoint {
    /// Finds all values; `flag` is the argument of `--endpoint`. **Errors**: `WrongUse` if there
    /// are no credentials or the address is invalid.
    pub fn find(flag: Option<&str>) -> Result<Self> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let profile = env("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let in_home = |file: &str| std::env::home_dir().map(|home| home.join(".aws").join(file));
        let credentials_file = env("AWS_SHARED_CREDENTIALS_FILE")
            .map(PathBuf::from)
            .or_else(|| in_home("credentials"));
        let config_file = env("AWS_CONFIG_FILE").map(PathBuf::from).or_else(|| in_home("config"));
        let config = config_file
            .map(|path| read_section(&path, &config_section(&profile)))
            .unwrap_or_default();
        let url = flag
            .map(str::to_owned)
            .or_else(|| env("AWS_ENDPOINT_URL_S3"))
            .or_else(|| env("AWS_ENDPOINT_URL"))
            .or_else(|| config.get("endpoint_url").cloned())
            .unwrap_or_else(|| DEFAULT_URL.to_owned());
        let region = env("AWS_REGION")
            .or_else(|| env("AWS_DEFAULT_REGION"))
            .or_else(|| config.get("region").cloned())
            .unwrap_or_else(|| "us-east-1".to_owned());
        let of_embedded_store = |section: &&str| {
            credentials_of(&read_section(Path::new(EMBEDDED_CREDENTIALS), section))
        };
        let credentials = credentials_of_env(&env)
            .or_else(|| credentials_of(&read_section(&credentials_file?, &profile)))
            .or_else(|| credentials_of(&config))
            .or_else(|| ["ratchet", "default"].iter().find_map(of_embedded_store))
            .ok_or_else(|| {
                Error::WrongUse(
                    "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                     AWS_PROFILE, to an access key of the gateway; `ratchet serve` prints the \
                     lines to paste"
                        .to_owned(),
                )
            })?;
        let ca_bundle = env("AWS_CA_BUNDLE").map(PathBuf::from);
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

/// The name that a profile's section has in the config file.
fn config_section(profile: &str) -> String {
    if profile == "default" { profile.to_owned() } else { format!("profile {profile}") }
}

fn credentials_of_env(env: &impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    let (id, secret) = (env("AWS_ACCESS_KEY_ID")?, env("AWS_SECRET_ACCESS_KEY")?);
    Some(Credentials::new(&id, &secret, env("AWS_SESSION_TOKEN")))
}

fn credentials_of(keys: &BTreeMap<String, String>) -> Option<Credentials> {
    let (id, secret) = (keys.get("aws_access_key_id")?, keys.get("aws_secret_access_key")?);
    Some(Credentials::new(id, secret, keys.get("aws_session_token").cloned()))
}

/// The keys of one section of an INI file; empty if there is no such file or section.
fn read_section(path: &Path, name: &str) -> BTreeMap<String, String> {
    parse(&std::fs::read_to_string(path).unwrap_or_default(), name)
}

fn parse(text: &str, name: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut in_section = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            in_section = title.trim() == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| in_section) {
            keys.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_a_section_of_the_file() {
        let text = "# a\n[default]\naws_access_key_id = A\n[profile nas]\nregion=eu-central-1\n; x = y\nRegion2 = z\n";
        assert_eq!(parse(text, "default").get("aws_access_key_id").map(String::as_str), Some("A"));
        assert_eq!(
            parse(text, "profile nas").get("region").map(String::as_str),
            Some("eu-central-1")
        );
        assert_eq!(parse(text, "profile nas").len(), 2);
        assert!(parse(text, "other").is_empty());
        assert!(
            credentials_of(&parse(text, "default")).is_none(),
            "an access key needs its secret"
        );
    }

    #[test]
    fn an_endpoint_is_a_host_without_a_path() {
        assert_eq!(valid_url("http://127.0.0.1:9010/").unwrap(), "http://127.0.0.1:9010");
        for invalid in ["", "127.0.0.1", "ftp://h", "http://h/path"] {
            assert!(valid_url(invalid).is_err(), "{invalid}");
        }
    }
}
