//! Admission: limits how many requests are served at the same time, in total and per account, and
//! how many bytes per second an account transfers.
//!
//! Guarantees: a request beyond a limit waits for a permit, with its body unread, and is refused
//! only after `queue_timeout`, because a client that is refused gives up sooner than one that
//! waits. Per account, half as many requests may wait as may be served, because each uses memory;
//! one more is refused at once. Each account has some permits that no other account can take. A
//! long response that is only being sent returns its permit and takes one for sending, of which
//! each account has a limited number: clients that read slowly do not keep others from being
//! served. Bodies are slowed down, not refused; a request is refused for the rate limit only if the
//! bytes in flight already need longer than `queue_timeout`. Forms, which are authenticated only by
//! their body, share a small number of permits. It does not know the operations. Source:
//! docs/architecture.md#admission.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock::Clock;
use crate::rate_limit::RateLimit;

use super::Settings;
use super::error::{Error, Kind};
use super::response_memory::ResponseMemory;

/// Forms that are read at the same time and whose policy is not verified yet.
const MAX_UNAUTHENTICATED: usize = 64;

const NEVER_CLOSED: &str = "the semaphore is never closed";

/// The permits of one gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    settings: Settings,
    /// Permits that any account can take.
    shared: Arc<Semaphore>,
    unauthenticated: Arc<Semaphore>,
    memory: ResponseMemory,
    /// By account name; as many as the settings have.
    accounts: DashMap<String, AccountPermits>,
}

/// The permits and the rate limit of one account.
#[derive(Clone, Debug)]
struct AccountPermits {
    /// Limits all requests of the account.
    requests: Arc<Semaphore>,
    /// Permits that only this account can take.
    reserved: Arc<Semaphore>,
    sending: Arc<Semaphore>,
    /// Limits the requests that wait for a permit.
    waiting: Arc<Semaphore>,
    rate_limit: Arc<RateLimit>,
}

/// A permit to serve one request, returned when it is dropped.
#[derive(Debug)]
pub struct Permit {
    account: AccountPermits,
    held: HeldPermit,
    memory: ResponseMemory,
}

#[derive(Debug)]
enum HeldPermit {
    Serving { _account: OwnedSemaphorePermit, _reserved_or_shared: OwnedSemaphorePermit },
    Sending { _account: OwnedSemaphorePermit },
}

impl Permit {
    /// The rate limit of the bodies of this request and its response.
    pub(super) fn rate_limit(&self) -> &Arc<RateLimit> {
        &self.account.rate_limit
    }

    /// Returns the permit for serving and takes one for sending: the request only sends its
    /// response from now on. If the account has no permit for sending left, this one is kept.
    pub(super) fn downgrade_to_sending(&mut self) {
        if let Ok(sending) = Arc::clone(&self.account.sending).try_acquire_owned() {
            self.held = HeldPermit::Sending { _account: sending };
        }
    }

    /// The memory that all responses together hold.
    pub(super) fn memory(&self) -> &ResponseMemory {
        &self.memory
    }
}

impl Admission {
    pub fn new(clock: Clock, settings: Settings) -> Self {
        let shared = Arc::new(Semaphore::new(settings.max_requests));
        let unauthenticated = Arc::new(Semaphore::new(MAX_UNAUTHENTICATED));
        let (memory, accounts) = (ResponseMemory::default(), DashMap::new());
        Self(Arc::new(Inner { clock, settings, shared, unauthenticated, memory, accounts }))
    }

    /// Waits for a permit. **Errors**: `SlowDown`. **Cancel**: safe.
    pub async fn acquire(&self, account: &str) -> Result<Permit, Error> {
        let account = self.account(account);
        if account.rate_limit.current_wait() > self.0.settings.queue_timeout {
            return Err(Error::new(
                Kind::SlowDown,
                "the requests in flight already use up the rate limit of this account",
            ));
        }
        let held = match self.try_acquire(&account) {
            Some(held) => held,
            None => self.wait_for_permit(&account).await?,
        };
        Ok(Permit { account, held, memory: self.0.memory.clone() })
    }

    /// A permit that is available now.
    fn try_acquire(&self, account: &AccountPermits) -> Option<HeldPermit> {
        let request = Arc::clone(&account.requests).try_acquire_owned().ok()?;
        let reserved = Arc::clone(&account.reserved).try_acquire_owned();
        let permit = reserved.or_else(|_| Arc::clone(&self.0.shared).try_acquire_owned()).ok()?;
        Some(HeldPermit::Serving { _account: request, _reserved_or_shared: permit })
    }

    async fn wait_for_permit(&self, account: &AccountPermits) -> Result<HeldPermit, Error> {
        let _waiting =
            Arc::clone(&account.waiting).try_acquire_owned().map_err(|_| too_many_requests())?;
        let held = async {
            let request = Arc::clone(&account.requests).acquire_owned().await.expect(NEVER_CLOSED);
            let permit = tokio::select! {
                biased;
                reserved = Arc::clone(&account.reserved).acquire_owned() => reserved,
                shared = Arc::clone(&self.0.shared).acquire_owned() => shared,
            };
            let permit = permit.expect(NEVER_CLOSED);
            HeldPermit::Serving { _account: request, _reserved_or_shared: permit }
        };
        self.within_timeout(held).await
    }

