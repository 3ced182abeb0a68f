//! The state of a connection, and which timeout applies in it.
//!
//! Guarantees: between requests the idle timeout runs until the first byte of the next request,
//! then the head timeout; while a request is served, only a client that reads nothing or too little
//! of its response times out. The only time that counts is that with bytes to send and a full
//! socket, so a client does not time out because of a slow store. It closes nothing;
//! `connection` does.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::clock::Clock;

use super::Settings;

/// Which timeout of a connection expires next, or has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// No request is in flight, so the connection can be closed without loss.
    Idle,
    /// The head of a request is incomplete.
    Head,
    /// The client does not read its response.
    Write,
}

/// Shared by the connection's socket, its service and the loop that enforces its timeouts.
#[derive(Clone, Debug)]
pub struct Activity {
    clock: Clock,
    write_min_bytes: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// When the last request ended, or the connection began.
    idle_since: Duration,
    /// When the first byte after that was received.
    head_since: Option<Duration>,
    /// Since when the socket has not accepted bytes.
    write_blocked_since: Option<Duration>,
    /// How long the socket accepted nothing in this window.
    window_blocked: Duration,
    /// How many bytes it accepted in this window.
    window_bytes: u64,
}

impl Activity {
    pub fn new(clock: Clock, settings: &Settings) -> Self {
        let write_min_bytes = settings.write_min_bytes;
        let state = State {
            in_flight: 0,
            idle_since: clock.monotonic(),
            head_since: None,
            write_blocked_since: None,
            window_blocked: Duration::ZERO,
            window_bytes: 0,
        };
        Self { clock, write_min_bytes, state: Arc::new(Mutex::new(state)) }
    }

    /// Marks a request as in flight until the guard is dropped.
    pub fn request(&self) -> InFlight {
        let mut state = self.lock();
        state.in_flight += 1;
        state.head_since = None;
        InFlight(self.clone())
    }

    /// The time until the next timeout if nothing happens before; zero when it has expired.
    pub fn time_left(&self, settings: &Settings) -> (Duration, Timeout) {
        let state = self.lock();
        let (since, allowed, timeout) =
            match (state.write_blocked_since, state.in_flight, state.head_since) {
                (Some(since), ..) => {
                    let window_left = settings.write_window.saturating_sub(state.window_blocked);
                    (since, settings.write_timeout.min(window_left), Timeout::Write)
                }
                // The caller asks again after this time, because the socket may have stopped
                // accepting bytes by then.
                (None, 1.., _) => {
                    return (settings.write_timeout.max(Duration::from_millis(1)), Timeout::Write);
                }
                (None, 0, Some(since)) => (since, settings.head_timeout, Timeout::Head),
                (None, 0, None) => (state.idle_since, settings.idle_timeout, Timeout::Idle),
            };
        ((since + allowed).saturating_sub(self.clock.monotonic()), timeout)
    }

    /// Records that bytes were received.
    fn on_read(&self) {
        let mut state = self.lock();
        if state.in_flight == 0 && state.head_since.is_none() {
            state.head_since = Some(self.clock.monotonic());
        }
    }

    /// Records the result of a write: the bytes that the socket accepted, or that it is blocked.
    fn on_write(&self, polled: &Poll<std::io::Result<usize>>) {
        let mut state = self.lock();
        match polled {
            Poll::Ready(accepted) => {
                if let Some(since) = state.write_blocked_since.take() {
                    state.window_blocked += self.clock.monotonic().saturating_sub(since);
                }
                state.window_bytes += accepted.as_ref().map_or(0, |bytes| *bytes as u64);
                if state.window_bytes >= self.write_min_bytes {
                    (state.window_blocked, state.window_bytes) = (Duration::ZERO, 0);
                }
            }
            Poll::Pending if state.write_blocked_since.is_none() => {
                state.write_blocked_since = Some(self.clock.monotonic());
            }
            Poll::Pending => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight, from the end of its head to the end of its response.
#[derive(Debug)]
pub struct InFlight(Activity);

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = self.0.clock.monotonic();
        let mut state = self.0.lock();
        state.in_flight -= 1;
        (state.idle_since, state.head_since) = (now, None);
    }
}

/// A response body that keeps its request in flight.
pub struct TrackedBody<B> {
    pub body: Pin<Box<B>>,
    pub _request: InFlight,
}

impl<B: Body<Data = Bytes>> Body for TrackedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that reports reads and writes to its `Activity`.
pub struct MonitoredSocket<T> {
    pub socket: T,
    pub activity: Activity,
}

impl<T: Read + Unpin> Read for MonitoredSocket<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.activity.on_read();
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for MonitoredSocket<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.activity.on_write(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.activity.on_write(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_own_timeout() {
        let clock = Clock::seeded(1);
        let settings = Settings::default();
        let activity = Activity::new(clock.clone(), &settings);
        assert_eq!(activity.time_left(&settings), (settings.idle_timeout, Timeout::Idle));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(
            activity.time_left(&settings),
            (settings.idle_timeout - Duration::from_secs(5), Timeout::Idle)
        );
        activity.on_read();
        assert_eq!(activity.time_left(&settings), (settings.head_timeout, Timeout::Head));
        let request = activity.request();
        tokio::time::advance(settings.idle_timeout * 2).await;
        assert!(activity.time_left(&settings).0 > Duration::ZERO);
        activity.on_write(&Poll::Pending);
        tokio::time::advance(settings.write_timeout).await;
        assert_eq!(activity.time_left(&settings), (Duration::ZERO, Timeout::Write));
        activity.on_write(&Poll::Ready(Ok(1 << 20)));
        drop(request);
        assert_eq!(activity.time_left(&settings), (settings.idle_timeout, Timeout::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_too_little_of_its_response_times_out() {
        let clock = Clock::seeded(1);
        let settings = Settings { write_min_bytes: 1000, ..Settings::default() };
        let activity = Activity::new(clock.clone(), &settings);
        let _request = activity.request();
        let step = settings.write_timeout / 4;
        let accept_after_step = async |bytes: usize| {
            activity.on_write(&Poll::Pending);
            tokio::time::advance(step).await;
            let time_left = activity.time_left(&settings);
            activity.on_write(&Poll::Ready(Ok(bytes)));
            time_left
        };
        for _ in 0..21 {
            assert!(
                accept_after_step(400).await.0 > Duration::ZERO,
                "400 bytes per 15 s are enough"
            );
        }
        // Time in which there is nothing to send is not counted.
        tokio::time::advance(settings.write_window * 10).await;
        let mut times = Vec::new();
        for _ in 0..4 {
            times.push(accept_after_step(1).await);
        }
        assert!(times[..3].iter().all(|(time_left, _)| !time_left.is_zero()), "{times:?}");
        assert_eq!(times[3], (Duration::ZERO, Timeout::Write));
    }
}
