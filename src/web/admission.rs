//! How many requests are served at once, of everybody together and of one account, and how many
//! bytes per second an account moves.
//!
//! Guarantees: a request past a bound waits for its turn, its body unread, and is refused only
//! after a while, for a client that is refused gives up sooner than one that waits; half as many of
//! an account wait as may be served, since each holds memory, and one more is refused at once. Each
//! account has some places of its own, which no other account can take, whatever it does. An answer
//! that only sends gives its place back and takes one of those for sending, of which an account has
//! a number of its own too: clients that read slowly keep nobody from being served. Bodies are
//! slowed down, not refused; only where what is in flight already takes longer than a request may
//! wait is the next one told to slow down. Those whose signature is not read yet have few places
//! together. It does not know who asks for what.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::rate_limit::RateLimit;

use super::Settings;
use super::answer_memory::AnswerMemory;
use super::error::{Error, Kind};

/// Forms whose policy is not read yet, at once.
const UNKNOWN_AT_ONCE: usize = 64;

const OPEN: &str = "the semaphore is never closed";

/// The places of one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    settings: Settings,
    /// For whichever account comes first.
    shared: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
    memory: AnswerMemory,
    /// By account; as many as the settings name.
    accounts: DashMap<String, Share>,
}

/// What one account has of a gateway.
#[derive(Clone, Debug)]
struct Share {
    /// All it may have at once.
    requests: Arc<Semaphore>,
    /// Those that are its own.
    own: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    /// For those who wait for a place.
    waiting: Arc<Semaphore>,
    rate_limit: Arc<RateLimit>,
}

/// A place in use, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    share: Share,
    held: Held,
    memory: AnswerMemory,
}

#[derive(Debug)]
enum Held {
    Serving { _of_account: OwnedSemaphorePermit, _own_or_shared: OwnedSemaphorePermit },
    Sending { _of_account: OwnedSemaphorePermit },
}

impl Permit {
    /// What the bodies of this request go by, in and out.
    pub(super) fn rate_limit(&self) -> &Arc<RateLimit> {
        &self.share.rate_limit
    }

    /// From now on the request only sends its answer: another one may be served. Where the account
    /// has no place for sending left, this one stays.
    pub(super) fn only_sends_now(&mut self) {
        if let Ok(sending) = Arc::clone(&self.share.sending).try_acquire_owned() {
            self.held = Held::Sending { _of_account: sending };
        }
    }

    /// What all answers together hold in memory.
    pub(super) fn memory(&self) -> &AnswerMemory {
        &self.memory
    }
}

impl Admission {
    pub fn new(clock: Clock, settings: Settings) -> Self {
        let shared = Arc::new(Semaphore::new(settings.max_requests));
        let unknown = Arc::new(Semaphore::new(UNKNOWN_AT_ONCE));
        let (memory, accounts) = (AnswerMemory::default(), DashMap::new());
        Self(Arc::new(Inner { clock, settings, shared, unknown, memory, accounts }))
    }

    /// Waits for a place. **Errors**: `SlowDown`. **Cancel**: safe.
    pub async fn acquire(&self, account: &str) -> Result<Permit, Error> {
        let share = self.share(account);
        if share.rate_limit.current_wait() > self.0.settings.queue_timeout {
            return Err(Error::new(
                Kind::SlowDown,
                "more bytes are under way than this account may move by then",
            ));
        }
        let held = match self.free_permit(&share) {
            Some(held) => held,
            None => self.wait_for_permit(&share).await?,
        };
        Ok(Permit { share, held, memory: self.0.memory.clone() })
    }

    /// A place that nobody waits for.
    fn free_permit(&self, share: &Share) -> Option<Held> {
        let of_account = Arc::clone(&share.requests).try_acquire_owned().ok()?;
        let own = Arc::clone(&share.own).try_acquire_owned();
        let place = own.or_else(|_| Arc::clone(&self.0.shared).try_acquire_owned()).ok()?;
        Some(Held::Serving { _of_account: of_account, _own_or_shared: place })
    }

    async fn wait_for_permit(&self, share: &Share) -> Result<Held, Error> {
        let _waits = Arc::clone(&share.waiting).try_acquire_owned().map_err(|_| too_many())?;
        let place = async {
            let of_account = Arc::clone(&share.requests).acquire_owned().await.expect(OPEN);
            let place = tokio::select! {
                biased;
                own = Arc::clone(&share.own).acquire_owned() => own,
                shared = Arc::clone(&self.0.shared).acquire_owned() => shared,
            };
            Held::Serving { _of_account: of_account, _own_or_shared: place.expect(OPEN) }
        };
        self.in_time(place).await
    }

