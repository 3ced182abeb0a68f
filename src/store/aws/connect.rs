//! Builds the clients from settings: credentials, region, endpoint, addressing.
//!
//! Guarantees: credentials come from the AWS provider chain (environment, profile, process,
//! instance) and are refreshed before they expire. Nothing is sent to the S3 server here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_sdk_s3::config::{IdentityCache, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_http_client::tls;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use http::uri::{Authority, Scheme};

use super::credentials::CredentialCache;
use super::signed_client::SignedClient;
use crate::clock::Clock;

/// Where a URL has the bucket's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addressing {
    /// `http://host/bucket/key`: works with IP addresses and short host names too.
    #[default]
    Path,
    /// `http://bucket.host/key`.
    Virtual,
}

impl fmt::Display for Addressing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "path",
            Self::Virtual => "virtual",
        })
    }
}

impl FromStr for Addressing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "path" => Ok(Self::Path),
            "virtual" => Ok(Self::Virtual),
            _ => Err("it is \"path\" or \"virtual\"".to_owned()),
        }
    }
}

/// The room's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `http://HOST:PORT` or `https://HOST`; None: AWS itself.
    pub endpoint: Option<String>,
    /// None: from the AWS environment or profile, else `us-east-1`.
    pub region: Option<String>,
    pub addressing: Addressing,
}

/// Why no client could be built.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the store's endpoint {0:?} is not of the form http://HOST:PORT or https://HOST")]
    Endpoint(String),
    #[error(
        "no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, where the \
         gateway runs"
    )]
    NoCredentials(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    #[error("the TLS roots of this machine cannot be read")]
    Roots(#[source] std::io::Error),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time limit of a control call; Complete of a large object takes long.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(120);

pub(super) async fn clients(
    settings: &Settings,
    clock: Clock,
) -> Result<(aws_sdk_s3::Client, SignedClient), ConnectError> {
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(provider).build_https();
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_timeout(CONTROL_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
    loader = loader.timeout_config(timeouts).retry_config(RetryConfig::disabled());
    if let Some(region) = &settings.region {
        loader = loader.region(aws_config::Region::new(region.clone()));
    }
    let shared = loader.load().await;
    let region = shared.region().map_or("us-east-1", |region| region.as_ref()).to_owned();
    let (scheme, authority) = endpoint(settings.endpoint.as_deref(), &region)?;
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .region(aws_config::Region::new(region.clone()))
        .force_path_style(settings.addressing == Addressing::Path)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if settings.endpoint.is_some() {
        config = config.endpoint_url(format!("{scheme}://{authority}"));
    }
    let provider = shared.credentials_provider().ok_or(ConnectError::NoCredentials(None))?;
    let credentials = CredentialCache::new(provider, clock.clone());
    // Missing credentials must show now, not in the middle of the first upload.
    credentials.get().await.map_err(|error| ConnectError::NoCredentials(Some(error.into())))?;
    // The SDK's client and `signed_client` share this cache of credentials.
    config =
        config.credentials_provider(credentials.clone()).identity_cache(IdentityCache::no_cache());
    let signed_client = SignedClient::new(super::signed_client::ClientSettings {
        scheme,
        authority,
        addressing: settings.addressing,
        region,
        credentials,
        clock,
    });
    Ok((aws_sdk_s3::Client::from_conf(config.build()), signed_client.map_err(ConnectError::Roots)?))
}

fn endpoint(text: Option<&str>, region: &str) -> Result<(Scheme, Authority), ConnectError> {
    let text = text.map_or_else(|| format!("https://s3.{region}.amazonaws.com"), str::to_owned);
    let invalid = || ConnectError::Endpoint(text.clone());
    let uri: http::Uri = text.parse().map_err(|_| invalid())?;
    let parts = uri.into_parts();
    let plain_path = parts.path_and_query.is_none_or(|path| path.as_str() == "/");
    match (parts.scheme, parts.authority) {
        (Some(scheme), Some(authority))
            if plain_path && (scheme == Scheme::HTTP || scheme == Scheme::HTTPS) =>
        {
            Ok((scheme, authority))
        }
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_scheme_and_a_host() {
        for good in ["http://127.0.0.1:9000", "https://s3.example.com", "http://minio:9000/"] {
            assert!(endpoint(Some(good), "eu-central-1").is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:9000", "ftp://host", "http://host/path", "http://"] {
            assert!(endpoint(Some(bad), "eu-central-1").is_err(), "{bad}");
        }
        let (_, aws) = endpoint(None, "eu-central-1").unwrap();
        assert_eq!(aws, "s3.eu-central-1.amazonaws.com");
    }
}
