//! Signed requests to the gateway, with retries.
//!
//! Guarantees: every call of the API is safe to repeat, so whatever may have been lost is repeated:
//! exponential back-off with full jitter, a budget per call, `Retry-After` obeyed; a 4xx other than
//! 408 and 429 is final. A server that was never reached is given up sooner than one that went
//! away.

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

/// From the first byte sent to the last received of one try.
const TRY: Duration = Duration::from_secs(300);
/// How long a server is looked for that has never answered.
const FIRST_CONTACT: Duration = Duration::from_secs(5);
/// The largest answer that is no chunk: a manifest of a million chunks.
const MAX_JSON: usize = 256 << 20;

/// A client of one gateway.
#[derive(Debug)]
pub struct Transport {
    client: Client<HttpsConnector<tcp::Connector>, Full<Bytes>>,
    endpoint: Endpoint,
    clock: Clock,
    pace: RateLimit,
    policy: Policy,
    reached: AtomicBool,
}

/// A request of the API; it can be sent again.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub method: Method,
    /// Below `/_ratchet/v1`, encoded, with its query.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub sha256: Sha256,
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub body: Bytes,
}

/// One try's failure, and whether another may go better.
struct Failure {
    error: Error,
    again: bool,
    retry_after: Option<Duration>,
}

impl Call {
    pub fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: Bytes::new(),
            sha256: Sha256::of(b""),
        }
    }

    pub fn json(method: Method, path: String, body: &impl serde::Serialize) -> Self {
        let body = Bytes::from(
            serde_json::to_vec(body).expect("requests have string keys and no failing parts"),
        );
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method, path, headers, sha256: Sha256::of(&body), body }
    }
}

/// A query's value, encoded.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, URI_COMPONENT).to_string()
}

/// Whom to trust: the roots of `AWS_CA_BUNDLE`, or of this machine. A plain endpoint needs none,
/// and works without.
fn trust(endpoint: &Endpoint) -> Result<rustls::ClientConfig> {
    let wrong = |what: String| Error::WrongUse(format!("the TLS roots cannot be used: {what}"));
    let mut roots = rustls::RootCertStore::empty();
    if let Some(bundle) = &endpoint.ca_bundle {
        let certificates = CertificateDer::pem_file_iter(bundle)
            .map_err(|_| wrong(bundle.display().to_string()))?;
        roots.add_parsable_certificates(certificates.flatten());
    } else if endpoint.url.starts_with("https:") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .map_err(|error| wrong(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Transport {
    /// `retry_for`: the most that all pauses of one call may take together. `rate`: bytes of bodies
    /// per second, over all calls.
    pub fn new(endpoint: Endpoint, retry_for: Duration, rate: Option<u64>) -> Result<Self> {
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(trust(&endpoint)?);
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
        let pace = RateLimit::new(rate, clock.clone());
        Ok(Self { client, endpoint, clock, pace, policy, reached: AtomicBool::new(false) })
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Sends a call until it succeeds, fails for good, or its budget is spent.
    pub(super) async fn send(&self, call: &Call, max_bytes: usize) -> Result<Answer> {
        let mut backoff = self.policy.start();
        let first = Policy { budget: self.policy.budget.min(FIRST_CONTACT), ..self.policy };
        let mut first_contact = first.start();
        loop {
            self.pace.acquire(call.body.len() as u64).await;
            let failure = match tokio::time::timeout(TRY, self.try_once(call, max_bytes)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(late) => {
                    Failure { error: self.unreachable(late), again: true, retry_after: None }
                }
            };
            let never = !self.reached.load(Ordering::Relaxed);
            let backoff: &mut Backoff = if never { &mut first_contact } else { &mut backoff };
            let pause = backoff
                .next(failure.retry_after, |most| self.clock.jitter(most))
                .filter(|_| failure.again);
            let Some(pause) = pause else { return Err(failure.error) };
            tracing::debug!(path = call.path, error = %failure.error, ?pause, "trying again");
            self.clock.pause(pause).await;
        }
    }

    /// As `send`, for an answer in JSON.
    pub(super) async fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        let answer = self.send(call, MAX_JSON).await?;
        let stranger = |_| Error::Stranger { url: self.endpoint.url.clone(), status: 200 };
        serde_json::from_slice(&answer.body).map_err(stranger)
    }

    async fn try_once(
        &self,
        call: &Call,
        max_bytes: usize,
    ) -> std::result::Result<Answer, Failure> {
        let final_error = |error| Failure { error, again: false, retry_after: None };
        let request = self.request(call).map_err(final_error)?;
        let lost = |error: Box<dyn std::error::Error + Send + Sync>| Failure {
            error: self.unreachable(error),
            again: true,
            retry_after: None,
        };
        let answer = self.client.request(request).await.map_err(|error| lost(error.into()))?;
        self.reached.store(true, Ordering::Relaxed);
        let (head, body) = answer.into_parts();
        // A problem may be longer than the chunk that was asked for.
        let max_bytes = if head.status.is_success() { max_bytes } else { MAX_JSON };
        let body = Limited::new(body, max_bytes).collect().await.map_err(lost)?.to_bytes();
        if head.status.is_success() {
            return Ok(Answer { body });
        }
        let status = head.status.as_u16();
        let seconds =
            head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) => Error::Stranger { url: self.endpoint.url.clone(), status },
        };
        let again = status >= 500 && status != 507 || matches!(status, 408 | 429);
        Err(Failure { error, again, retry_after: seconds.map(Duration::from_secs) })
    }

    fn request(&self, call: &Call) -> Result<Request<Full<Bytes>>> {
        let wrong =
            |error: String| Error::WrongUse(format!("{} cannot be asked for: {error}", call.path));
        let uri = format!("{}{ROOT}{}", self.endpoint.url, call.path);
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let (mut parts, ()) =
            request.body(()).map_err(|error| wrong(error.to_string()))?.into_parts();
        let Endpoint { credentials, region, .. } = &self.endpoint;
        sign(&mut parts, credentials, region, Payload::Sha256(call.sha256.0), self.clock.wall())
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Request::from_parts(parts, Full::new(call.body.clone())))
    }

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Unreachable { url: self.endpoint.url.clone(), source: source.into() }
    }
}
