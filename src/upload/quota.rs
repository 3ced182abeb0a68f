//! How many sessions an account may have open, and about how many it has.
//!
//! Guarantees: a create is refused only where the count, which is then not older than [`RECOUNT`],
//! and what this gateway opened and ended since say that the quota is reached; it waits for a count
//! only then. One count of an account runs at a time, and none lists more keys than the quota has.
//! No lock is held across a store call. There is one tally per account that ever began a session
//! here: no more than the settings have. It is approximate: what other gateways do is seen at the
//! next count, and what happens while a count runs may be counted twice until then. Sessions are
//! counted as their roots say; a count takes the entries of the index of open ones.
//! **Errors**: `QuotaExceeded`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use crate::store::ListOptions;

use super::error::{Error, Result};
use super::layout;
use super::session::lock;
use super::uploads::{Shared, Uploads};

/// A count is renewed by the first create after this long.
const COUNT: Duration = Duration::from_secs(600);
/// At the quota a create has them counted again, at most this often.
const RECOUNT: Duration = Duration::from_secs(5);
/// The most keys of a store's page.
const MAX_LISTED: u64 = 1000;

/// The tallies of all accounts.
#[derive(Debug)]
pub(super) struct Quota {
    /// Sessions of one account.
    most: u64,
    tallies: Mutex<HashMap<String, Tally>>,
}

#[derive(Debug, Default)]
struct Tally {
    /// What the newest count found; 0 before the first one.
    found: u64,
    /// Opened here less ended here since the newest count began.
    since: i64,
    running: Option<Running>,
    /// When the newest count began, and the newest for which a create waited.
    counted_at: Option<Duration>,
    recounted_at: Option<Duration>,
}

#[derive(Debug)]
struct Running {
    /// As `Tally::since`, since this count began.
    since: i64,
    /// Closes when the count has ended.
    ended: watch::Receiver<()>,
}

/// What a create does next.
enum Step {
    Go,
    /// Go on, and have them counted meanwhile.
    GoAndCount(watch::Sender<()>),
    /// Wait for the count, after starting it where a sender says so.
    Wait(watch::Receiver<()>, Option<watch::Sender<()>>),
    Refuse,
}

/// Room for one more session, until its root is written or its create fails.
pub(super) struct Place {
    shared: Arc<Shared>,
    account: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.quota.add(&self.account, -1);
    }
}

impl Tally {
    fn estimate(&self) -> u64 {
        self.found.saturating_add_signed(self.since)
    }

    fn add(&mut self, sessions: i64) {
        self.since += sessions;
        if let Some(running) = &mut self.running {
            running.since += sessions;
        }
    }

    fn start(&mut self, now: Duration) -> (watch::Sender<()>, watch::Receiver<()>) {
        let (sender, ended) = watch::channel(());
        self.running = Some(Running { since: 0, ended: ended.clone() });
        self.counted_at = Some(now);
        (sender, ended)
    }

    fn step(&mut self, most: u64, now: Duration, waited: bool) -> Step {
        let older =
            |at: Option<Duration>, limit| at.is_none_or(|at| now.saturating_sub(at) >= limit);
        if self.estimate() < most {
            let counts = self.running.is_none() && older(self.counted_at, COUNT);
            let step = if counts { Step::GoAndCount(self.start(now).0) } else { Step::Go };
            self.add(1);
            return step;
        }
        match &self.running {
            _ if waited => Step::Refuse,
            Some(running) => Step::Wait(running.ended.clone(), None),
            None if older(self.recounted_at, RECOUNT) => {
                self.recounted_at = Some(now);
                let (sender, ended) = self.start(now);
                Step::Wait(ended, Some(sender))
            }
            None => Step::Refuse,
        }
    }

    /// Takes in what a count found; None where it failed.
    fn counted(&mut self, found: Option<u64>) {
        let running = self.running.take();
        match found {
            Some(found) => {
                self.found = found;
                self.since = running.map_or(0, |running| running.since);
            }
            // The next create tries again.
            None => self.counted_at = None,
        }
    }
}

impl Quota {
    pub fn new(most: u64) -> Self {
        Self { most, tallies: Mutex::default() }
    }

    fn step(&self, account: &str, now: Duration, waited: bool) -> Step {
        lock(&self.tallies).entry(account.to_owned()).or_default().step(self.most, now, waited)
    }

    /// None where the account has begun nothing here: its first count will say all.
    fn with<T>(&self, account: &str, act: impl FnOnce(&mut Tally) -> T) -> Option<T> {
        lock(&self.tallies).get_mut(account).map(act)
    }

    fn add(&self, account: &str, sessions: i64) {
        self.with(account, |tally| tally.add(sessions));
    }

    /// A session's root was written.
    pub fn session_opened(&self, account: &str) {
        self.add(account, 1);
    }

