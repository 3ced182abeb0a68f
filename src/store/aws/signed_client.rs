//! Sends signed requests through a pooled HTTP client: all bodies, heads and listings.
//!
//! Guarantees: exactly the announced bytes are sent, or the connection is closed; the signing key
//! never leaves this room; the response's head has a time limit, and so has every frame of its
//! body.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderName, Method, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::utf8_percent_encode;

use super::super::{Attributes, Body, BodyError, Bucket, Error, Key, Kind, Result};
use super::connect::Addressing;
use super::credentials::CredentialCache;
use super::error::{code, error_response, retry_after};
use super::objects::marker;
use super::pools::{BufferPermit, Pools};
use crate::clock::Clock;
use crate::header_names::METADATA_PREFIX;
use crate::sigv4::{Payload, URI_PATH, sign};
use crate::tcp;

/// From the last frame that the server accepted to the response's head. The time of the body does
/// not count: its sender may be a slow client. A server may verify and replicate a part of 5 GiB
/// before it responds.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);
/// Between two frames of a response's body, and for a whole document.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);
/// Enough for the paths of most objects.
const USUAL_PATH_BYTES: usize = 256;
/// The largest error document that is read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// The server, and how requests to it are signed.
pub(super) struct ClientSettings {
    pub scheme: Scheme,
    pub authority: Authority,
    pub addressing: Addressing,
    pub region: String,
    pub credentials: CredentialCache,
    pub clock: Clock,
}

pub(super) struct SignedClient {
    pools: Pools<Outgoing>,
    settings: ClientSettings,
}

/// A request before it is signed. The names and values of its query are already encoded.
pub(super) struct StoreRequest<'a> {
    pub method: Method,
    pub bucket: &'a Bucket,
    /// Empty: the bucket itself.
    pub key: &'a Key,
    pub query: String,
    pub headers: Vec<(HeaderName, String)>,
    /// User metadata.
    pub user: Vec<(String, String)>,
    pub payload: Payload,
}

impl StoreRequest<'_> {
    /// What the request does, for error messages.
    fn description(&self) -> String {
        match self.key.as_str() {
            "" => format!("{} of bucket {}", self.method, self.bucket),
            key => format!("{} of {}/{key}", self.method, self.bucket),
        }
    }
}

impl SignedClient {
    /// **Errors**: the TLS roots of this machine cannot be read.
    pub fn new(settings: ClientSettings) -> std::io::Result<Self> {
        Ok(Self { pools: Pools::new()?, settings })
    }

    pub fn now(&self) -> SystemTime {
        self.settings.clock.wall()
    }

    /// Sends a request and returns the response, if its status is a success. **Errors**: `Body` if
    /// the request's body failed; `Unavailable` without a response; else by the error document.
    pub async fn send(
        &self,
        request: StoreRequest<'_>,
        body: Body,
    ) -> Result<(Response<Incoming>, BufferPermit)> {
        let (response, permit) = self.send_any_status(&request, body).await?;
        if response.status().is_success() {
            return Ok((response, permit));
        }
        let status = response.status().as_u16();
        let delay = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let delay = retry_after(delay);
        let marker = marker(response.headers());
        let truncated = |cause| {
            let what = request.description();
            Error::unavailable(format!("{what} was answered {status}, not to the end"))
                .because(cause)
        };
        let document = document(response, MAX_ERROR_BYTES).await.map_err(truncated)?;
        if marker.is_some() && status == 405 {
            let what = format!("{} found a delete marker", request.description());
            return Err(Error::new(Kind::DeleteMarker, what).with_marker(marker));
        }
        let error = error_response(&request.description(), status, &code(&document), delay);
        Err(error.with_marker(marker))
    }

