//! One attempt of a request.
//!
//! Guarantees: an attempt ends when no byte moves any more, not after a time however much there is
//! to send.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper_util::client::legacy::ResponseFuture;
use percent_encoding::percent_decode_str;

use super::activity::{Activity, MAX_LONG_SILENCE, MAX_SILENCE, NotedBody};
use super::tls::is_final;
use super::{ApiRequest, MAX_JSON_BYTES, Transport};
use crate::api::Problem;
use crate::client::{Endpoint, Error, Result, xml::Element};
use crate::sigv4::{Payload, sign};

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

/// The error in a response of S3. One to a HEAD has no body.
fn s3_error(request: &ApiRequest, status: u16, body: &[u8]) -> Error {
    let document = Element::parse(body).filter(|root| root.name() == "Error");
    let field = |name: &str| document.as_ref().map_or("", |root| root.text_of(name)).to_owned();
    let message = match (field("Message"), status) {
        (message, _) if !message.is_empty() => message,
        (_, 401 | 403) => "access denied".to_owned(),
        (_, 404) => "there is no such bucket or object".to_owned(),
        _ => format!("the gateway responded with status {status}"),
    };
    let path = percent_decode_str(request.path.split('?').next().unwrap_or_default());
    let of = format!("s3:/{}", path.decode_utf8_lossy());
    Error::S3 { status, code: field("Code"), message, of }
}

impl Transport {
    pub(super) async fn attempt(
        &self,
        request: &ApiRequest,
        max_bytes: usize,
    ) -> std::result::Result<(HeaderMap, Bytes), FailedAttempt> {
        let allowed = if request.is_long { MAX_LONG_SILENCE } else { MAX_SILENCE };
        let activity = Activity::start(self.clock.clone(), allowed);
        let signed = self.signed(request, &activity);
        let signed = signed.map_err(|error| FailedAttempt::new(error, Retry::Never))?;
        let response = self.client.request(signed);
        tokio::select! {
            outcome = self.exchange(request, response, max_bytes, &activity) => outcome,
            quiet = activity.silence() => {
                let text = format!("no byte came or went for {} s", quiet.as_secs());
                Err(FailedAttempt::new(self.unreachable(text), Retry::Unreached))
            }
        }
    }

    async fn exchange(
        &self,
        request: &ApiRequest,
        response: ResponseFuture,
        max_bytes: usize,
        activity: &Activity,
    ) -> std::result::Result<(HeaderMap, Bytes), FailedAttempt> {
        let response = response.await.map_err(|error| {
            let retry = if is_final(&error) { Retry::Never } else { Retry::Unreached };
            FailedAttempt::new(self.unreachable(error), retry)
        })?;
        activity.responded(MAX_SILENCE);
        let (head, mut body) = response.into_parts();
        let is_success = head.status.is_success();
        // A problem document may be longer than the chunk that was requested.
        let max_bytes = if is_success { max_bytes } else { MAX_JSON_BYTES };
        let mut received = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let received_bytes = received.len() as u64;
            let frame = frame.map_err(|error| {
                FailedAttempt::new(self.unreachable(error), Retry::BrokenOff { received_bytes })
            })?;
            activity.moved();
            let data = frame.into_data().unwrap_or_default();
            if data.len() > max_bytes - received.len() {
                return Err(FailedAttempt::new(
                    self.unreachable("the body is too long"),
                    Retry::Unreached,
                ));
            }
            received.extend_from_slice(&data);
        }
        if is_success {
            return Ok((head.headers, received.freeze()));
        }
        let status = head.status.as_u16();
        let seconds =
            head.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let error = match serde_json::from_slice::<Problem>(&received) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) if request.is_s3() => s3_error(request, status, &received),
            Err(_) => self.not_chunk_api(status),
        };
        let is_final = (status < 500 || status == 507) && !matches!(status, 408 | 429);
        let retry = if is_final { Retry::Never } else { Retry::Refused };
        Err(FailedAttempt { error, retry, retry_after: seconds.map(Duration::from_secs) })
    }

    /// The HTTP request, with a signature of this moment.
    fn signed(&self, request: &ApiRequest, activity: &Arc<Activity>) -> Result<Request<NotedBody>> {
        let invalid = |error: String| {
            Error::WrongUse(format!("no valid request can be made for {}: {error}", request.path))
        };
        let uri = format!("{}{}{}", self.endpoint.url, request.root, request.path);
        let mut builder = Request::builder().method(request.method.clone()).uri(uri);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let (mut parts, ()) =
            builder.body(()).map_err(|error| invalid(error.to_string()))?.into_parts();
        let Endpoint { credentials, region, .. } = &self.endpoint;
        sign(&mut parts, credentials, region, Payload::Sha256(request.sha256.0), self.clock.wall())
            .map_err(|error| invalid(error.to_string()))?;
        if let Some(authorization) = &self.proxy_authorization {
            parts.headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        let body = NotedBody::new(request.body.clone(), Arc::clone(activity));
        Ok(Request::from_parts(parts, body))
    }
}
