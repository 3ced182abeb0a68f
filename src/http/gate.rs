//! How many requests are served at once: of everybody together, and of one account.
//!
//! Guarantees: a request past a bound waits for its turn, its body unread, and is refused only after a while, for a client
//! that is refused gives up sooner than one that waits; an account that waits holds no place of the others.
//! It does not know who asks for what. How many can wait is bounded by the connections.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;

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
    accounts: DashMap<String, Arc<Semaphore>>,
}

/// A place in use, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    _of_account: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Gate {
    pub fn new(clock: Clock, settings: Settings) -> Self {
        let all = Arc::new(Semaphore::new(settings.max_requests));
        Self(Arc::new(Places { clock, settings, all, accounts: DashMap::new() }))
    }

    /// Waits for a place. **Errors**: `SlowDown`. **Cancel**: safe.
    pub async fn enter(&self, account: &str) -> Result<Place, Error> {
        let Places { clock, settings, all, accounts } = &*self.0;
        let of_account = match accounts.get(account) {
            Some(found) => Arc::clone(&found),
            None => {
                let fresh = || Arc::new(Semaphore::new(settings.max_account_requests));
                Arc::clone(&accounts.entry(account.to_owned()).or_insert_with(fresh))
            }
        };
        let places = async {
            const OPEN: &str = "the semaphore is never closed";
            let of_account = of_account.acquire_owned().await.expect(OPEN);
            Place { _of_account: of_account, _of_all: Arc::clone(all).acquire_owned().await.expect(OPEN) }
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
}
