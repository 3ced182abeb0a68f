//! Where the gateway is and who we are: flags, environment, the AWS profile, the embedded store's
//! own key.
//!
//! Guarantees: the first place that says something wins, in that order; a secret is never printed.
//! Source: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::sigv4::Credentials;

const DEFAULT: &str = "http://127.0.0.1:9010";
/// Where `ratchet serve` without settings keeps its key.
const OWN_KEY: &str = "./ratchet-data/credentials";

/// A gateway and the credentials for it.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `http://HOST:PORT`, without a slash at the end.
    pub url: String,
    pub region: String,
    pub credentials: Credentials,
    /// `AWS_CA_BUNDLE`: roots of trust instead of the machine's.
    pub ca_bundle: Option<PathBuf>,
}

impl Endpoint {
    /// Finds everything; `flag` is `--endpoint`. **Errors**: `WrongUse` where there are no
    /// credentials.
    pub fn find(flag: Option<&str>) -> Result<Self> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let url = flag
            .map(str::to_owned)
            .or_else(|| env("AWS_ENDPOINT_URL_S3"))
            .or_else(|| env("AWS_ENDPOINT_URL"));
        let profile = env("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let home = |file: &str| std::env::home_dir().map(|home| home.join(".aws").join(file));
        let shared =
            env("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(|| home("credentials"));
        let config = env("AWS_CONFIG_FILE").map(PathBuf::from).or_else(|| home("config"));
        let of_config =
            config.map(|path| section(&path, &config_section(&profile))).unwrap_or_default();
        let region = env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION"));
        let region = region
            .or_else(|| of_config.get("region").cloned())
            .unwrap_or_else(|| "us-east-1".to_owned());
        let url = url
            .or_else(|| of_config.get("endpoint_url").cloned())
            .unwrap_or_else(|| DEFAULT.to_owned());
        let mut places = vec![from_env(&env)];
        places.push(shared.and_then(|path| from_section(&section(&path, &profile))));
        places.push(from_section(&of_config));
        places.push(
            ["ratchet", "default"]
                .iter()
                .find_map(|name| from_section(&section(Path::new(OWN_KEY), name))),
        );
        let credentials = places.into_iter().flatten().next().ok_or_else(|| {
            Error::WrongUse(
                "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, to a key of the \
                 gateway; `ratchet serve` prints the lines to paste"
                    .to_owned(),
            )
        })?;
        let ca_bundle = env("AWS_CA_BUNDLE").map(PathBuf::from);
        Ok(Self { url: checked(&url)?, region, credentials, ca_bundle })
    }
}

fn checked(url: &str) -> Result<String> {
    let url = url.trim_end_matches('/');
    let uri: http::Uri =
        url.parse().map_err(|_| Error::WrongUse(format!("the endpoint {url:?} is no URL")))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) if uri.path() == "/" => Ok(url.to_owned()),
        _ => Err(Error::WrongUse(format!(
            "the endpoint {url:?} is not of the form http://HOST:PORT"
        ))),
    }
}

fn config_section(profile: &str) -> String {
    if profile == "default" { profile.to_owned() } else { format!("profile {profile}") }
}

fn from_env(env: &impl Fn(&str) -> Option<String>) -> Option<Credentials> {
    let (id, secret) = (env("AWS_ACCESS_KEY_ID")?, env("AWS_SECRET_ACCESS_KEY")?);
    Some(Credentials::new(&id, &secret, env("AWS_SESSION_TOKEN")))
}

fn from_section(keys: &BTreeMap<String, String>) -> Option<Credentials> {
    let (id, secret) = (keys.get("aws_access_key_id")?, keys.get("aws_secret_access_key")?);
    Some(Credentials::new(id, secret, keys.get("aws_session_token").cloned()))
}

/// The keys of one section of an INI file; empty where there is no such file or section.
fn section(path: &Path, name: &str) -> BTreeMap<String, String> {
    parse(&std::fs::read_to_string(path).unwrap_or_default(), name)
}

fn parse(text: &str, name: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let mut here = false;
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(title) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            here = title.trim() == name;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| here) {
            keys.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_sections() {
        let text = "# a\n[default]\naws_access_key_id = A\n[profile nas]\nregion=eu-central-1\n; x = y\nRegion2 = z\n";
        assert_eq!(parse(text, "default").get("aws_access_key_id").map(String::as_str), Some("A"));
        assert_eq!(
            parse(text, "profile nas").get("region").map(String::as_str),
            Some("eu-central-1")
        );
        assert_eq!(parse(text, "profile nas").len(), 2);
        assert!(parse(text, "other").is_empty());
        assert!(
            from_section(&parse(text, "default")).is_none(),
            "a key without its secret is none"
        );
    }

    #[test]
    fn endpoints_are_hosts() {
        assert_eq!(checked("http://127.0.0.1:9010/").unwrap(), "http://127.0.0.1:9010");
        for bad in ["", "127.0.0.1", "ftp://h", "http://h/path"] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }
}
