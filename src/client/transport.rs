//! Sends signed requests to the gateway, with retries.
//!
//! Guarantees: every request of the API is safe to repeat, so a request whose outcome is unknown is
//! repeated: with exponential back-off and full jitter, a budget of waiting time per request, and
//! `Retry-After` as a lower bound. A 4xx other than 408 and 429 is final, and so is 507. A gateway
//! that never responded gets a smaller budget than one that became unreachable.
//! Source: docs/architecture.md#retries-of-the-client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::utf8_percent_encode;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::de::DeserializeOwned;

use super::{Endpoint, Error, Result};
use crate::api::{Problem, ROOT};
use crate::clock::Clock;
use crate::digest::Sha256;
use crate::rate_limit::RateLimit;
use crate::retry::{Backoff, Policy};
use crate::sigv4::{Payload, URI_COMPONENT, sign};
use crate::tcp;

/// The most that one attempt may take, from the first byte sent to the last byte received.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(300);
/// The most that all pauses of a request may take together while the gateway has never responded.
const FIRST_CONTACT_BUDGET: Duration = Duration::from_secs(5);
/// The largest JSON response: a manifest of a million chunks.
const MAX_JSON_BYTES: usize = 256 << 20;

/// A connection to one gateway.
#[derive(Debug)]
pub struct Transport {
    client: Client<HttpsConnector<tcp::Connector>, Full<Bytes>>,
    endpoint: Endpoint,
    clock: Clock,
    rate_limit: RateLimit,
    policy: Policy,
    /// Whether the gateway has responded to any request yet.
    reached: AtomicBool,
}

/// A request of the chunk API, which can be sent repeatedly.
#[derive(Clone, Debug)]
pub(super) struct ApiRequest {
    pub method: Method,
    /// Path below `/_ratchet/v1` with its query, percent-encoded.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// The SHA-256 of `body`, which is signed.
    pub sha256: Sha256,
}

/// A failed attempt.
struct FailedAttempt {
    error: Error,
    /// Whether another attempt may succeed.
    retryable: bool,
    retry_after: Option<Duration>,
}

impl ApiRequest {
    pub fn get(path: String) -> Self {
        Self::without_body(Method::GET, path)
    }

    pub fn delete(path: String) -> Self {
        Self::without_body(Method::DELETE, path)
    }

    pub fn post(path: &str, body: &impl serde::Serialize) -> Self {
        let body = Bytes::from(
            serde_json::to_vec(body).expect("requests have string keys and no failing parts"),
        );
        Self {
            method: Method::POST,
            path: path.to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            sha256: Sha256::of(&body),
            body,
        }
    }

    fn without_body(method: Method, path: String) -> Self {
        Self { method, path, headers: Vec::new(), body: Bytes::new(), sha256: Sha256::of(b"") }
    }
}

/// Percent-encodes the value of a query parameter.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, URI_COMPONENT).to_string()
}

