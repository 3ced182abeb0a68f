//! The sweep: all records of all accounts, page by page, each session judged and dealt with.
//!
//! Guarantees: bounded memory, bounded pace; a session that fails is said and passed over; a lease
//! that is lost ends the sweep. With `Mode::Dry` nothing is changed. It does not judge: `decide`
//! does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::Settings;
use super::decide::{Fate, SETTLE, Terms, fate};
use super::lease::{Lease, Place, TERM};
use super::watch::Watch;
use crate::clock::Clock;
use crate::store::{Bucket, Store};
use crate::upload::{Error, Retention, Root, SessionRecords, Status, Uploads};

/// How a sweep goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only if nobody sweeps and the last sweep ended long enough ago.
    Due,
    /// Only if nobody sweeps.
    Now,
    /// Nothing is changed, and no lease taken.
    Dry,
}

/// What became of a session, or would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Swept {
    pub account: String,
    pub backup_id: String,
    /// Empty where there was no root to say it.
    pub bucket: String,
    pub key: String,
    /// `expire`, `free`, `forget`, `unstage`, `orphan`.
    pub action: &'static str,
    /// Since when nothing was written of it.
    #[serde(rename = "idleSeconds", serialize_with = "in_seconds")]
    pub idle: Duration,
    /// Of parts and staged chunks.
    pub bytes: u64,
}

fn in_seconds<S: Serializer>(
    idle: &Duration,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_u64(idle.as_secs())
}

/// What a sweep did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Sessions that were seen, and those that failed.
    pub seen: u64,
    pub failed: u64,
    /// By action.
    pub actions: BTreeMap<&'static str, u64>,
    pub bytes: u64,
    /// Entries that named nothing open.
    pub entries: u64,
}

/// Sweeps one store.
#[derive(Clone, Debug)]
pub struct Sweeper {
    uploads: Uploads,
    bucket: Bucket,
    clock: Clock,
    settings: Settings,
    terms: Terms,
    watch: Arc<Mutex<Watch>>,
}

/// A gateway that has just started sweeps nothing: what its store's clock did before is unknown,
/// and whoever was cut off by the end of the last one comes back first.
const FIRST: Duration = Duration::from_secs(3600);

type Result<T> = std::result::Result<T, Error>;

impl Sweeper {
    /// `state_bucket` and `keep_aborted` as the uploads have them.
    pub fn new(uploads: Uploads, clock: Clock, settings: Settings) -> Self {
        let bucket = uploads.state_bucket().clone();
        let terms =
            Terms { expire_after: settings.expire_after, keep_aborted: uploads.keep_aborted() };
        let watch = Arc::new(Mutex::new(Watch::new(
            settings.expire_after.max(uploads.keep_aborted()).max(SETTLE),
        )));
        Self { uploads, bucket, clock, settings, terms, watch }
    }

    /// Sweeps whenever it is due, for ever. **Cancel**: safe at any point; the next sweep carries
    /// on.
    pub async fn run(&self) {
        if !self.settings.enabled {
            return std::future::pending().await;
        }
        loop {
            match self.watch_and_sweep().await {
                Ok(None) => {}
                Ok(Some(report)) if report.actions.is_empty() && report.entries == 0 => {
                    tracing::debug!(seen = report.seen, "swept: nothing to do");
                }
                Ok(Some(report)) => {
                    let Report { seen, failed, bytes, entries, actions } = report;
                    tracing::info!(seen, failed, bytes, entries, ?actions, "swept");
                }
                Err(error) => tracing::warn!(%error, "a sweep was cut off; the next one goes on"),
            }
            // Others may sweep; so look again sooner than a sweep is due, and not all at the same
            // time.
            let most = self.settings.every.min(TERM);
            self.clock.pause(most / 2 + self.clock.jitter(most / 2)).await;
        }
    }

    async fn watch_and_sweep(&self) -> Result<Option<Report>> {
        self.look(self.uploads.store_time().await?);
        if self.clock.monotonic() < FIRST.min(self.settings.expire_after) {
            return Ok(None);
        }
        self.sweep(Mode::Due, |_| ()).await
    }

