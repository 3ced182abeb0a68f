//! How many requests are served at once, of everybody together and of one account, and how many bytes per second an
//! account moves.
//!
//! Guarantees: a request past a bound waits for its turn, its body unread, and is refused only after a while, for a client
//! that is refused gives up sooner than one that waits; an account that waits holds no place of the others. Bodies are
//! slowed down, not refused; only where what is in flight already takes longer than a request may wait is the next one
//! told to slow down.
//! It does not know who asks for what. How many can wait is bounded by the connections.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::pace::Pace;

use super::Settings;
use super::error::{Error, Kind};

/// The places of one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Places>);

#[derive(Debug)]
struct Places {
    clock: Clock,
    settings: Settings,
    all: Arc<Semaphore>,
    /// By account; as many as the settings name.
    accounts: DashMap<String, Share>,
}

/// What one account has of a gateway.
#[derive(Clone, Debug)]
struct Share {
    places: Arc<Semaphore>,
    pace: Arc<Pace>,
}

/// A place in use, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    pace: Arc<Pace>,
    _of_account: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Place {
    /// What the bodies of this request go by, in and out.
    pub(super) fn pace(&self) -> &Arc<Pace> {
        &self.pace
    }
}

impl Gate {
    pub fn new(clock: Clock, settings: Settings) -> Self {
        let all = Arc::new(Semaphore::new(settings.max_requests));
        Self(Arc::new(Places { clock, settings, all, accounts: DashMap::new() }))
    }

    /// Waits for a place. **Errors**: `SlowDown`. **Cancel**: safe.
    pub async fn enter(&self, account: &str) -> Result<Place, Error> {
        let Places { clock, settings, all, accounts } = &*self.0;
        let share = match accounts.get(account) {
            Some(found) => found.clone(),
            None => {
                let fresh = || Share {
                    places: Arc::new(Semaphore::new(settings.max_account_requests)),
                    pace: Arc::new(Pace::new(settings.max_account_bytes_per_s, clock.clone())),
                };
                accounts.entry(account.to_owned()).or_insert_with(fresh).clone()
            }
        };
        if share.pace.debt() > settings.queue_timeout {
            return Err(Error::new(Kind::SlowDown, "more bytes are under way than this account may move by then"));
        }
        let places = async {
            const OPEN: &str = "the semaphore is never closed";
            let of_account = share.places.acquire_owned().await.expect(OPEN);
            let of_all = Arc::clone(all).acquire_owned().await.expect(OPEN);
            Place { pace: share.pace, _of_account: of_account, _of_all: of_all }
        };
        tokio::select! {
            biased;
            place = places => Ok(place),
            () = clock.pause(settings.queue_timeout) => {
                Err(Error::new(Kind::SlowDown, "too many requests are being served; send this one again a little later"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_too_late_waits_and_is_then_refused() {
        let settings = Settings { max_requests: 3, max_account_requests: 2, ..Settings::default() };
        let gate = Gate::new(Clock::seeded(1), settings);
        let first = gate.enter("a").await.unwrap();
        let _second = gate.enter("a").await.unwrap();
        assert_eq!(gate.enter("a").await.unwrap_err().kind(), Kind::SlowDown);
        let _of_another = gate.enter("b").await.unwrap();
        assert_eq!(gate.enter("b").await.unwrap_err().kind(), Kind::SlowDown, "all places are taken");
        let leave = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(gate.enter("b"), leave);
        waited.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_too_many_bytes_under_way_is_told_to_slow_down() {
        let settings = Settings { max_account_bytes_per_s: Some(1000), ..Settings::default() };
        let gate = Gate::new(Clock::seeded(1), settings);
        let place = gate.enter("a").await.unwrap();
        place.pace().book(6000);
        assert_eq!(gate.enter("a").await.unwrap_err().kind(), Kind::SlowDown);
        gate.enter("b").await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        gate.enter("a").await.unwrap();
    }
}
