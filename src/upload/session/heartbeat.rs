//! Signs of life of an S3 session: a gateway with parts in flight says so in the root, and says
//! when its client hung up in mid-part.
//!
//! Guarantees: the first sign comes before the first byte of a part goes to the store unless the
//! last is younger than [`INTERVAL`], so that a client that wakes up late is refused before it
//! overwrites a part that a successor has taken over; at most one sign per session, gateway and
//! [`INTERVAL`]. A session that another gateway has spoken for is not declared left. Source: DESIGN
//! §7, *Who may write parts*.

use std::sync::Mutex;
use std::time::Duration;

use super::super::error::{Error, Result};
use super::{Session, lock};

pub(in crate::upload) const INTERVAL: Duration = Duration::from_secs(10);

/// When this gateway gave its last sign for a session, and the count that it made.
#[derive(Default)]
pub(in crate::upload) struct Heartbeat {
    last: Mutex<Option<(Duration, u64)>>,
    /// Who gives the next one. All parts that find the last one stale wait for it: none of them may
    /// go on without.
    sending: tokio::sync::Mutex<()>,
}

impl Session {
    /// Whether signs of life matter for this session at all: only an S3 upload can be adopted.
    fn needs_heartbeat(&self) -> bool {
        self.0.shared.settings.resume.enabled && self.root().s3.is_some()
    }

    /// Gives a sign of life, if the last is not fresh. **Errors**: `NotOpen`.
    pub(in crate::upload) async fn send_heartbeat(&self) -> Result<()> {
        if !self.needs_heartbeat() || self.heartbeat_is_recent() {
            return Ok(());
        }
        // Sixty-four parts that compete for one record would keep each other from it for many
        // seconds.
        let _turn = self.0.heartbeat.sending.lock().await;
        if self.heartbeat_is_recent() {
            return Ok(());
        }
        let now = self.now();
        let changed = self
            .change_root(|root| {
                let open = root.is_open();
                if let Some(s3) = &mut root.s3 {
                    s3.heartbeats += 1;
                    s3.client_disconnected = false;
                }
                open
            })
            .await?;
        let root = changed.map_err(|root| Self::not_open(&root.value))?.value;
        let beats = root.s3.as_ref().map_or(0, |s3| s3.heartbeats);
        *lock(&self.0.heartbeat.last) = Some((now, beats));
        Ok(())
    }

    /// Whether the last sign of this gateway is fresh, and none has said since that the client
    /// left.
    fn heartbeat_is_recent(&self) -> bool {
        let left = self.root().s3.as_ref().is_some_and(|s3| s3.client_disconnected);
        let now = self.now();
        !left
            && lock(&self.0.heartbeat.last).is_some_and(|(at, _)| now.saturating_sub(at) < INTERVAL)
    }

    /// Gives signs of life while `work` goes on. **Errors**: those of `work`; `NotOpen` once the
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
                done = work.as_mut() => return done,
                () = self.0.shared.documents.clock.pause(INTERVAL) => {}
            }
            match self.send_heartbeat().await {
                Ok(()) => {}
                Err(error @ (Error::NotOpen { .. } | Error::NoSuchBackup(_))) => return Err(error),
                // The store is slow or away: the part itself will tell.
                Err(error) => {
                    tracing::debug!(backup = self.root().backup_id, %error, "a sign of life was not given")
                }
            }
        }
    }

    /// The client hung up in mid-part. Where nothing else is in flight, the root says so: a
    /// successor need not wait.
    pub async fn client_disconnected(&self) -> Result<()> {
        let ours = lock(&self.0.heartbeat.last).map(|(_, beats)| beats);
        let Some(ours) = ours.filter(|_| self.needs_heartbeat() && self.0.in_flight.is_empty())
        else {
            return Ok(());
        };
        // Lost: it is closed, or another gateway has parts of it in flight.
        let left = self.change_root(|root| {
            let open = root.is_open();
            root.s3.as_mut().is_some_and(|s3| {
                s3.client_disconnected = true;
                open && s3.heartbeats == ours
            })
        });
        left.await.map(drop)
    }
}