    /// As `send`, but returns the response whatever its status is.
    pub async fn send_any_status(
        &self,
        request: &StoreRequest<'_>,
        body: Body,
    ) -> Result<(Response<Incoming>, BufferPermit)> {
        let signed = self.signed_request(request).await?;
        let body = if body.len_bytes() == 0 { read_to_end(body, request).await? } else { body };
        let (failed, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let remaining = body.len_bytes();
        let signed = signed.map(|()| Outgoing {
            remaining,
            body,
            failed: Arc::clone(&failed),
            sent: Arc::clone(&sent),
        });
        let what = || request.description();
        let body_failed = || Error::new(Kind::Body, format!("the body of {} broke off", what()));
        let (response, permit) = self.pools.request(signed);
        match self.in_time(response, &sent).await {
            // The server may respond with an error to a body that broke off; the body is the cause.
            Ok(Ok(response))
                if !response.status().is_success() && failed.load(Ordering::Acquire) =>
            {
                Err(body_failed())
            }
            Ok(Ok(response)) => Ok((response, permit)),
            Ok(Err(error)) if failed.load(Ordering::Acquire) => Err(body_failed().because(error)),
            Ok(Err(error)) => {
                Err(Error::unavailable(format!("{} got no response", what())).because(error))
            }
            Err(()) => Err(Error::unavailable(format!("{} got no response in time", what()))),
        }
    }

    /// The response; an error after no frame was sent and no response came for
    /// [`RESPONSE_TIMEOUT`].
    async fn in_time<T>(
        &self,
        response: impl Future<Output = T>,
        sent: &AtomicU64,
    ) -> std::result::Result<T, ()> {
        let mut response = std::pin::pin!(response);
        loop {
            let before = sent.load(Ordering::Relaxed);
            match tokio::time::timeout(RESPONSE_TIMEOUT, response.as_mut()).await {
                Ok(response) => return Ok(response),
                Err(_) if sent.load(Ordering::Relaxed) == before => return Err(()),
                Err(_) => {}
            }
        }
    }

    fn uri(
        &self,
        bucket: &Bucket,
        key: &Key,
        query: &str,
    ) -> std::result::Result<Uri, http::Error> {
        let ClientSettings { scheme, authority, addressing, .. } = &self.settings;
        let bucket_in_path = *addressing == Addressing::Path
            || !can_be_a_subdomain(bucket.as_str(), scheme, authority);
        let authority = if bucket_in_path {
            authority.clone()
        } else {
            format!("{bucket}.{authority}").parse()?
        };
        let mut path = String::with_capacity(USUAL_PATH_BYTES);
        if bucket_in_path {
            path.extend(["/", bucket.as_str()]);
        }
        path.push('/');
        path.extend(utf8_percent_encode(key.as_str(), URI_PATH));
        if !query.is_empty() {
            path.extend(["?", query]);
        }
        Uri::builder().scheme(scheme.clone()).authority(authority).path_and_query(path).build()
    }

    async fn signed_request(&self, request: &StoreRequest<'_>) -> Result<Request<()>> {
        let invalid = |error: http::Error| {
            Error::new(Kind::Invalid, "a name or header cannot be sent").because(error)
        };
        let uri = self.uri(request.bucket, request.key, &request.query).map_err(invalid)?;
        let mut unsigned = Request::builder().method(request.method.clone()).uri(uri);
        for (name, value) in &request.headers {
            unsigned = unsigned.header(name, &*Attributes::bytes_of(value));
        }
        for (name, value) in &request.user {
            let value = Attributes::bytes_of(value);
            unsigned = unsigned.header([METADATA_PREFIX, &**name].concat(), &*value);
        }
        self.sign(unsigned.body(()).map_err(invalid)?, request.payload).await
    }

    async fn sign(&self, request: Request<()>, payload: Payload) -> Result<Request<()>> {
        let (mut parts, ()) = request.into_parts();
        let credentials = self.settings.credentials.get().await?;
        sign(&mut parts, &credentials, &self.settings.region, payload, self.now()).map_err(
            |error| Error::new(Kind::Invalid, "the request cannot be signed").because(error),
        )?;
        Ok(Request::from_parts(parts, ()))
    }
}

/// Reads a body without bytes to its end, so that it is verified: hyper asks no body of length 0
/// for a frame. **Errors**: `Body`.
async fn read_to_end(mut body: Body, request: &StoreRequest<'_>) -> Result<Body> {
    let failed = |what: &str| {
        Error::new(Kind::Body, format!("the body of {} {what}", request.description()))
    };
    while let Some(frame) = body.next().await {
        let bytes = frame.map_err(|cause| failed("broke off").because(cause))?;
        if !bytes.is_empty() {
            return Err(failed("is longer than announced"));
        }
    }
    Ok(body)
}

/// Whether a bucket can be a subdomain of the server's host: an IP address has none, and a
/// certificate for `*.host` is not valid for `my.bucket.host`. The SDK decides in the same way.
fn can_be_a_subdomain(bucket: &str, scheme: &Scheme, authority: &Authority) -> bool {
    tcp::ip_address(authority.host()).is_none()
        && !(*scheme == Scheme::HTTPS && bucket.contains('.'))
}

/// A response's body as a store's body of known length. It fails if a frame does not arrive in
/// time.
pub(super) fn incoming(
    (response, permit): (Response<Incoming>, BufferPermit),
    len_bytes: Option<u64>,
) -> Body {
    let body = response.into_body();
    let len = len_bytes.or(http_body::Body::size_hint(&body).exact()).unwrap_or(0);
    let frames =
        futures_util::stream::try_unfold((body, permit), |(mut body, permit)| async move {
            Ok(next(&mut body).await?.map(|bytes| (bytes, (body, permit))))
        });
    Body::new(len, frames)
}

/// The whole body of a response. Its length need not be known: AWS sends documents with chunked
/// transfer encoding. **Errors**: it is longer than `max_bytes`, takes too long, or breaks off.
pub(super) async fn document(
    response: Response<Incoming>,
    max_bytes: usize,
) -> std::result::Result<Vec<u8>, BodyError> {
    let read = async move {
        let (mut body, mut document) = (response.into_body(), Vec::new());
        while let Some(bytes) = next(&mut body).await? {
            if document.len() + bytes.len() > max_bytes {
                return Err(format!("the store's response is longer than {max_bytes} bytes").into());
            }
            document.extend_from_slice(&bytes);
        }
        Ok(document)
    };
    tokio::time::timeout(FRAME_TIMEOUT, read)
        .await
        .map_err(|_| "the store's response took too long")?
}

/// As `document`, for an operation that takes as long as its bytes: AWS begins the response at once
/// and sends white space until it has the result.
pub(super) async fn patient_document(
    response: Response<Incoming>,
    max_bytes: usize,
) -> std::result::Result<Vec<u8>, BodyError> {
    let (mut body, mut document) = (response.into_body(), Vec::new());
    while let Some(bytes) = next(&mut body).await? {
        // White space before the document does not count.
        let begin = if document.is_empty() {
            bytes.iter().position(|b| !b.is_ascii_whitespace())
        } else {
            Some(0)
        };
        document.extend_from_slice(&bytes[begin.unwrap_or(bytes.len())..]);
        if document.len() > max_bytes {
            return Err(format!("the store's response is longer than {max_bytes} bytes").into());
        }
    }
    Ok(document)
}

/// The next bytes of a response.
async fn next(body: &mut Incoming) -> std::result::Result<Option<Bytes>, BodyError> {
    let late = |_| BodyError::from("the store's response stalled for too long");
    while let Some(frame) =
        tokio::time::timeout(FRAME_TIMEOUT, body.frame()).await.map_err(late)?.transpose()?
    {
        // Other frames are trailers.
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// A request's body: exactly `remaining` more bytes, or an error that aborts the request.
pub(super) struct Outgoing {
    body: Body,
    remaining: u64,
    failed: Arc<AtomicBool>,
    /// The number of sent frames.
    sent: Arc<AtomicU64>,
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, BodyError>>> {
        let failure: BodyError = match ready!(Pin::new(&mut self.body).poll_next(cx)) {
            Some(Ok(bytes)) if bytes.len() as u64 <= self.remaining => {
                self.remaining -= bytes.len() as u64;
                self.sent.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            None if self.remaining == 0 => return Poll::Ready(None),
            Some(Ok(_)) => "the body is longer than announced".into(),
            None => format!("the body ended {} bytes too early", self.remaining).into(),
            Some(Err(cause)) => cause,
        };
        self.failed.store(true, Ordering::Release);
        Poll::Ready(Some(Err(failure)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

impl fmt::Debug for SignedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedClient")
            .field("authority", &self.settings.authority)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_a_subdomain_where_it_can_be_one() {
        for (bucket, scheme, authority, expected) in [
            ("bucket", Scheme::HTTPS, "s3.example.com", true),
            ("my.bucket", Scheme::HTTPS, "s3.example.com", false),
            ("my.bucket", Scheme::HTTP, "s3.example.com", true),
            ("bucket", Scheme::HTTP, "127.0.0.1:9000", false),
            ("bucket", Scheme::HTTP, "[::1]:9000", false),
            ("bucket", Scheme::HTTP, "localhost:9000", true),
        ] {
            assert_eq!(
                can_be_a_subdomain(bucket, &scheme, &authority.parse().unwrap()),
                expected,
                "{bucket} {authority}"
            );
        }
    }
}
