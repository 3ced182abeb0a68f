//! Notices that a connection has fallen silent.
//!
//! Guarantees: a connection on which bytes move is never silent, however slow it is. What the
//! system has taken to send may take as long again as it took to hand it over.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::client::Progress;
use crate::clock::Clock;

/// How long no byte may move.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(30);
/// The same while the gateway works on what may take minutes.
pub(super) const MAX_LONG_SILENCE: Duration = Duration::from_secs(300);

/// The size of the pieces in which a body is handed over.
const FRAME_BYTES: usize = 16 << 10;
/// About as much as the system and the HTTP library hold back of a body at most.
const MAX_BUFFERED_BYTES: u32 = 4 << 20;
/// The slowest link for which the first of these bytes are waited for.
const SLOWEST_BYTES_PER_SECOND: u32 = 16 << 10;
/// About as much as they take at once.
const TAKEN_AT_ONCE_BYTES: u32 = 512 << 10;

/// When a byte last moved, and how long none may.
#[derive(Debug)]
pub(super) struct Activity {
    clock: Clock,
    started: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    last: Duration,
    allowed: Duration,
}

impl Activity {
    pub fn start(clock: Clock, allowed: Duration) -> Arc<Self> {
        let started = clock.monotonic();
        Arc::new(Self { clock, started, state: Mutex::new(State { last: started, allowed }) })
    }

    /// A byte has moved.
    pub fn moved(&self) {
        let now = self.clock.monotonic();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).last = now;
    }

    /// A body of this length was handed over completely.
    fn handed_over(&self, len_bytes: usize) {
        let len = u32::try_from(len_bytes).unwrap_or(u32::MAX).max(1);
        let took = self.clock.monotonic().saturating_sub(self.started);
        let of_buffered = took.mul_f64(f64::from(MAX_BUFFERED_BYTES.min(len)) / f64::from(len));
        let at_once =
            Duration::from_secs(1) * len.min(TAKEN_AT_ONCE_BYTES) / SLOWEST_BYTES_PER_SECOND;
        self.moved();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).allowed += of_buffered + at_once;
    }

    /// The response has begun: what was sent has arrived.
    pub fn responded(&self, allowed: Duration) {
        self.moved();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).allowed = allowed;
    }

    /// Returns once no byte has moved for too long. Returns for how long.
    pub async fn silence(&self) -> Duration {
        loop {
            let State { last, allowed } =
                *self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let quiet = self.clock.monotonic().saturating_sub(last);
            match allowed.checked_sub(quiet) {
                Some(rest) if !rest.is_zero() => self.clock.pause(rest).await,
                _ => return quiet,
            }
        }
    }
}

/// A body in memory that notes when its bytes are taken.
pub(super) struct NotedBody {
    rest: Bytes,
    len_bytes: usize,
    activity: Arc<Activity>,
    progress: Progress,
}

impl NotedBody {
    pub fn new(bytes: Bytes, activity: Arc<Activity>, progress: Progress) -> Self {
        Self { len_bytes: bytes.len(), rest: bytes, activity, progress }
    }
}

impl Body for NotedBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let len = FRAME_BYTES.min(self.rest.len());
        let frame = self.rest.split_to(len);
        self.progress.add_wire(len as u64);
        if self.rest.is_empty() {
            self.activity.handed_over(self.len_bytes);
        } else {
            self.activity.moved();
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_byte() {
        let clock = Clock::seeded(1);
        let activity = Activity::start(clock.clone(), MAX_SILENCE);
        clock.pause(Duration::from_secs(20)).await;
        activity.moved();
        assert_eq!(activity.silence().await.as_secs(), MAX_SILENCE.as_secs());
        assert_eq!(clock.monotonic().as_secs(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_taken_slowly_may_be_sent_slowly() {
        let clock = Clock::seeded(1);
        let activity = Activity::start(clock.clone(), MAX_SILENCE);
        clock.pause(Duration::from_secs(100)).await;
        activity.handed_over(8 << 20);
        // Half of it may still be on its way, and half of a mebibyte was taken at once.
        assert_eq!(activity.silence().await.as_secs(), 30 + 50 + 32);
        activity.responded(MAX_SILENCE);
        assert_eq!(activity.silence().await.as_secs(), 30);
    }
}
