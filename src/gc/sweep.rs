//! One sweep: every task for every account, under the lease.
//!
//! Guarantees: bounded memory, bounded pace; a lost lease ends the sweep. With `Mode::Dry` nothing
//! is changed. What is reclaimed, and when, is the tasks' matter: `sessions`, `index_entries` and
//! `blobs`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::clock_jump::ClockJumpGuard;
use super::decide::RetentionLimits;
use super::figures::Figures;
use super::lease::{LEASE_TIMEOUT, SweepLease, SweepPosition};
use super::report::{ReclaimedSession, Report};
use super::{Settings, blobs, index_entries, sessions};
use crate::clock::Clock;
use crate::content::Content;
use crate::names::AccountName;
use crate::records::Documents;
use crate::upload::{Error, Uploads};

pub(super) type Result<T> = std::result::Result<T, Error>;

/// How a sweep is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only if nobody sweeps and the last sweep ended long enough ago.
    Due,
    /// Only if nobody sweeps.
    Now,
    /// Change nothing, and acquire no lease.
    Dry,
}

/// Whether a sweep still holds its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseState {
    Held,
    Lost,
}

/// Sweeps one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sweeper {
    pub(super) uploads: Uploads,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    content: Option<Arc<Content>>,
    limits: RetentionLimits,
    clock_guard: Arc<Mutex<ClockJumpGuard>>,
    pub figures: Figures,
}

/// A sweep that runs.
pub(super) struct Sweep<'a> {
    pub uploads: &'a Uploads,
    pub clock: &'a Clock,
    pub limits: RetentionLimits,
    pub mode: Mode,
    /// The store's time at the start, from which ages are counted.
    pub now: SystemTime,
    pub report: Report,
    sweeper: &'a Sweeper,
    /// None in a dry sweep.
    lease: Option<SweepLease>,
    /// By the monotonic clock.
    renewed_at: Duration,
    /// Where an interrupted sweep stopped.
    start: Option<SweepPosition>,
    on_reclaimed: &'a mut (dyn FnMut(&ReclaimedSession) + Send + Sync),
}

impl Sweeper {
    /// `clock` is the one that `uploads` has.
    pub fn new(uploads: Uploads, clock: Clock, settings: Settings) -> Self {
        let limits = RetentionLimits {
            expire_after: settings.expire_after,
            keep_aborted: uploads.keep_aborted(),
        };
        let clock_guard = Arc::new(Mutex::new(ClockJumpGuard::new(limits.max_age())));
        let figures = Figures::default();
        Self { uploads, clock, settings, content: None, limits, clock_guard, figures }
    }

    /// Sweeps the blobs of this store too, which is the one that `uploads` has.
    #[must_use]
    pub fn with_blobs_of(self, content: Option<Arc<Content>>) -> Self {
        Self { content, ..self }
    }

    /// One sweep; `on_reclaimed` is called for each session of which something is reclaimed. None
    /// if it is not this gateway's turn.
    pub async fn sweep(
        &self,
        mode: Mode,
        mut on_reclaimed: impl FnMut(&ReclaimedSession) + Send + Sync,
    ) -> Result<Option<Report>> {
        let lease = match mode {
            Mode::Dry => None,
            Mode::Due | Mode::Now => {
                let min_pause =
                    if mode == Mode::Due { self.settings.every } else { Duration::ZERO };
                let Some(lease) = SweepLease::acquire(&self.documents(), min_pause).await? else {
                    return Ok(None);
                };
                Some(lease)
            }
        };
        let store_time = match &lease {
            Some(lease) => lease.acquired_at,
            None => self.uploads.store_time().await?,
        };
        let sweep = Sweep {
            uploads: &self.uploads,
            clock: &self.clock,
            limits: self.limits,
            mode,
            now: self.trusted_time(store_time),
            report: Report::default(),
            sweeper: self,
            start: lease.as_ref().and_then(SweepLease::position),
            lease,
            renewed_at: self.clock.monotonic(),
            on_reclaimed: &mut on_reclaimed,
        };
        let swept = sweep.run().await;
        match &swept {
            Ok(report) => self.figures.swept(report, self.clock.unix_seconds()),
            Err(_) => self.figures.interrupted(),
        }
        swept.map(Some)
    }

    /// The documents of the state bucket.
    fn documents(&self) -> Documents {
        Documents {
            store: Arc::clone(self.uploads.store()),
            bucket: self.uploads.state_bucket().clone(),
            clock: self.clock.clone(),
        }
    }

    /// The store's time, less every jump forwards that its clock made while this process ran.
    pub(super) fn trusted_time(&self, store_time: SystemTime) -> SystemTime {
        let monotonic = self.clock.monotonic();
        let mut guard = self.clock_guard.lock().unwrap_or_else(PoisonError::into_inner);
        guard.trusted_time(store_time, monotonic)
    }
}

impl Sweep<'_> {
    /// Each task is safe to interrupt at any point and to run twice at once, and changes nothing in
    /// a dry sweep.
    async fn run(mut self) -> Result<Report> {
        for account in self.uploads.accounts().await? {
            if self.start.as_ref().is_some_and(|start| account < start.account) {
                continue;
            }
            if sessions::sweep_account(&mut self, &account).await? == LeaseState::Lost {
                return Ok(self.report);
            }
            index_entries::sweep_account(&mut self, &account).await?;
            if let Some(content) = &self.sweeper.content {
                blobs::sweep_account(&mut self, content, &account).await?;
            }
        }
        if let Some(lease) = self.lease {
            lease.finish().await?;
        }
        Ok(self.report)
    }

    pub fn is_dry(&self) -> bool {
        self.mode == Mode::Dry
    }

    /// Where an interrupted sweep stopped in the listing of the account's sessions.
    pub fn start_after(&self, account: &AccountName) -> Option<String> {
        self.start.as_ref().filter(|start| start.account == *account)?.after.clone()
    }

    /// As [`Sweeper::trusted_time`].
    pub fn trusted_time(&self, store_time: SystemTime) -> SystemTime {
        self.sweeper.trusted_time(store_time)
    }

    /// Waits for as long as the pace demands before the next session is read.
    pub async fn keep_pace(&self) {
        let per_second = self.sweeper.settings.sessions_per_s.max(1);
        self.clock.pause(Duration::from_secs(1) / per_second).await;
    }

    pub fn reclaimed(&mut self, reclaimed: &ReclaimedSession) {
        self.report.add(reclaimed);
        (self.on_reclaimed)(reclaimed);
    }

    /// Keeps the lease and records that the sweep is at `after` in the account's listing.
    pub async fn renew(
        &mut self,
        account: &AccountName,
        after: Option<&str>,
    ) -> Result<LeaseState> {
        self.renewed_at = self.clock.monotonic();
        let Some(lease) = &mut self.lease else { return Ok(LeaseState::Held) };
        let (account, after) = (account.clone(), after.map(str::to_owned));
        let is_held = lease.renew(SweepPosition { account, after }).await?;
        Ok(if is_held { LeaseState::Held } else { LeaseState::Lost })
    }

    /// As `renew`, if a third of the lease's time has passed since the last renewal.
    pub async fn renew_if_due(
        &mut self,
        account: &AccountName,
        after: Option<&str>,
    ) -> Result<LeaseState> {
        if self.clock.monotonic().saturating_sub(self.renewed_at) < LEASE_TIMEOUT / 3 {
            return Ok(LeaseState::Held);
        }
        self.renew(account, after).await
    }
}