/// TLS that trusts the certificates of `AWS_CA_BUNDLE` or else of this machine. The machine's are
/// read for an `https:` endpoint only, so that `http:` works on a machine that has none.
fn tls_config(endpoint: &Endpoint) -> Result<rustls::ClientConfig> {
    let unusable = |what: String| {
        Error::WrongUse(format!("the trusted certificates for TLS cannot be used: {what}"))
    };
    let mut roots = rustls::RootCertStore::empty();
    if let Some(bundle) = &endpoint.ca_bundle {
        let certificates = CertificateDer::pem_file_iter(bundle)
            .map_err(|_| unusable(format!("AWS_CA_BUNDLE names {}", bundle.display())))?;
        roots.add_parsable_certificates(certificates.flatten());
    } else if endpoint.url.starts_with("https:") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .map_err(|error| unusable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Transport {
    /// `retry_for` is the most that all pauses of one request may take together;
    /// `bytes_per_second` limits the bodies of all requests together.
    pub fn new(
        endpoint: Endpoint,
        retry_for: Duration,
        bytes_per_second: Option<u64>,
    ) -> Result<Self> {
        let builder =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls_config(&endpoint)?);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .build(
                builder.https_or_http().enable_http1().wrap_connector(tcp::Connector::default()),
            );
        let policy = Policy {
            base_pause: Duration::from_millis(200),
            max_pause: Duration::from_secs(20),
            budget: retry_for,
        };
        let clock = Clock::system();
        let rate_limit = RateLimit::new(bytes_per_second, clock.clone());
        let reached = AtomicBool::new(false);
        Ok(Self { client, endpoint, clock, rate_limit, policy, reached })
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Sends a request until it succeeds, fails finally, or its budget is used up. Returns the body
    /// of the response.
    pub(super) async fn send(&self, request: &ApiRequest, max_bytes: usize) -> Result<Bytes> {
        let mut backoff = self.policy.start();
        let first_contact_budget = self.policy.budget.min(FIRST_CONTACT_BUDGET);
        let mut first_contact = Policy { budget: first_contact_budget, ..self.policy }.start();
        loop {
            self.rate_limit.acquire(request.body.len() as u64).await;
            let attempt = tokio::time::timeout(ATTEMPT_TIMEOUT, self.attempt(request, max_bytes));
            let failed = match attempt.await {
                Ok(Ok(body)) => return Ok(body),
                Ok(Err(failed)) => failed,
                Err(elapsed) => FailedAttempt {
                    error: self.unreachable(elapsed),
                    retryable: true,
                    retry_after: None,
                },
            };
            let reached = self.reached.load(Ordering::Relaxed);
            let backoff: &mut Backoff = if reached { &mut backoff } else { &mut first_contact };
            let pause = backoff
                .next(failed.retry_after, |max_pause| self.clock.jitter(max_pause))
                .filter(|_| failed.retryable);
            let Some(pause) = pause else { return Err(failed.error) };
            tracing::debug!(path = request.path, error = %failed.error, ?pause, "retrying");
            self.clock.pause(pause).await;
        }
    }

    /// As `send`, for a response in JSON.
    pub(super) async fn send_for_json<T: DeserializeOwned>(
        &self,
        request: &ApiRequest,
    ) -> Result<T> {
        self.parse(&self.send(request, MAX_JSON_BYTES).await?)
    }

    /// Parses the body of a successful response. **Errors**: `NotChunkApi`.
    pub(super) fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|_| self.not_chunk_api(200))
    }

    async fn attempt(
        &self,
        request: &ApiRequest,
        max_bytes: usize,
    ) -> std::result::Result<Bytes, FailedAttempt> {
        let request = self.signed(request).map_err(|error| FailedAttempt {
            error,
            retryable: false,
            retry_after: None,
        })?;
        let interrupted = |error: Box<dyn std::error::Error + Send + Sync>| FailedAttempt {
            error: self.unreachable(error),
            retryable: true,
            retry_after: None,
        };
        let response =
            self.client.request(request).await.map_err(|error| interrupted(error.into()))?;
        self.reached.store(true, Ordering::Relaxed);
        let (head, body) = response.into_parts();
        // A problem document may be longer than the chunk that was requested.
        let max_bytes = if head.status.is_success() { max_bytes } else { MAX_JSON_BYTES };
        let body = Limited::new(body, max_bytes).collect().await.map_err(interrupted)?.to_bytes();
        if head.status.is_success() {
            return Ok(body);
        }
        let status = head.status.as_u16();
        let seconds =
            head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) => self.not_chunk_api(status),
        };
        let retryable = status >= 500 && status != 507 || matches!(status, 408 | 429);
        Err(FailedAttempt { error, retryable, retry_after: seconds.map(Duration::from_secs) })
    }

    /// The HTTP request, with a signature of this moment.
    fn signed(&self, request: &ApiRequest) -> Result<Request<Full<Bytes>>> {
        let invalid = |error: String| {
            Error::WrongUse(format!("no valid request can be made for {}: {error}", request.path))
        };
        let uri = format!("{}{ROOT}{}", self.endpoint.url, request.path);
        let mut builder = Request::builder().method(request.method.clone()).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let (mut parts, ()) =
            builder.body(()).map_err(|error| invalid(error.to_string()))?.into_parts();
        let Endpoint { credentials, region, .. } = &self.endpoint;
        sign(&mut parts, credentials, region, Payload::Sha256(request.sha256.0), self.clock.wall())
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Request::from_parts(parts, Full::new(request.body.clone())))
    }

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Unreachable { url: self.endpoint.url.clone(), source: source.into() }
    }

    fn not_chunk_api(&self, status: u16) -> Error {
        Error::NotChunkApi { url: self.endpoint.url.clone(), status }
    }
}
