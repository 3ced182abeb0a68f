//! Signed requests through one pooled HTTP client: the way of all bodies, and of listings.
//!
//! Guarantees: exactly the promised bytes go out, or the connection is cut; the signing key never
//! leaves this room; a head has to come within its time, and so has every frame of a body.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::Stream;
use http::uri::{Authority, Scheme, Uri};
use http::{HeaderName, Method, Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use percent_encoding::utf8_percent_encode;

use super::super::{Body, BodyError, Bucket, Error, Key, Kind, Result};
use super::connect::Addressing;
use super::credentials::CredentialCache;
use super::error::{code, pause, refused};
use super::pools::{Pools, Room};
use crate::clock::Clock;
use crate::sigv4::{Payload, URI_PATH, sign};
use crate::tcp;

/// From the last frame that the server took to the answer's head, however long the body took
/// before: a slow client is not the server's fault. A server may verify and replicate a part of 5
/// GiB before it answers.
const ANSWER: Duration = Duration::from_secs(300);
/// Between two frames of an answer's body, and for all of a document.
const FRAME: Duration = Duration::from_secs(60);
/// Most objects' paths fit.
const USUAL_PATH_BYTES: usize = 256;
/// The most of an error document that is read.
const ERROR_BYTES: usize = 64 << 10;

/// What a wire is made of.
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

/// A request before it is signed. The query's names and values are encoded already.
pub(super) struct StoreRequest<'a> {
    pub method: Method,
    pub bucket: &'a Bucket,
    /// Empty: the bucket itself.
    pub key: &'a Key,
    pub query: String,
    pub headers: Vec<(HeaderName, String)>,
    pub user: Vec<(String, String)>,
    pub payload: Payload,
}

