//! One attempt of a request.
//!
//! Guarantees: an attempt ends when no byte moves any more, not after a time however much there is
//! to send.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::PROXY_AUTHORIZATION;
use http::response::Parts;
use http::{HeaderMap, Request};
use http_body::Body;
use http_body_util::BodyExt;
use hyper_util::client::legacy::ResponseFuture;
use percent_encoding::percent_decode_str;

use super::activity::{Activity, MAX_LONG_SILENCE, MAX_SILENCE, NotedBody};
use super::tls::{final_error, needs_tls, speaks_tls};
use super::{ApiRequest, MAX_JSON_BYTES, Receive, Transport};
use crate::api::Problem;
use crate::client::{Endpoint, Error, Result, xml::Element};
use crate::sigv4::{Payload, sign};

/// How long it may take to find out whether the other side speaks TLS.
const MAX_PROBE: Duration = Duration::from_secs(5);

/// What a client is told of a refusal: the gateway says no more.
const DENIED: &str = "the account of the access key has no grant for this ([[account.grant]] in \
                      the gateway's settings), or the store refuses it to the gateway (its log \
                      has a line)";

/// A failed attempt.
pub(super) struct FailedAttempt {
    pub error: Error,
    pub retry: Retry,
    pub retry_after: Option<Duration>,
}

/// Whether another attempt may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    Never,
    /// The gateway could not be reached, or its response broke off.
    Unreached,
    /// The gateway responded that it cannot do it now.
    Refused,
    /// The body of a response ended after so many bytes.
    BrokenOff {
        received_bytes: u64,
    },
}

impl FailedAttempt {
    fn new(error: Error, retry: Retry) -> Self {
        Self { error, retry, retry_after: None }
    }
}

/// Whether what came back is no HTTP.
fn is_no_http(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse))
}

/// The error in a response of S3. One to a HEAD has no body.
fn s3_error(request: &ApiRequest, head: &Parts, body: &[u8]) -> Error {
    let status = head.status.as_u16();
    let document = Element::parse(body).filter(|root| root.name() == "Error");
    let field = |name: &str| document.as_ref().map_or("", |root| root.text_of(name)).to_owned();
    let message = match (field("Message"), status) {
        _ if field("Code") == "AccessDenied" => DENIED.to_owned(),
        (message, _) if !message.is_empty() => message,
        (_, 401 | 403) => format!("the access key is wrong, or {DENIED}"),
        (_, 404) => "there is no such bucket or object".to_owned(),
        _ => format!("the gateway responded with status {status}"),
    };
    let path = percent_decode_str(request.path.split('?').next().unwrap_or_default());
    let of = format!("s3:/{}", path.decode_utf8_lossy());
    let request_id = head.headers.get("x-amz-request-id").and_then(|id| id.to_str().ok());
    let request_id = request_id.map(str::to_owned);
    Error::S3 { status, code: field("Code"), message, of, request_id }
}

impl Transport {
    pub(super) async fn attempt<R: Receive>(
        &self,
        request: &ApiRequest,
        max_bytes: usize,
        receiver: &mut R,
    ) -> std::result::Result<HeaderMap, FailedAttempt> {
        let allowed = if request.is_long { MAX_LONG_SILENCE } else { MAX_SILENCE };
        let activity = Activity::start(self.clock.clone(), allowed);
        let signed = self.signed(request, &activity);
        let signed = signed.map_err(|error| FailedAttempt::new(error, Retry::Never))?;
        let final_failure = |error| FailedAttempt::new(error, Retry::Never);
        receiver.begin().await.map_err(final_failure)?;
        let response = self.client.request(signed);
        tokio::select! {
            outcome = self.exchange(request, response, (max_bytes, receiver), &activity) => outcome,
            quiet = activity.silence() => {
                let text = format!("no byte came or went for {} s", quiet.as_secs());
                Err(FailedAttempt::new(self.unreachable(text), Retry::Unreached))
            }
        }
    }