    /// Waits for a permit for a request whose sender is not authenticated yet. **Errors**:
    /// `SlowDown`.
    /// **Cancel**: safe.
    pub async fn acquire_unauthenticated(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.within_timeout(async {
            Arc::clone(&self.0.unauthenticated).acquire_owned().await.expect(NEVER_CLOSED)
        })
        .await
    }

    async fn within_timeout<T>(&self, permit: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            permit = permit => Ok(permit),
            () = self.0.clock.pause(self.0.settings.queue_timeout) => Err(too_many_requests()),
        }
    }

    fn account(&self, name: &str) -> AccountPermits {
        let Inner { clock, settings, accounts, .. } = &*self.0;
        if let Some(known) = accounts.get(name) {
            return known.clone();
        }
        let new = || AccountPermits {
            requests: Arc::new(Semaphore::new(settings.max_account_requests)),
            reserved: Arc::new(Semaphore::new(
                settings.kept_account_requests.min(settings.max_account_requests),
            )),
            sending: Arc::new(Semaphore::new(settings.max_account_sending)),
            waiting: Arc::new(Semaphore::new(settings.max_account_requests.div_ceil(2))),
            rate_limit: Arc::new(RateLimit::new(settings.max_account_bytes_per_s, clock.clone())),
        };
        accounts.entry(name.to_owned()).or_insert_with(new).clone()
    }
}

fn too_many_requests() -> Error {
    Error::new(Kind::SlowDown, "too many requests are being served; retry this one a little later")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn admission(settings: Settings) -> Admission {
        Admission::new(Clock::seeded(1), settings)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_beyond_a_limit_waits_and_is_then_refused() {
        let settings = Settings {
            max_requests: 3,
            max_account_requests: 2,
            kept_account_requests: 0,
            ..Settings::default()
        };
        let admission = admission(settings);
        let first = admission.acquire("a").await.unwrap();
        let _second = admission.acquire("a").await.unwrap();
        assert_eq!(admission.acquire("a").await.unwrap_err().kind(), Kind::SlowDown);
        let _of_other_account = admission.acquire("b").await.unwrap();
        assert_eq!(
            admission.acquire("b").await.unwrap_err().kind(),
            Kind::SlowDown,
            "all permits are taken"
        );
        let release = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(first);
        };
        let (waited, ()) = tokio::join!(admission.acquire("b"), release);
        waited.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn each_account_has_permits_that_others_cannot_take() {
        let settings = Settings {
            max_requests: 4,
            max_account_requests: 6,
            kept_account_requests: 2,
            ..Settings::default()
        };
        let admission = admission(settings);
        let mut permits = Vec::new();
        for _ in 0..6 {
            permits.push(admission.acquire("greedy").await.unwrap());
        }
        assert_eq!(admission.acquire("greedy").await.unwrap_err().kind(), Kind::SlowDown);
        let _one = admission.acquire("b").await.unwrap();
        let two = admission.acquire("b").await.unwrap();
        assert_eq!(
            admission.acquire("b").await.unwrap_err().kind(),
            Kind::SlowDown,
            "the reserved permits are taken, and the shared ones"
        );
        let release = async {
            tokio::time::advance(Duration::from_secs(1)).await;
            drop(two);
        };
        let (waited, ()) = tokio::join!(admission.acquire("b"), release);
        waited.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_limit_of_waiting_requests_one_is_refused_at_once() {
        let clock = Clock::seeded(1);
        let settings = Settings { max_account_requests: 1, ..Settings::default() };
        let admission = Admission::new(clock.clone(), settings);
        let first = admission.acquire("a").await.unwrap();
        let one_more = async {
            tokio::task::yield_now().await;
            let refusal = admission.acquire("a").await.unwrap_err().kind();
            let at = clock.monotonic();
            drop(first);
            (refusal, at)
        };
        let (waited, (refusal, at)) = tokio::join!(admission.acquire("a"), one_more);
        waited.unwrap();
        assert_eq!((refusal, at), (Kind::SlowDown, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_only_sends_returns_its_permit() {
        let settings =
            Settings { max_account_requests: 1, max_account_sending: 1, ..Settings::default() };
        let admission = admission(settings);
        let mut first = admission.acquire("a").await.unwrap();
        assert_eq!(admission.acquire("a").await.unwrap_err().kind(), Kind::SlowDown);
        first.downgrade_to_sending();
        let mut second = admission.acquire("a").await.unwrap();
        second.downgrade_to_sending();
        assert_eq!(
            admission.acquire("a").await.unwrap_err().kind(),
            Kind::SlowDown,
            "no permit for sending is left"
        );
        drop(first);
        second.downgrade_to_sending();
        admission.acquire("a").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_with_too_many_bytes_in_flight_is_refused() {
        let settings = Settings { max_account_bytes_per_s: Some(1000), ..Settings::default() };
        let admission = Admission::new(Clock::seeded(1), settings);
        let permit = admission.acquire("a").await.unwrap();
        permit.rate_limit().reserve(6000);
        assert_eq!(admission.acquire("a").await.unwrap_err().kind(), Kind::SlowDown);
        admission.acquire("b").await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        admission.acquire("a").await.unwrap();
    }
}
