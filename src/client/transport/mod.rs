//! Sends signed requests to the gateway, with retries.
//!
//! Guarantees: every request of the API is safe to repeat, so a request whose outcome is unknown is
//! repeated, with exponential back-off and full jitter and `Retry-After` as a lower bound, until it
//! has failed for as long as the user said, whatever the failure is. A 4xx other than 408 and 429
//! is final, and so are 507 and a certificate that is not trusted. Once a request has been given up
//! because the gateway cannot be reached, no other one is begun.
//! Source: docs/architecture.md#retries-of-the-client.

mod activity;
mod attempt;
mod proxy;
mod receive;
mod request;
mod tls;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::de::DeserializeOwned;

use super::{Endpoint, Error, Progress, Result};
use crate::clock::Clock;
use crate::escape::error_chain;
use crate::rate_limit::{RateLimit, Rates};
use crate::retry::Policy;

use activity::NotedBody;
use attempt::{FailedAttempt, Retry};
use proxy::Connector;

pub(super) use receive::Receive;
pub(super) use request::{ApiRequest, encoded};

/// The largest JSON response: a manifest of a million chunks.
const MAX_JSON_BYTES: usize = 256 << 20;
/// Failures before the user is told: a connection that was reset once is no news.
const QUIET_FAILURES: u32 = 3;

/// A connection to one gateway.
pub struct Transport {
    client: Client<HttpsConnector<Connector>, NotedBody>,
    /// What the client opens its connections with.
    connector: Connector,
    endpoint: Endpoint,
    clock: Clock,
    rate_limit: RateLimit,
    policy: Policy,
    /// How long one request may go on failing.
    retry_for: Duration,
    /// Gets what goes over the wire, and whether the gateway is away.
    progress: Progress,
    /// Whether a request has succeeded.
    reached: AtomicBool,
    /// Whether the user was told that the gateway is away.
    told: AtomicBool,
    /// Whether a request was given up because the gateway could not be reached.
    gave_up: AtomicBool,
}

impl Transport {
    /// `rates` limit the bodies of all requests, and the bytes of files in responses, together.
    pub fn new(
        endpoint: Endpoint,
        retry_for: Duration,
        rates: Option<Rates>,
        progress: &Progress,
    ) -> Result<Self> {
        let builder =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls::tls_config(&endpoint)?);
        let connector = Connector::find(&endpoint)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(TokioTimer::new())
            .build(builder.https_or_http().enable_http1().wrap_connector(connector.clone()));
        let clock = Clock::system();
        Ok(Self {
            client,
            connector,
            endpoint,
            rate_limit: RateLimit::with_rates(
                rates.unwrap_or(Rates::constant(None)),
                clock.clone(),
            ),
            clock,
            policy: Policy {
                base_pause: Duration::from_millis(200),
                max_pause: Duration::from_secs(20),
                budget: Duration::MAX,
            },
            retry_for,
            progress: progress.handle(),
            reached: AtomicBool::new(false),
            told: AtomicBool::new(false),
            gave_up: AtomicBool::new(false),
        })
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Sends a request until it succeeds, fails finally, or has failed for too long. Returns the
    /// body of the response.
    pub(super) async fn send(&self, request: &ApiRequest, max_bytes: usize) -> Result<Bytes> {
        let mut received = BytesMut::new();
        self.send_into(request, max_bytes, &mut received).await?;
        Ok(received.freeze())
    }

    /// As `send`, for the head of the response.
    pub(super) async fn send_for_head(&self, request: &ApiRequest) -> Result<HeaderMap> {
        self.send_into(request, MAX_JSON_BYTES, &mut BytesMut::new()).await
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

    /// As `send`, for a body that is taken while it comes. Returns the head of the response.
    pub(super) async fn send_into<R: Receive>(
        &self,
        request: &ApiRequest,
        max_bytes: usize,
        receiver: &mut R,
    ) -> Result<HeaderMap> {
        let mut backoff = self.policy.start();
        let mut failing_since = None;
        let mut last = None;
        loop {
            if self.gave_up.load(Ordering::Relaxed) {
                return Err(Error::NotTried);
            }
            self.rate_limit.acquire(request.counted_bytes()).await;
            let started = self.clock.monotonic();
            let failed = match self.attempt(request, max_bytes, receiver).await {
                Ok(response) => {
                    self.say_reached();
                    return Ok(response);
                }
                Err(failed) => failed,
            };
            if let Some(error) = broken_off_again(&mut last, &failed) {
                return Err(error);
            }
            let since = *failing_since.get_or_insert(started);
            let pause = backoff.next(failed.retry_after, |max_pause| self.clock.jitter(max_pause));
            // A pause of zero counts too: otherwise there could be attempts without end.
            let pause = pause.unwrap_or_default().max(Duration::from_millis(1));
            let failing_for = self.clock.monotonic().saturating_sub(since) + pause;
            if self.is_final(&failed, request, failing_for) {
                return Err(failed.error);
            }
            if backoff.attempts() >= QUIET_FAILURES {
                let rest = self.retry_for.saturating_sub(failing_for).as_secs();
                self.say_failing(&failed, Duration::from_secs(rest));
            }
            tracing::debug!(path = request.path, error = %failed.error, ?pause, "retrying");
            self.clock.pause(pause).await;
        }
    }

    /// Whether this failure ends the request.
    fn is_final(&self, failed: &FailedAttempt, request: &ApiRequest, failing: Duration) -> bool {
        match failed.retry {
            Retry::Never => true,
            Retry::Refused => failing > request.max_refused.unwrap_or(self.retry_for),
            Retry::Unreached | Retry::BrokenOff { .. } => {
                let is_final = failing > self.retry_for;
                if is_final {
                    self.gave_up.store(true, Ordering::Relaxed);
                }
                is_final
            }
        }
    }

    fn say_failing(&self, failed: &FailedAttempt, rest: Duration) {
        if !rest.is_zero() && !self.told.swap(true, Ordering::Relaxed) {
            let url = &self.endpoint.url;
            if let Error::Unreachable { source, .. } = &failed.error {
                self.progress.gateway_away(url, &error_chain(source.as_ref()), rest);
            } else {
                self.progress.gateway_refuses(&error_chain(&failed.error), rest);
            }
        }
    }

    fn say_reached(&self) {
        if self.told.swap(false, Ordering::Relaxed) {
            self.progress.gateway_back(&self.endpoint.url);
        }
    }

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Unreachable { url: self.endpoint.url.clone(), source: source.into() }
    }

    pub(super) fn not_chunk_api(&self, status: u16) -> Error {
        Error::NotChunkApi { url: self.endpoint.url.clone(), status }
    }
}

/// The error of a response that broke off at the same byte as the one before it: a network does not
/// do that. `last` is that of the attempt before.
fn broken_off_again(last: &mut Option<Retry>, failed: &FailedAttempt) -> Option<Error> {
    let before = last.replace(failed.retry);
    let Retry::BrokenOff { received_bytes } = failed.retry else { return None };
    (before == Some(failed.retry)).then_some(Error::BrokenOff { received_bytes })
}
