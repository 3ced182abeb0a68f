//! The body of a request, with a minimum speed and a record of how far it was read.
//!
//! Guarantees: a request times out if its client pauses longer than the idle time or sends less
//! than the minimum per window. Only time in which the gateway waits for the client counts: neither
//! a slow store nor the rate limit of the account makes a fast client time out. Nothing is
//! buffered, and nothing is read before the first poll (which is when hyper sends `100 Continue`).
//! It does not hash and does not know what the bytes are for.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http_body::Body;
use http_body_util::BodyExt;

use crate::clock::Clock;

use super::Settings;
use super::admission::Permit;
use super::error::{Error, Kind};
use super::reply::{BoxError, ReplyBody};
use super::throttle::Throttle;

/// How far the body of a request was read; shared with the handler of the request.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<ReadState>);

#[derive(Debug, Default)]
struct ReadState {
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Progress {
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// Whether the body was read to its end, so that the connection can be used again.
    pub fn ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }
}

/// The body of a request.
pub struct RequestBody {
    body: ReplyBody,
    progress: Progress,
    watch: SpeedWatch,
    throttle: Throttle,
}

impl RequestBody {
    pub fn new<B>(body: B, clock: Clock, settings: &Settings) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let progress = Progress::default();
        progress.0.ended.store(body.is_end_stream(), Ordering::Release);
        let watch = SpeedWatch::new(clock, settings);
        Self {
            body: body.map_err(Into::into).boxed_unsync(),
            progress,
            watch,
            throttle: Throttle::default(),
        }
    }

    /// The same body, read no faster than the account of the permit may.
    #[must_use]
    pub fn throttled(mut self, permit: &Permit, clock: &Clock) -> Self {
        self.throttle = Throttle::new(permit, clock);
        self
    }

    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// The whole body. **Errors**: `BadRequest` where it is longer than `max_bytes`,
    /// `RequestTimeout` where it is too slow or interrupted.
    pub async fn collect(mut self, max_bytes: usize) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(next) = self.next().await {
            let bytes = next.map_err(|cause| match cause.downcast::<Error>() {
                Ok(error) => *error,
                Err(other) => {
                    Error::new(Kind::RequestTimeout, "the body was interrupted").because(other)
                }
            })?;
            if all.len() + bytes.len() > max_bytes {
                return Err(Error::bad(format!("the body is longer than {max_bytes} bytes")));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        ready!(self.throttle.poll(cx));
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(None) => {
                    self.progress.0.ended.store(true, Ordering::Release);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => {
                    // No caller uses the trailers.
                    let Ok(bytes) = frame.into_data() else { continue };
                    self.progress.0.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    self.watch.received(bytes.len() as u64);
                    self.throttle.record(bytes.len() as u64);
                    if self.body.is_end_stream() {
                        self.progress.0.ended.store(true, Ordering::Release);
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Poll::Pending => {
                    return self.watch.poll_too_slow(cx).map(|error| Some(Err(error.into())));
                }
            }
        }
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").field("progress", &self.progress).finish_non_exhaustive()
    }
}

/// Checks the speed of a client.
struct SpeedWatch {
    clock: Clock,
    idle: Duration,
    window: Duration,
    min_bytes: u64,
    /// Since when the gateway waits for the next bytes.
    waiting_since: Option<Duration>,
    /// Time waited and bytes received in this window, without the current wait.
    waited: Duration,
    received_bytes: u64,
    timer: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl SpeedWatch {
    fn new(clock: Clock, settings: &Settings) -> Self {
        Self {
            clock,
            idle: settings.body_idle,
            window: settings.body_window,
            min_bytes: settings.body_min_bytes,
            waiting_since: None,
            waited: Duration::ZERO,
            received_bytes: 0,
            timer: None,
        }
    }

    fn received(&mut self, bytes: u64) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += self.clock.monotonic().saturating_sub(since);
        }
        self.received_bytes += bytes;
        if self.received_bytes >= self.min_bytes {
            (self.waited, self.received_bytes) = (Duration::ZERO, 0);
        }
    }

    /// Ready once the client is too slow. One timer serves many waits: if it fires early, it is set
    /// again.
    fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let since = *self.waiting_since.get_or_insert_with(|| self.clock.monotonic());
        loop {
            let waiting = self.clock.monotonic().saturating_sub(since);
            let idle_left = self.idle.saturating_sub(waiting);
            if idle_left.is_zero() {
                let what =
                    format!("no byte of the body was received for {} s", self.idle.as_secs());
                return Poll::Ready(Error::new(Kind::RequestTimeout, what));
            }
            let window_left = self.window.saturating_sub(self.waited + waiting);
            if window_left.is_zero() {
                let what = format!(
                    "the client sent less than {} bytes of the body in {} s",
                    self.min_bytes,
                    self.window.as_secs()
                );
                return Poll::Ready(Error::new(Kind::RequestTimeout, what));
            }
            let clock = &self.clock;
            let timer = self.timer.get_or_insert_with(|| {
                let (clock, pause) = (clock.clone(), idle_left.min(window_left));
                Box::pin(async move { clock.pause(pause).await })
            });
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    const SETTINGS: Settings = Settings {
        body_idle: Duration::from_secs(10),
        body_window: Duration::from_secs(30),
        body_min_bytes: 1000,
        max_skew: Duration::ZERO,
        max_requests: 1,
        max_account_requests: 1,
        kept_account_requests: 0,
        max_account_sending: 1,
        max_account_bytes_per_s: None,
        queue_timeout: Duration::ZERO,
        domain: None,
        serves_tls: false,
        region: None,
        signature_v2: false,
    };

    /// Advances the paused clock of tokio.
    async fn advance(seconds: u64) {
        let never = std::future::pending::<()>();
        tokio::time::timeout(Duration::from_secs(seconds), never).await.unwrap_err();
    }

    /// A body of frames, each after a pause in seconds.
    fn body(clock: &Clock, frames: Vec<(u64, usize)>) -> RequestBody {
        let frames = stream::iter(frames).then(move |(pause, bytes)| async move {
            advance(pause).await;
            Ok::<_, BoxError>(Frame::data(Bytes::from(vec![0; bytes])))
        });
        RequestBody::new(StreamBody::new(frames), clock.clone(), &SETTINGS)
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_body_is_read_to_its_end() {
        let clock = Clock::seeded(1);
        let body = body(&clock, vec![(9, 500); 20]);
        let progress = body.progress();
        assert_eq!(body.collect(10_000).await.unwrap().len(), 10_000);
        assert!(progress.ended());
        assert_eq!(progress.bytes(), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_pauses_or_is_too_slow_times_out() {
        let clock = Clock::seeded(1);
        for frames in [vec![(0, 5000), (11, 1)], vec![(9, 1); 20]] {
            let error = body(&clock, frames).collect(100_000).await.unwrap_err();
            assert_eq!(error.kind(), Kind::RequestTimeout, "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_does_not_time_the_client_out() {
        let clock = Clock::seeded(1);
        let mut body = body(&clock, vec![(0, 10), (1, 10), (1, 10)]);
        let mut read = 0;
        while let Some(bytes) = body.next().await {
            read += bytes.unwrap().len();
            advance(100).await;
        }
        assert_eq!(read, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_limit_of_an_account_does_not_make_a_body_time_out() {
        let clock = Clock::seeded(1);
        let settings = Settings { max_account_bytes_per_s: Some(100), ..SETTINGS };
        let admission = super::super::Admission::new(clock.clone(), settings);
        let permit = admission.acquire("a").await.unwrap();
        let body = body(&clock, vec![(0, 2000); 3]).throttled(&permit, &clock);
        assert_eq!(body.collect(10_000).await.unwrap().len(), 6000);
        assert!(clock.monotonic() >= Duration::from_secs(40), "{:?}", clock.monotonic());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_over_the_limit_is_refused_and_not_read_further() {
        let clock = Clock::seeded(1);
        let body = body(&clock, vec![(0, 100), (0, 100)]);
        let progress = body.progress();
        assert_eq!(body.collect(99).await.unwrap_err().kind(), Kind::BadRequest);
        assert!(!progress.ended());
    }
}
