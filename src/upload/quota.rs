//! How many sessions an account may have open, and about how many it has.
//!
//! Guarantees: a create is refused only if the last count, which is then not older than
//! [`RECOUNT_AFTER`], and what this gateway opened and ended since say that the quota is reached; a
//! create waits for a count only at the quota. One count of an account runs at a time, and none
//! lists more keys than the quota has. No lock is held across a store call. There is one tally per
//! account that began a session here, so no more than there are accounts in the settings. The
//! tally is approximate: what other gateways do is seen at the next count, and what happens while a
//! count runs may be counted twice until then. Sessions opened and ended here are counted when
//! their roots change; a count takes the entries of the index of open sessions.
//! **Errors**: `QuotaExceeded`. Source: docs/architecture.md#quota-of-open-sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::names::AccountName;
use crate::store::ListOptions;

use super::error::{Error, Result};
use super::layout;
use super::session::lock;
use super::uploads::{Shared, Uploads};

/// The first create after this long starts a new count.
const COUNT_AFTER: Duration = Duration::from_secs(600);
/// At the quota a create starts a new count and waits for it, at most this often.
const RECOUNT_AFTER: Duration = Duration::from_secs(5);
/// The most keys of a store's page.
const MAX_LISTED: u64 = 1000;

/// The tallies of all accounts.
#[derive(Debug)]
pub(super) struct Quota {
    /// The most open sessions of one account.
    max_open: u64,
    tallies: Mutex<HashMap<AccountName, Tally>>,
}

/// About how many sessions of one account are open.
#[derive(Debug, Default)]
struct Tally {
    /// The result of the last count; 0 before the first one.
    counted: u64,
    /// Sessions opened here less those ended here, since the last count began.
    change_since: i64,
    running_count: Option<RunningCount>,
    /// When the last count began, by the monotonic clock.
    counted_at: Option<Duration>,
    /// When the last count began for which a create waited.
    recounted_at: Option<Duration>,
}

#[derive(Debug)]
struct RunningCount {
    /// As `Tally::change_since`, since this count began.
    change_since: i64,
    /// Closes when the count has ended.
    ended: watch::Receiver<()>,
}

/// What a create does next. If there is a sender, the create starts the count and passes it on.
enum Step {
    Admit,
    /// Go on, while the sessions are counted in the background.
    AdmitAndCount(watch::Sender<()>),
    /// Wait for the count.
    Wait(watch::Receiver<()>, Option<watch::Sender<()>>),
    Refuse,
}

/// Counts one more session in the tally until its root is written or its create fails.
pub(super) struct Reservation {
    shared: Arc<Shared>,
    account: AccountName,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shared.quota.add(&self.account, -1);
    }
}

impl Tally {
    fn estimate(&self) -> u64 {
        self.counted.saturating_add_signed(self.change_since)
    }

    fn add(&mut self, sessions: i64) {
        self.change_since += sessions;
        if let Some(running) = &mut self.running_count {
            running.change_since += sessions;
        }
    }

    fn start_count(&mut self, now: Duration) -> (watch::Sender<()>, watch::Receiver<()>) {
        let (sender, ended) = watch::channel(());
        self.running_count = Some(RunningCount { change_since: 0, ended: ended.clone() });
        self.counted_at = Some(now);
        (sender, ended)
    }

    fn step(&mut self, max_open: u64, now: Duration, has_waited: bool) -> Step {
        let is_due =
            |at: Option<Duration>, limit| at.is_none_or(|at| now.saturating_sub(at) >= limit);
        if self.estimate() < max_open {
            let counts = self.running_count.is_none() && is_due(self.counted_at, COUNT_AFTER);
            let step =
                if counts { Step::AdmitAndCount(self.start_count(now).0) } else { Step::Admit };
            self.add(1);
            return step;
        }
        match &self.running_count {
            _ if has_waited => Step::Refuse,
            Some(running) => Step::Wait(running.ended.clone(), None),
            None if is_due(self.recounted_at, RECOUNT_AFTER) => {
                self.recounted_at = Some(now);
                let (sender, ended) = self.start_count(now);
                Step::Wait(ended, Some(sender))
            }
            None => Step::Refuse,
        }
    }

    /// Takes the result of a count; None if it failed.
    fn end_count(&mut self, counted: Option<u64>) {
        let running = self.running_count.take();
        match counted {
            Some(counted) => {
                self.counted = counted;
                self.change_since = running.map_or(0, |running| running.change_since);
            }
            // The next create starts another count.
            None => self.counted_at = None,
        }
    }
}

impl Quota {
    pub fn new(max_open: u64) -> Self {
        Self { max_open, tallies: Mutex::default() }
    }

    /// Of all accounts of which there is a tally.
    pub fn open_sessions(&self) -> u64 {
        lock(&self.tallies).values().map(Tally::estimate).sum()
    }

    fn step(&self, account: &AccountName, now: Duration, has_waited: bool) -> Step {
        let mut tallies = lock(&self.tallies);
        tallies.entry(account.clone()).or_default().step(self.max_open, now, has_waited)
    }

    /// None if the account has begun nothing here: its first count will include everything.
    fn with_tally<T>(&self, account: &AccountName, act: impl FnOnce(&mut Tally) -> T) -> Option<T> {
        lock(&self.tallies).get_mut(account).map(act)
    }

    fn add(&self, account: &AccountName, sessions: i64) {
        self.with_tally(account, |tally| tally.add(sessions));
    }