    /// What time it is to the store, less what its clock jumped forwards before our eyes.
    fn look(&self, store_time: SystemTime) -> SystemTime {
        let own = self.clock.monotonic();
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).look(store_time, own)
    }

    /// One sweep; `tell` hears of each session that something becomes of. None where it is not this
    /// gateway's turn.
    pub async fn sweep(&self, mode: Mode, mut tell: impl FnMut(&Swept)) -> Result<Option<Report>> {
        let store: &dyn Store = self.uploads.store().as_ref();
        let failed = |error| Error::store("taking the lease of sweeps", error);
        let mut lease = match mode {
            Mode::Dry => None,
            Mode::Due | Mode::Now => {
                let rest = if mode == Mode::Due { self.settings.every } else { Duration::ZERO };
                let taken = Lease::take(store, &self.bucket, &self.clock.random_id(), rest)
                    .await
                    .map_err(failed)?;
                let Some(lease) = taken else { return Ok(None) };
                Some(lease)
            }
        };
        let now = self.look(match &lease {
            Some(lease) => lease.taken_at,
            None => self.uploads.store_time().await?,
        });
        let mut report = Report::default();
        let start = lease.as_ref().and_then(Lease::place);
        let mut renewed = self.clock.monotonic();
        for account in self.uploads.accounts().await? {
            if start.as_ref().is_some_and(|start| account < start.account) {
                continue;
            }
            let mut after = start
                .as_ref()
                .filter(|start| start.account == account)
                .and_then(|start| start.after.clone());
            loop {
                let page = self.uploads.session_records(&account, after.clone()).await?;
                for traces in &page.sessions {
                    self.one(traces, now, mode, &mut report, &mut tell).await;
                    if self.clock.monotonic().saturating_sub(renewed) < TERM / 3 {
                        continue;
                    }
                    renewed = self.clock.monotonic();
                    // From this page's beginning: what is dealt with is soon passed over.
                    let place = Place { account: account.clone(), after: after.clone() };
                    if !self.renew(&mut lease, Some(place)).await? {
                        return Ok(Some(report));
                    }
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
                let place = Place { account: account.clone(), after: after.clone() };
                if !self.renew(&mut lease, Some(place)).await? {
                    return Ok(Some(report));
                }
            }
            let before = now.checked_sub(self.terms.expire_after).unwrap_or(SystemTime::UNIX_EPOCH);
            report.entries +=
                self.uploads.reclaim_entries(&account, before, mode == Mode::Dry).await?;
        }
        self.renew(&mut lease, None).await?;
        Ok(Some(report))
    }

    async fn renew(&self, lease: &mut Option<Lease<'_>>, place: Option<Place>) -> Result<bool> {
        let Some(lease) = lease else { return Ok(true) };
        let kept = lease.renew(place, &self.clock.random_id()).await;
        kept.map_err(|error| Error::store("keeping the lease of sweeps", error))
    }

    /// Judges one session and does what is to be done.
    async fn one(
        &self,
        traces: &SessionRecords,
        now: SystemTime,
        mode: Mode,
        report: &mut Report,
        tell: &mut impl FnMut(&Swept),
    ) {
        report.seen += 1;
        let idle = now.duration_since(traces.newest).unwrap_or_default();
        if idle < self.terms.least() {
            return;
        }
        // Only those that are read cost the store anything.
        self.clock.pause(Duration::from_secs(1) / self.settings.sessions_per_s.max(1)).await;
        match self.judge(traces, idle, mode).await {
            // Not there: this sweep was held up for so long that another one forgot it.
            Ok(None) | Err(Error::NoSuchBackup(_)) => {}
            Ok(Some(swept)) => {
                *report.actions.entry(swept.action).or_default() += 1;
                report.bytes += swept.bytes;
                tell(&swept);
            }
            Err(error) => {
                report.failed += 1;
                tracing::warn!(account = traces.account, backup = traces.backup_id, %error, "a session was not swept");
            }
        }
    }

    async fn judge(
        &self,
        traces: &SessionRecords,
        idle: Duration,
        mode: Mode,
    ) -> Result<Option<Swept>> {
        let Some(root) = self.uploads.root_of(&traces.account, &traces.backup_id).await? else {
            return self.orphan(traces, idle, mode).await;
        };
        let tie = if idle >= self.terms.expire_after {
            self.uploads.retention(&root).await?
        } else {
            Retention::Successor
        };
        let fate = fate(&root.status, idle, tie, self.terms);
        let (action, frees) = match fate {
            Fate::Keep if traces.staged > 0 && matches!(root.status, Status::Complete { .. }) => {
                ("unstage", false)
            }
            Fate::Keep => return Ok(None),
            Fate::Expire => ("expire", true),
            Fate::Free => ("free", true),
            Fate::Forget => ("forget", false),
        };
        let parts = if frees { self.uploads.part_bytes(&root).await? } else { 0 };
        let swept = Swept {
            account: root.account.clone(),
            backup_id: root.backup_id.clone(),
            bucket: root.bucket.clone(),
            key: root.key.clone(),
            action,
            idle,
            bytes: parts + traces.staged_bytes,
        };
        if mode != Mode::Dry && !self.act(&root, fate).await? {
            return Ok(None);
        }
        Ok(Some(swept))
    }

    /// False where it has come to life meanwhile, or is not free yet.
    async fn act(&self, root: &Root, fate: Fate) -> Result<bool> {
        match fate {
            Fate::Keep => self.uploads.delete_staged(root).await.map(|()| true),
            Fate::Free => self.uploads.free(root).await,
            Fate::Forget => self.uploads.forget(root).await.map(|()| true),
            Fate::Expire => {
                let limit = if root.status.is_unfinished() {
                    self.terms.expire_after
                } else {
                    self.terms.keep_aborted
                };
                let Some((newest, now)) = self.uploads.last_written(root).await? else {
                    return Ok(false);
                };
                if self.look(now).duration_since(newest).unwrap_or_default() < limit {
                    return Ok(false);
                }
                let reason = format!("idle for {} s", limit.as_secs());
                match self.uploads.expire(root, &reason).await {
                    // It was finished or handed over at the last moment.
                    Err(Error::NotOpen { .. }) => Ok(false),
                    other => other.map(|()| true),
                }
            }
        }
    }

    /// Records without a root: what a late writer left behind a forgotten session.
    async fn orphan(
        &self,
        traces: &SessionRecords,
        idle: Duration,
        mode: Mode,
    ) -> Result<Option<Swept>> {
        if idle < self.terms.expire_after {
            return Ok(None);
        }
        if mode != Mode::Dry {
            self.uploads.forget_records(&traces.account, &traces.backup_id).await?;
        }
        Ok(Some(Swept {
            account: traces.account.clone(),
            backup_id: traces.backup_id.clone(),
            bucket: String::new(),
            key: String::new(),
            action: "orphan",
            idle,
            bytes: traces.staged_bytes,
        }))
    }
}