impl StoreRequest<'_> {
    fn what(&self) -> String {
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

    /// Sends a request and returns the answer's head, if it is one of success. **Errors**: `Body`
    /// where the outgoing body broke off; by the error document else; `Unavailable` without an
    /// answer.
    pub async fn send(
        &self,
        call: StoreRequest<'_>,
        body: Body,
    ) -> Result<(Response<Incoming>, Room)> {
        let (answer, room) = self.send_any_status(&call, body).await?;
        if answer.status().is_success() {
            return Ok((answer, room));
        }
        let (status, wait) = (answer.status().as_u16(), answer.headers().get("retry-after"));
        let wait = pause(wait.and_then(|value| value.to_str().ok()));
        let cut = |cause| {
            let what = call.what();
            Error::unavailable(format!("{what} was answered {status}, not to the end"))
                .because(cause)
        };
        let document = document(answer, ERROR_BYTES).await.map_err(cut)?;
        Err(refused(&call.what(), status, &code(&document), wait))
    }

    /// As `send`, but whatever the answer says is the caller's to read.
    pub async fn send_any_status(
        &self,
        call: &StoreRequest<'_>,
        body: Body,
    ) -> Result<(Response<Incoming>, Room)> {
        let request = self.request(call).await?;
        let (broke, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let left = body.len_bytes();
        let request = request.map(|()| Outgoing {
            left,
            body,
            broke: Arc::clone(&broke),
            sent: Arc::clone(&sent),
        });
        let broken = || Error::new(Kind::Body, format!("the body of {} broke off", call.what()));
        let (answer, room) = self.pools.request(request);
        match self.in_time(answer, &sent).await {
            // A server that heard only half of a broken body may still say something; the cause is
            // ours.
            Ok(Ok(answer)) if !answer.status().is_success() && broke.load(Ordering::Acquire) => {
                Err(broken())
            }
            Ok(Ok(answer)) => Ok((answer, room)),
            Ok(Err(error)) if broke.load(Ordering::Acquire) => Err(broken().because(error)),
            Ok(Err(error)) => {
                Err(Error::unavailable(format!("{} got no answer", call.what())).because(error))
            }
            Err(()) => Err(Error::unavailable(format!("{} got no answer in time", call.what()))),
        }
    }

    /// The answer, or that nothing went out and nothing came in for [`ANSWER`].
    async fn in_time<T>(
        &self,
        answer: impl Future<Output = T>,
        sent: &AtomicU64,
    ) -> std::result::Result<T, ()> {
        let mut answer = std::pin::pin!(answer);
        loop {
            let before = sent.load(Ordering::Relaxed);
            match tokio::time::timeout(ANSWER, answer.as_mut()).await {
                Ok(answer) => return Ok(answer),
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
        let in_path =
            *addressing == Addressing::Path || !fits_a_host(bucket.as_str(), scheme, authority);
        let authority =
            if in_path { authority.clone() } else { format!("{bucket}.{authority}").parse()? };
        let mut path = String::with_capacity(USUAL_PATH_BYTES);
        if in_path {
            path.extend(["/", bucket.as_str()]);
        }
        path.push('/');
        path.extend(utf8_percent_encode(&key.0, URI_PATH));
        if !query.is_empty() {
            path.extend(["?", query]);
        }
        Uri::builder().scheme(scheme.clone()).authority(authority).path_and_query(path).build()
    }

    async fn request(&self, call: &StoreRequest<'_>) -> Result<Request<()>> {
        let invalid = |error: http::Error| {
            Error::new(Kind::Invalid, "a name or header is not sendable").because(error)
        };
        let uri = self.uri(call.bucket, call.key, &call.query).map_err(invalid)?;
        let mut request = Request::builder().method(call.method.clone()).uri(uri);
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        for (name, value) in &call.user {
            request = request.header(format!("x-amz-meta-{name}"), value);
        }
        self.signed(request.body(()).map_err(invalid)?, call.payload).await
    }

    async fn signed(&self, request: Request<()>, payload: Payload) -> Result<Request<()>> {
        let (mut parts, ()) = request.into_parts();
        let credentials = self.settings.credentials.get().await?;
        sign(&mut parts, &credentials, &self.settings.region, payload, self.now()).map_err(
            |error| Error::new(Kind::Invalid, "the request cannot be signed").because(error),
        )?;
        Ok(Request::from_parts(parts, ()))
    }
}

/// Whether a bucket can be the first label of its server's name: no address has labels, and a
/// certificate for `*.host` is not one for `my.bucket.host`. So the SDK decides too.
fn fits_a_host(bucket: &str, scheme: &Scheme, authority: &Authority) -> bool {
    tcp::ip_address(authority.host()).is_none()
        && !(*scheme == Scheme::HTTPS && bucket.contains('.'))
}

/// An answer's body as a store's body of known length. A frame that does not come in time ends it.
pub(super) fn incoming((answer, room): (Response<Incoming>, Room), len_bytes: Option<u64>) -> Body {
    let body = answer.into_body();
    let len = len_bytes.or(http_body::Body::size_hint(&body).exact()).unwrap_or(0);
    let frames = futures_util::stream::try_unfold((body, room), |(mut body, room)| async move {
        Ok(next(&mut body).await?.map(|bytes| (bytes, (body, room))))
    });
    Body::new(len, frames)
}

/// The whole of an answer whose length need not have been said: AWS sends documents in HTTP's own
/// chunks.
/// **Errors**: it is longer than `max_bytes`, takes too long, or breaks off.
pub(super) async fn document(
    answer: Response<Incoming>,
    max_bytes: usize,
) -> std::result::Result<Vec<u8>, BodyError> {
    let read = async move {
        let (mut body, mut document) = (answer.into_body(), Vec::new());
        while let Some(bytes) = next(&mut body).await? {
            if document.len() + bytes.len() > max_bytes {
                return Err(format!("the store's answer is longer than {max_bytes} bytes").into());
            }
            document.extend_from_slice(&bytes);
        }
        Ok(document)
    };
    tokio::time::timeout(FRAME, read).await.map_err(|_| "the store's answer took too long")?
}

/// The next bytes of an answer.
async fn next(body: &mut Incoming) -> std::result::Result<Option<Bytes>, BodyError> {
    let late = |_| BodyError::from("the store's answer stood still for too long");
    while let Some(frame) =
        tokio::time::timeout(FRAME, body.frame()).await.map_err(late)?.transpose()?
    {
        // Anything else is a trailer.
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}

/// A body on its way out: exactly `left` more bytes, or an error that cuts the request short.
pub(super) struct Outgoing {
    body: Body,
    left: u64,
    broke: Arc<AtomicBool>,
    /// Frames that went out.
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
            Some(Ok(bytes)) if bytes.len() as u64 <= self.left => {
                self.left -= bytes.len() as u64;
                self.sent.fetch_add(1, Ordering::Relaxed);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            None if self.left == 0 => return Poll::Ready(None),
            Some(Ok(_)) => "the body is longer than promised".into(),
            None => format!("the body ended {} bytes too early", self.left).into(),
            Some(Err(cause)) => cause,
        };
        self.broke.store(true, Ordering::Release);
        Poll::Ready(Some(Err(failure)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl fmt::Debug for SignedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("authority", &self.settings.authority).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_part_of_a_host_where_it_can_be() {
        for (bucket, scheme, authority, fits) in [
            ("bucket", Scheme::HTTPS, "s3.example.com", true),
            ("my.bucket", Scheme::HTTPS, "s3.example.com", false),
            ("my.bucket", Scheme::HTTP, "s3.example.com", true),
            ("bucket", Scheme::HTTP, "127.0.0.1:9000", false),
            ("bucket", Scheme::HTTP, "[::1]:9000", false),
            ("bucket", Scheme::HTTP, "localhost:9000", true),
        ] {
            assert_eq!(
                fits_a_host(bucket, &scheme, &authority.parse().unwrap()),
                fits,
                "{bucket} {authority}"
            );
        }
    }
}
