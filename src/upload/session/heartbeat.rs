//! Heartbeats of an S3 session: a gateway with parts in flight says so in the root, and says when
//! its client disconnected in the middle of a part.
//!
//! Guarantees: the first heartbeat is written before the first byte of a part goes to the store,
//! unless the last one is younger than [`INTERVAL`]; so a client that resumes late is stopped
//! before it overwrites a part that a successor has taken over, and a session that stores a part
//! of its own takes over no predecessor any more. At most one heartbeat per session,
//! gateway and [`INTERVAL`]. A session for which another gateway has sent a heartbeat is not marked
//! as disconnected. Source: docs/architecture.md#heartbeats.

use std::sync::Mutex;
use std::time::Duration;

use super::super::error::{Error, Result};
use super::{Session, lock};

pub(in crate::upload) const INTERVAL: Duration = Duration::from_secs(10);

/// The heartbeats that this gateway sends for one session.
#[derive(Default)]
pub(in crate::upload) struct Heartbeat {
    /// When the last one was sent, by the monotonic clock, and the count of heartbeats that the
    /// root then had.
    last: Mutex<Option<(Duration, u64)>>,
    /// Held by the part that sends the next one. All parts that find the last one too old wait for
    /// it: none of them may go on without.
    sending: tokio::sync::Mutex<()>,
}

impl Session {
    /// Whether the session needs heartbeats: only an S3 upload can be adopted.
    fn needs_heartbeat(&self) -> bool {
        self.0.shared.settings.resume.enabled && self.root().s3.is_some()
    }

    /// Sends a heartbeat, unless the last one is recent. **Errors**: `NotOpen`.
    pub(in crate::upload) async fn send_heartbeat(&self) -> Result<()> {
        if !self.needs_heartbeat() || self.heartbeat_is_recent() {
            return Ok(());
        }
        // One at a time: sixty-four parts that compete for one document would delay each other for
        // many seconds.
        let _sending = self.0.heartbeat.sending.lock().await;
        if self.heartbeat_is_recent() {
            return Ok(());
        }
        let (now, root) = loop {
            let now = self.now();
            let changed = self
                .change_root(|root| {
                    let may_begin = root.is_open() && root.claim().is_none();
                    if let Some(s3) = &mut root.s3 {
                        s3.predecessors.clear();
                        s3.heartbeats += 1;
                        s3.client_disconnected = false;
                    }
                    may_begin
                })
                .await?;
            match changed {
                Ok(root) => break (now, root.value),
                Err(root) if root.value.claim().is_some() => self.settle_claim().await?,
                Err(root) => return Err(Self::refused(&root.value)),
            }
        };
        let heartbeats = root.s3.as_ref().map_or(0, |s3| s3.heartbeats);
        *lock(&self.0.heartbeat.last) = Some((now, heartbeats));
        Ok(())
    }

    /// Whether this gateway's last heartbeat is recent, and nobody has marked the session as
    /// disconnected since.
    fn heartbeat_is_recent(&self) -> bool {
        let root = self.root();
        let is_disconnected = root.s3.as_ref().is_some_and(|s3| s3.client_disconnected);
        let now = self.now();
        !is_disconnected
            && !root.is_undecided()
            && lock(&self.0.heartbeat.last).is_some_and(|(at, _)| now.saturating_sub(at) < INTERVAL)
    }

    /// Sends heartbeats while `work` goes on. **Errors**: those of `work`; `NotOpen` once the
    /// session is closed.
    pub(in crate::upload) async fn with_heartbeat<T>(
        &self,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        if !self.needs_heartbeat() {
            return work.await;
        }
        self.send_heartbeat().await?;
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                result = work.as_mut() => return result,
                () = self.0.shared.documents.clock.pause(INTERVAL) => {}
            }
            match self.send_heartbeat().await {
                Ok(()) => {}
                Err(error @ (Error::NotOpen { .. } | Error::Busy(_) | Error::NoSuchBackup(_))) => {
                    return Err(error);
                }
                // The store is slow or unavailable: the part itself succeeds or fails.
                Err(error) => {
                    tracing::debug!(backup = self.root().backup_id.as_str(), %error, "a heartbeat was not sent")
                }
            }
        }
    }

    /// The client disconnected in the middle of a part. If nothing else is in flight, the root says
    /// so: a successor need not wait.
    pub async fn client_disconnected(&self) -> Result<()> {
        let last_sent = lock(&self.0.heartbeat.last).map(|(_, heartbeats)| heartbeats);
        let Some(last_sent) =
            last_sent.filter(|_| self.needs_heartbeat() && self.0.in_flight.is_empty())
        else {
            return Ok(());
        };
        // Refused: the session is closed, or another gateway has parts of it in flight.
        let changed = self.change_root(|root| {
            let is_open = root.is_open();
            root.s3.as_mut().is_some_and(|s3| {
                s3.client_disconnected = true;
                is_open && s3.heartbeats == last_sent
            })
        });
        changed.await.map(drop)
    }
}
