//! What a connection is doing, and until when it may go on doing it.
//!
//! Guarantees: between requests the idle time counts until the next request's first byte, then the
//! head time; while a request is served only a client that takes nothing of its answer, or too
//! little of it, runs out of time. Only the time is counted in which the socket takes nothing
//! though there is something to send: a slow store is not the client's fault. It does not close
//! anything: `connection` does.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::clock::Clock;

use super::Settings;

/// Why a connection has run out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Nothing is going on: it may be closed without harm.
    Idle,
    Head,
    Write,
}

/// Shared by the connection's socket, its service and its watch.
#[derive(Clone, Debug)]
pub struct Activity {
    clock: Clock,
    write_min_bytes: u64,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// When it last became idle.
    idle_since: Duration,
    /// When the first byte came since then.
    head_since: Option<Duration>,
    /// Since when the socket has been taking nothing.
    write_stuck_since: Option<Duration>,
    /// How long the socket took nothing, and what it took, in this window.
    write_waited: Duration,
    write_bytes: u64,
}

impl Activity {
    pub fn new(clock: Clock, settings: &Settings) -> Self {
        let write_min_bytes = settings.write_min_bytes;
        let state = State {
            in_flight: 0,
            idle_since: clock.monotonic(),
            head_since: None,
            write_stuck_since: None,
            write_waited: Duration::ZERO,
            write_bytes: 0,
        };
        Self { clock, write_min_bytes, state: Arc::new(Mutex::new(state)) }
    }

    /// Marks a request as in flight until the guard goes.
    pub fn request(&self) -> InFlight {
        let mut state = self.lock();
        state.in_flight += 1;
        state.head_since = None;
        InFlight(self.clone())
    }

    /// How long the connection may go on if nothing more happens; zero when it is late.
    pub fn time_left(&self, settings: &Settings) -> (Duration, Late) {
        let state = self.lock();
        let (since, allowed, late) =
            match (state.write_stuck_since, state.in_flight, state.head_since) {
                (Some(since), ..) => {
                    let of_window = settings.write_window.saturating_sub(state.write_waited);
                    (since, settings.write_timeout.min(of_window), Late::Write)
                }
                // Looked at again in due course: the socket may stop taking bytes meanwhile.
                (None, 1.., _) => {
                    return (settings.write_timeout.max(Duration::from_millis(1)), Late::Write);
                }
                (None, 0, Some(since)) => (since, settings.head_timeout, Late::Head),
                (None, 0, None) => (state.idle_since, settings.idle_timeout, Late::Idle),
            };
        ((since + allowed).saturating_sub(self.clock.monotonic()), late)
    }

    fn came(&self) {
        let mut state = self.lock();
        if state.in_flight == 0 && state.head_since.is_none() {
            state.head_since = Some(self.clock.monotonic());
        }
    }

    /// What became of a write: bytes that were taken, or that none can be now.
    fn wrote(&self, polled: &Poll<std::io::Result<usize>>) {
        let mut state = self.lock();
        match polled {
            Poll::Ready(taken) => {
                if let Some(since) = state.write_stuck_since.take() {
                    state.write_waited += self.clock.monotonic().saturating_sub(since);
                }
                state.write_bytes += taken.as_ref().map_or(0, |bytes| *bytes as u64);
                if state.write_bytes >= self.write_min_bytes {
                    (state.write_waited, state.write_bytes) = (Duration::ZERO, 0);
                }
            }
            Poll::Pending if state.write_stuck_since.is_none() => {
                state.write_stuck_since = Some(self.clock.monotonic());
            }
            Poll::Pending => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight: from its head to the end of its answer.
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

/// An answer's body that keeps its request in flight.
pub struct Tracked<B> {
    pub body: Pin<Box<B>>,
    pub _request: InFlight,
}

impl<B: Body<Data = Bytes>> Body for Tracked<B> {
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

/// A socket that reports what goes through it.
pub struct Watched<T> {
    pub socket: T,
    pub activity: Activity,
}

impl<T: Read + Unpin> Read for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        ready!(Pin::new(&mut self.socket).poll_read(cx, buffer))?;
        self.activity.came();
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.activity.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.activity.wrote(&polled);
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
    async fn each_state_has_its_own_time() {
        let clock = Clock::seeded(1);
        let settings = Settings::default();
        let activity = Activity::new(clock.clone(), &settings);
        assert_eq!(activity.time_left(&settings), (settings.idle_timeout, Late::Idle));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(
            activity.time_left(&settings),
            (settings.idle_timeout - Duration::from_secs(5), Late::Idle)
        );
        activity.came();
        assert_eq!(activity.time_left(&settings), (settings.head_timeout, Late::Head));
        let request = activity.request();
        tokio::time::advance(settings.idle_timeout * 2).await;
        assert!(activity.time_left(&settings).0 > Duration::ZERO);
        activity.wrote(&Poll::Pending);
        tokio::time::advance(settings.write_timeout).await;
        assert_eq!(activity.time_left(&settings), (Duration::ZERO, Late::Write));
        activity.wrote(&Poll::Ready(Ok(1 << 20)));
        drop(request);
        assert_eq!(activity.time_left(&settings), (settings.idle_timeout, Late::Idle));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_too_little_of_an_answer_runs_out_of_time() {
        let clock = Clock::seeded(1);
        let settings = Settings { write_min_bytes: 1000, ..Settings::default() };
        let activity = Activity::new(clock.clone(), &settings);
        let _request = activity.request();
        let step = settings.write_timeout / 4;
        let take = async |bytes: usize| {
            activity.wrote(&Poll::Pending);
            tokio::time::advance(step).await;
            let left = activity.time_left(&settings);
            activity.wrote(&Poll::Ready(Ok(bytes)));
            left
        };
        for _ in 0..21 {
            assert!(take(400).await.0 > Duration::ZERO, "400 bytes each 15 s are enough");
        }
        // Time in which nothing was to be sent is not counted.
        tokio::time::advance(settings.write_window * 10).await;
        let late = [take(1).await, take(1).await, take(1).await, take(1).await];
        assert!(late[..3].iter().all(|(left, _)| !left.is_zero()), "{late:?}");
        assert_eq!(late[3], (Duration::ZERO, Late::Write));
    }
}