    /// A session's root was written.
    pub fn session_opened(&self, account: &AccountName) {
        self.add(account, 1);
    }

    /// A session's root no longer says that it is open, or the root is gone.
    pub fn session_ended(&self, account: &AccountName) {
        self.add(account, -1);
    }
}

impl Uploads {
    /// Reserves one more session of the account. **Errors**: `QuotaExceeded`.
    pub(super) async fn reserve(&self, account: &AccountName) -> Result<Reservation> {
        let (quota, clock) = (&self.shared.quota, &self.documents().clock);
        let mut has_waited = false;
        loop {
            let step = quota.step(account, clock.monotonic(), has_waited);
            match step {
                Step::Admit => {}
                Step::AdmitAndCount(sender) => self.spawn_count(account, sender),
                Step::Refuse => {
                    return Err(Error::QuotaExceeded {
                        account: account.clone(),
                        max_open: quota.max_open,
                    });
                }
                Step::Wait(mut ended, sender) => {
                    if let Some(sender) = sender {
                        self.spawn_count(account, sender);
                    }
                    // Nothing is ever sent: an error means that the count has ended.
                    ended.changed().await.ok();
                    has_waited = true;
                    continue;
                }
            }
            let (shared, account) = (Arc::clone(&self.shared), account.clone());
            return Ok(Reservation { shared, account });
        }
    }

    /// `reservation`, or a new one if there is none yet. **Errors**: `QuotaExceeded`.
    pub(super) async fn reserve_once(
        &self,
        account: &AccountName,
        reservation: Option<Reservation>,
    ) -> Result<Reservation> {
        match reservation {
            Some(reservation) => Ok(reservation),
            None => self.reserve(account).await,
        }
    }

    /// Whether more than half of the account's quota is used, as far as this gateway knows.
    pub fn is_crowded(&self, account: &AccountName) -> bool {
        let quota = &self.shared.quota;
        quota
            .with_tally(account, |tally| tally.estimate())
            .is_some_and(|open| open.saturating_mul(2) > quota.max_open)
    }

    /// Counts the account's open sessions in the background. The end of `sender` wakes those who
    /// wait for the count.
    fn spawn_count(&self, account: &AccountName, sender: watch::Sender<()>) {
        let (shared, account) = (Arc::clone(&self.shared), account.clone());
        tokio::spawn(async move {
            let counted = count(&shared, &account).await;
            if let Err(error) = &counted {
                tracing::warn!(account = account.as_str(), %error, "the open uploads of an account were not counted");
            }
            shared.quota.with_tally(&account, |tally| tally.end_count(counted.ok()));
            drop(sender);
        });
    }
}

/// The number of entries of the account's index of open sessions. Counts no further than one more
/// than the quota.
async fn count(shared: &Shared, account: &AccountName) -> Result<u64> {
    let max_count = shared.quota.max_open.saturating_add(1);
    let mut options = ListOptions { prefix: layout::open_index(account), ..ListOptions::default() };
    let mut counted = 0;
    loop {
        options.limit = usize::try_from((max_count - counted).min(MAX_LISTED)).unwrap_or(1);
        let page = shared.documents.list(&options).await?;
        counted += page.objects.len() as u64;
        match page.next.filter(|_| counted < max_count) {
            Some(next) => options.continue_at(next),
            None => return Ok(counted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_create_starts_a_count_and_is_admitted() {
        let mut tally = Tally::default();
        assert!(matches!(tally.step(2, SECOND, false), Step::AdmitAndCount(_)));
        assert!(matches!(tally.step(2, SECOND, false), Step::Admit), "one count at a time");
        assert!(
            matches!(tally.step(2, SECOND, false), Step::Wait(_, None)),
            "sessions that were begun here are counted at once"
        );
        tally.end_count(Some(0));
        assert_eq!(
            tally.estimate(),
            2,
            "the count may or may not include those that were begun during it"
        );
        assert!(matches!(tally.step(9, COUNT_AFTER, false), Step::Admit));
        assert!(matches!(tally.step(9, COUNT_AFTER + SECOND, false), Step::AdmitAndCount(_)));
        tally.end_count(None);
        assert!(
            matches!(tally.step(9, COUNT_AFTER + SECOND, false), Step::AdmitAndCount(_)),
            "a count that failed is repeated"
        );
    }

    #[test]
    fn at_the_quota_sessions_are_counted_again_but_not_too_often() {
        let mut tally = Tally { counted: 2, counted_at: Some(SECOND), ..Tally::default() };
        assert!(matches!(tally.step(2, SECOND, false), Step::Wait(_, Some(_))));
        assert!(
            matches!(tally.step(2, SECOND, false), Step::Wait(_, None)),
            "the second create waits for the same count"
        );
        tally.end_count(Some(2));
        assert!(matches!(tally.step(2, SECOND, true), Step::Refuse));
        assert!(matches!(tally.step(2, 2 * SECOND, false), Step::Refuse));
        tally.add(-1);
        assert!(matches!(tally.step(2, 2 * SECOND, false), Step::Admit), "one session was ended");
        assert!(matches!(tally.step(2, 3 * SECOND, false), Step::Refuse));
        assert!(matches!(tally.step(2, 7 * SECOND, false), Step::Wait(_, Some(_))));
        tally.end_count(Some(0));
        assert!(matches!(tally.step(2, 7 * SECOND, true), Step::Admit));
    }
}