    async fn exchange<R: Receive>(
        &self,
        request: &ApiRequest,
        response: ResponseFuture,
        (max_bytes, receiver): (usize, &mut R),
        activity: &Activity,
    ) -> std::result::Result<HeaderMap, FailedAttempt> {
        let response = match response.await {
            Ok(response) => response,
            Err(error) => return Err(self.without_response(error).await),
        };
        activity.responded(MAX_SILENCE);
        let (head, body) = response.into_parts();
        if head.status.is_success() {
            let activity = (request.expected_bytes > 0, activity);
            self.receive(body, (max_bytes, receiver), activity).await?;
            self.reached.store(true, Ordering::Relaxed);
            return Ok(head.headers);
        }
        let mut received = BytesMut::new();
        self.receive(body, (MAX_JSON_BYTES, &mut received), (false, activity)).await?;
        let status = head.status.as_u16();
        // What servers respond to plain HTTP where they expect TLS.
        if status == 400 && self.needs_tls().await {
            return Err(FailedAttempt::new(needs_tls(&self.endpoint.url), Retry::Never));
        }
        let seconds =
            head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let error = match serde_json::from_slice::<Problem>(&received) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) if request.is_s3() => s3_error(request, &head, &received),
            Err(_) => self.not_chunk_api(status),
        };
        let is_final = (status < 500 || status == 507) && !matches!(status, 408 | 429);
        let retry = if is_final { Retry::Never } else { Retry::Refused };
        Err(FailedAttempt { error, retry, retry_after: seconds.map(Duration::from_secs) })
    }

    async fn receive<R: Receive>(
        &self,
        mut body: impl Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
        (max_bytes, receiver): (usize, &mut R),
        (is_data, activity): (bool, &Activity),
    ) -> std::result::Result<(), FailedAttempt> {
        let mut received_bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                FailedAttempt::new(self.unreachable(error), Retry::BrokenOff { received_bytes })
            })?;
            activity.moved();
            let data = frame.into_data().unwrap_or_default();
            if is_data {
                self.progress.add_wire(data.len() as u64);
            }
            received_bytes += data.len() as u64;
            if received_bytes > max_bytes as u64 {
                let error = self.unreachable("the body is too long");
                return Err(FailedAttempt::new(error, Retry::Unreached));
            }
            let taken = receiver.take(data).await;
            taken.map_err(|error| FailedAttempt::new(error, Retry::Never))?;
        }
        Ok(())
    }

    /// The failure of a request that no response came to.
    async fn without_response(&self, error: hyper_util::client::legacy::Error) -> FailedAttempt {
        let url = &self.endpoint.url;
        if let Some(error) = final_error(url, &error) {
            return FailedAttempt::new(error, Retry::Never);
        }
        if is_no_http(&error) && self.needs_tls().await {
            return FailedAttempt::new(needs_tls(url), Retry::Never);
        }
        FailedAttempt::new(self.unreachable(error), Retry::Unreached)
    }

    /// Whether the other side speaks TLS and was addressed without. Once it has responded as a
    /// gateway does, the question is settled.
    async fn needs_tls(&self) -> bool {
        if self.reached.load(Ordering::Relaxed) {
            return false;
        }
        tokio::select! {
            speaks_tls = speaks_tls(&self.endpoint, &self.connector) => speaks_tls,
            () = self.clock.pause(MAX_PROBE) => false,
        }
    }

    /// The HTTP request, with a signature of this moment.
    fn signed(&self, request: &ApiRequest, activity: &Arc<Activity>) -> Result<Request<NotedBody>> {
        let invalid = |error: String| {
            Error::WrongUse(format!("no valid request can be made for {}: {error}", request.path))
        };
        let uri = format!("{}{}{}", self.endpoint.url, request.root, request.path);
        let mut builder = Request::builder().method(request.method.clone()).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(name.as_ref(), value);
        }
        let (mut parts, ()) =
            builder.body(()).map_err(|error| invalid(error.to_string()))?.into_parts();
        let Endpoint { credentials, region, .. } = &self.endpoint;
        sign(&mut parts, credentials, region, Payload::Sha256(request.sha256.0), self.clock.wall())
            .map_err(|error| invalid(error.to_string()))?;
        if let Some(authorization) = self.connector.authorization() {
            parts.headers.insert(PROXY_AUTHORIZATION, authorization);
        }
        let (activity, progress) = (Arc::clone(activity), self.progress.handle());
        let body = NotedBody::new(request.body.clone(), activity, progress);
        Ok(Request::from_parts(parts, body))
    }
}