    /// Waits for a place for somebody whose signature is not read yet. **Errors**: `SlowDown`.
    /// **Cancel**: safe.
    pub async fn acquire_unsigned(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.in_time(async { Arc::clone(&self.0.unknown).acquire_owned().await.expect(OPEN) }).await
    }

    async fn in_time<T>(&self, place: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            place = place => Ok(place),
            () = self.0.clock.pause(self.0.settings.queue_timeout) => Err(too_many()),
        }
    }

    fn share(&self, account: &str) -> Share {
        let Inner { clock, settings, accounts, .. } = &*self.0;
        if let Some(found) = accounts.get(account) {
            return found.clone();
        }
        let fresh = || Share {
            requests: Arc::new(Semaphore::new(settings.max_account_requests)),
            own: Arc::new(Semaphore::new(
                settings.kept_account_requests.min(settings.max_account_requests),
            )),
            sending: Arc::new(Semaphore::new(settings.max_account_sending)),
            waiting: Arc::new(Semaphore::new(settings.max_account_requests.div_ceil(2))),
            rate_limit: Arc::new(RateLimit::new(settings.max_account_bytes_per_s, clock.clone())),
        };
        accounts.entry(account.to_owned()).or_insert_with(fresh).clone()
    }
}

fn too_many() -> Error {
    Error::new(
        Kind::SlowDown,
        "too many requests are being served; send this one again a little later",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn gate(settings: Settings) -> Admission {
        Admission::new(Clock::seeded(1), settings)
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_too_late_waits_and_is_then_refused() {
        let settings = Settings {
            max_requests: 3,
            max_account_requests: 2,
            kept_account_requests: 0,
            ..Settings::default()
        };
        let gate = gate(settings);
        let first = gate.acquire("a").await.unwrap();
        let _second = gate.acquire("a").await.unwrap();
        assert_eq!(gate.acquire("a").await.unwrap_err().kind(), Kind::SlowDown);
        let _of_another = gate.acquire("b").await.unwrap();
        assert_eq!(
            gate.acquire("b").await.unwrap_err().kind(),
            Kind::SlowDown,
            "all places are taken"
        );
        let leave = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(gate.acquire("b"), leave);
        waited.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_account_has_places_that_others_cannot_take() {
        let settings = Settings {
            max_requests: 4,
            max_account_requests: 6,
            kept_account_requests: 2,
            ..Settings::default()
        };
        let gate = gate(settings);
        let mut greedy = Vec::new();
        for _ in 0..6 {
            greedy.push(gate.acquire("greedy").await.unwrap());
        }
        assert_eq!(gate.acquire("greedy").await.unwrap_err().kind(), Kind::SlowDown);
        let _one = gate.acquire("b").await.unwrap();
        let two = gate.acquire("b").await.unwrap();
        assert_eq!(
            gate.acquire("b").await.unwrap_err().kind(),
            Kind::SlowDown,
            "its own are taken, and the shared ones"
        );
        let leave = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(two);
        };
        let (waited, ()) = tokio::join!(gate.acquire("b"), leave);
        waited.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_and_one_more_is_refused_at_once() {
        let clock = Clock::seeded(1);
        let settings = Settings { max_account_requests: 1, ..Settings::default() };
        let gate = Admission::new(clock.clone(), settings);
        let first = gate.acquire("a").await.unwrap();
        let last = async {
            tokio::task::yield_now().await;
            let told = gate.acquire("a").await.unwrap_err().kind();
            let at = clock.monotonic();
            drop(first);
            (told, at)
        };
        let (waited, (told, at)) = tokio::join!(gate.acquire("a"), last);
        waited.unwrap();
        assert_eq!((told, at), (Kind::SlowDown, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_sends_gives_its_place_back() {
        let settings =
            Settings { max_account_requests: 1, max_account_sending: 1, ..Settings::default() };
        let gate = gate(settings);
        let mut first = gate.acquire("a").await.unwrap();
        assert_eq!(gate.acquire("a").await.unwrap_err().kind(), Kind::SlowDown);
        first.only_sends_now();
        let mut second = gate.acquire("a").await.unwrap();
        second.only_sends_now();
        assert_eq!(
            gate.acquire("a").await.unwrap_err().kind(),
            Kind::SlowDown,
            "no place for sending was left"
        );
        drop(first);
        second.only_sends_now();
        gate.acquire("a").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_too_many_bytes_under_way_is_told_to_slow_down() {
        let settings = Settings { max_account_bytes_per_s: Some(1000), ..Settings::default() };
        let gate = Admission::new(Clock::seeded(1), settings);
        let place = gate.acquire("a").await.unwrap();
        place.rate_limit().reserve(6000);
        assert_eq!(gate.acquire("a").await.unwrap_err().kind(), Kind::SlowDown);
        gate.acquire("b").await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        gate.acquire("a").await.unwrap();
    }
}