    /// A session's root says that it is no longer open, or is gone.
    pub fn session_ended(&self, account: &str) {
        self.add(account, -1);
    }
}

impl Uploads {
    /// Room for one more session of the account. **Errors**: `QuotaExceeded`.
    pub(super) async fn admit(&self, account: &str) -> Result<Place> {
        let (quota, clock) = (&self.shared.quota, &self.documents().clock);
        let mut waited = false;
        loop {
            let step = quota.step(account, clock.monotonic(), waited);
            match step {
                Step::Go => {}
                Step::GoAndCount(sender) => self.count_aside(account, sender),
                Step::Refuse => {
                    return Err(Error::QuotaExceeded {
                        account: account.to_owned(),
                        most: quota.most,
                    });
                }
                Step::Wait(mut ended, sender) => {
                    if let Some(sender) = sender {
                        self.count_aside(account, sender);
                    }
                    // Nothing is ever sent: an error means that the count has ended.
                    ended.changed().await.ok();
                    waited = true;
                    continue;
                }
            }
            return Ok(Place { shared: Arc::clone(&self.shared), account: account.to_owned() });
        }
    }

    /// As `admit`, where there is no place yet.
    pub(super) async fn admitted(&self, account: &str, place: Option<Place>) -> Result<Place> {
        match place {
            Some(place) => Ok(place),
            None => self.admit(account).await,
        }
    }

    /// Whether more than half of the account's quota is taken, as far as is known.
    pub fn is_crowded(&self, account: &str) -> bool {
        let quota = &self.shared.quota;
        quota
            .with(account, |tally| tally.estimate())
            .is_some_and(|open| open.saturating_mul(2) > quota.most)
    }

    /// Counts the account's open sessions; whoever waits is told by the end of `sender`.
    fn count_aside(&self, account: &str, sender: watch::Sender<()>) {
        let (shared, account) = (Arc::clone(&self.shared), account.to_owned());
        tokio::spawn(async move {
            let found = count(&shared, &account).await;
            if let Err(error) = &found {
                tracing::warn!(account, %error, "the open uploads of an account were not counted");
            }
            shared.quota.with(&account, |tally| tally.counted(found.ok()));
            drop(sender);
        });
    }
}

/// The entries of the account's index of open sessions, as far as the quota and one more.
async fn count(shared: &Shared, account: &str) -> Result<u64> {
    let most = shared.quota.most.saturating_add(1);
    let mut options = ListOptions { prefix: layout::open_index(account), ..ListOptions::default() };
    let mut found = 0;
    loop {
        options.limit = usize::try_from((most - found).min(MAX_LISTED)).unwrap_or(1);
        let page = shared.documents.list(&options).await?;
        found += page.objects.len() as u64;
        if page.next.is_none() || found >= most {
            return Ok(found);
        }
        options.after = page.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_create_has_them_counted_and_goes_on() {
        let mut tally = Tally::default();
        assert!(matches!(tally.step(2, SECOND, false), Step::GoAndCount(_)));
        assert!(matches!(tally.step(2, SECOND, false), Step::Go), "one count at a time");
        assert!(
            matches!(tally.step(2, SECOND, false), Step::Wait(_, None)),
            "what was begun here is known at once"
        );
        tally.counted(Some(0));
        assert_eq!(tally.estimate(), 2, "those that came meanwhile may or may not be in it");
        assert!(matches!(tally.step(9, COUNT, false), Step::Go));
        assert!(matches!(tally.step(9, COUNT + SECOND, false), Step::GoAndCount(_)));
        tally.counted(None);
        assert!(
            matches!(tally.step(9, COUNT + SECOND, false), Step::GoAndCount(_)),
            "a count that failed is repeated"
        );
    }

    #[test]
    fn at_the_quota_they_are_counted_again_and_not_too_often() {
        let mut tally = Tally { found: 2, counted_at: Some(SECOND), ..Tally::default() };
        assert!(matches!(tally.step(2, SECOND, false), Step::Wait(_, Some(_))));
        assert!(
            matches!(tally.step(2, SECOND, false), Step::Wait(_, None)),
            "the second waits for the same count"
        );
        tally.counted(Some(2));
        assert!(matches!(tally.step(2, SECOND, true), Step::Refuse));
        assert!(matches!(tally.step(2, 2 * SECOND, false), Step::Refuse));
        tally.add(-1);
        assert!(matches!(tally.step(2, 2 * SECOND, false), Step::Go), "one was ended");
        assert!(matches!(tally.step(2, 3 * SECOND, false), Step::Refuse));
        assert!(matches!(tally.step(2, 7 * SECOND, false), Step::Wait(_, Some(_))));
        tally.counted(Some(0));
        assert!(matches!(tally.step(2, 7 * SECOND, true), Step::Go));
    }
}
