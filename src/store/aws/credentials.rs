//! A cache of the store's credentials from the AWS provider chain: environment, profile, process,
//! instance.
//!
//! Guarantees: at most one refresh is in flight, however many requests wait for it, and it
//! completes even if none of them still waits. During a refresh, and after one that failed, the
//! cached credentials are used until they expire: a short outage of a metadata or token service
//! fails no request.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::super::{Error, Result};
use crate::clock::Clock;
use crate::sigv4::Credentials;

/// Credentials are refreshed after this at the latest, so that a changed profile is noticed.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// Credentials are refreshed this long before they expire, or after half of their lifetime, so that
/// none expires during a request.
const REFRESH_BEFORE_EXPIRY: Duration = Duration::from_secs(60);
/// The time to the next refresh after one that failed, while valid credentials are cached.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// The time limit of a refresh: the chain may start a process, which may contact a server.
const PROVIDER_TIMEOUT: Duration = Duration::from_secs(30);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct CredentialCache(Arc<Inner>);

struct Inner {
    provider: SharedCredentialsProvider,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cached: Option<Arc<CachedCredentials>>,
    /// The refresh in flight.
    refresh: Option<Refresh>,
}

type Failure = dyn StdError + Send + Sync;
type Outcome = std::result::Result<Arc<CachedCredentials>, Arc<Failure>>;
type Refresh = Shared<BoxFuture<'static, Outcome>>;

#[derive(Clone)]
struct CachedCredentials {
    /// For the gateway's own signatures.
    own: Credentials,
    /// For the SDK's signatures.
    sdk: aws_credential_types::Credentials,
    /// The time of the next refresh, on the monotonic clock.
    fresh_until: Duration,
}

impl CredentialCache {
    pub fn new(provider: SharedCredentialsProvider, clock: Clock) -> Self {
        Self(Arc::new(Inner { provider, clock, state: Mutex::default() }))
    }

    /// The current credentials. **Errors**: `Unavailable` if there are no valid ones: there were
    /// some when the gateway started, so the outage may be temporary.
    pub async fn get(&self) -> Result<Credentials> {
        match self.current().await {
            Ok(cached) => Ok(cached.own.clone()),
            Err(error) => Err(Error::unavailable("no credentials for the store").because(error)),
        }
    }

    async fn current(&self) -> Outcome {
        let refresh = {
            let mut state = self.state();
            let (now, wall) = (self.0.clock.monotonic(), self.0.clock.wall());
            if let Some(cached) = state.cached.as_ref().filter(|cached| now < cached.fresh_until) {
                return Ok(Arc::clone(cached));
            }
            let refresh = state.refresh.get_or_insert_with(|| self.start_refresh()).clone();
            if let Some(cached) = state.cached.as_ref().filter(|cached| cached.is_valid(wall)) {
                return Ok(Arc::clone(cached));
            }
            refresh
        };
        refresh.await
    }

    /// Starts a refresh in a task of its own: the requests that wait may be dropped, and the
    /// runtime of the first one may end.
    fn start_refresh(&self) -> Refresh {
        let cache = self.clone();
        let task = tokio::spawn(async move { cache.finish_refresh(cache.ask_provider().await) });
        let cache = self.clone();
        let outcome = async move {
            task.await.unwrap_or_else(|ended| cache.finish_refresh(Err(Arc::new(ended))))
        };
        outcome.boxed().shared()
    }

    async fn ask_provider(&self) -> Outcome {
        let provided =
            tokio::time::timeout(PROVIDER_TIMEOUT, self.0.provider.provide_credentials()).await;
        let sdk = match provided {
            Ok(Ok(sdk)) => sdk,
            Ok(Err(error)) => return Err(Arc::new(error)),
            Err(late) => return Err(Arc::new(late)),
        };
        let remaining = remaining_lifetime(&sdk, self.0.clock.wall());
        if remaining.is_some_and(|remaining| remaining.is_zero()) {
            return Err(Arc::from(Box::<Failure>::from(
                "the credentials from the chain are expired",
            )));
        }
        let fresh_for = remaining.map_or(DEFAULT_LIFETIME, |remaining| {
            (remaining - REFRESH_BEFORE_EXPIRY.min(remaining / 2)).min(DEFAULT_LIFETIME)
        });
        let token = sdk.session_token().map(str::to_owned);
        let own = Credentials::new(sdk.access_key_id(), sdk.secret_access_key(), token);
        let fresh_until = self.0.clock.monotonic() + fresh_for;
        Ok(Arc::new(CachedCredentials { own, sdk, fresh_until }))
    }

    /// Ends a refresh: with the cached credentials if it failed and they are still valid.
    fn finish_refresh(&self, outcome: Outcome) -> Outcome {
        let (now, wall) = (self.0.clock.monotonic(), self.0.clock.wall());
        let mut state = self.state();
        state.refresh = None;
        let cached = state.cached.take().filter(|cached| cached.is_valid(wall));
        let outcome = outcome.or_else(|error| {
            let mut cached = cached.ok_or_else(|| Arc::clone(&error))?;
            let error: &Failure = &error;
            tracing::warn!(
                error,
                "the AWS provider chain returned no credentials for the store; the cached ones are used until they expire"
            );
            let retry_after = remaining_lifetime(&cached.sdk, wall)
                .map_or(RETRY_AFTER_FAILURE, |remaining| remaining.min(RETRY_AFTER_FAILURE));
            Arc::make_mut(&mut cached).fresh_until = now + retry_after;
            Ok(cached)
        });
        state.cached = outcome.as_ref().ok().cloned();
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CachedCredentials {
    fn is_valid(&self, wall: SystemTime) -> bool {
        remaining_lifetime(&self.sdk, wall).is_none_or(|remaining| !remaining.is_zero())
    }
}

/// How long credentials remain valid; None: they do not expire.
fn remaining_lifetime(
    credentials: &aws_credential_types::Credentials,
    wall: SystemTime,
) -> Option<Duration> {
    credentials.expiry().map(|expiry| expiry.duration_since(wall).unwrap_or_default())
}

/// For the SDK's requests.
impl ProvideCredentials for CredentialCache {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let current = async {
            self.current()
                .await
                .map(|cached| cached.sdk.clone())
                .map_err(CredentialsError::provider_error)
        };
        future::ProvideCredentials::new(current)
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aws_config::credential_process::CredentialProcessProvider;
    use futures_util::future::join_all;

    use super::super::super::Kind;
    use super::*;

    const EXPIRES: &str = "2030-01-01T00:00:00Z";

    fn before_expiry(remaining: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000) - remaining
    }

    /// A credential process that succeeds as long as a file `response` exists, and counts its runs.
    struct Process {
        home: tempfile::TempDir,
        clock: Clock,
        cache: CredentialCache,
    }

    impl Process {
        /// Its credentials expire so much later.
        fn new(remaining: Duration) -> Self {
            let (home, clock) = (tempfile::tempdir().unwrap(), Clock::seeded(0));
            let path = home.path().display();
            let command = format!("echo run >> '{path}/runs'; cat '{path}/response'");
            let provider = SharedCredentialsProvider::new(CredentialProcessProvider::new(command));
            let process =
                Self { home, cache: CredentialCache::new(provider, clock.clone()), clock };
            process.clock.set_wall(before_expiry(remaining));
            process.start_succeeding();
            process
        }

        fn start_succeeding(&self) {
            let response = format!(
                r#"{{"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "secret", "Expiration": "{EXPIRES}"}}"#
            );
            fs::write(self.home.path().join("response"), response).unwrap();
        }

        fn start_failing(&self) {
            fs::remove_file(self.home.path().join("response")).unwrap();
        }

        fn runs(&self) -> usize {
            fs::read_to_string(self.home.path().join("runs")).unwrap().lines().count()
        }

        /// Makes the cached credentials due for a refresh.
        fn make_stale(&self) {
            Arc::make_mut(self.cache.state().cached.as_mut().unwrap()).fresh_until = Duration::ZERO;
        }

        /// Waits until no refresh is in flight.
        async fn await_refresh(&self) {
            let refresh = self.cache.state().refresh.clone();
            if let Some(refresh) = refresh {
                refresh.await.ok();
            }
        }

        async fn all(&self) -> Vec<Result<Credentials>> {
            join_all((0..64).map(|_| self.cache.get())).await
        }
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_refresh() {
        let process = Process::new(Duration::from_secs(3600));
        assert!(process.all().await.into_iter().all(|got| got.unwrap().access_key_id == "key"));
        assert_eq!(process.runs(), 1);
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.runs(), 1);
    }

    #[tokio::test]
    async fn cached_credentials_are_used_during_a_refresh_and_an_outage() {
        let process = Process::new(Duration::from_secs(3600));
        process.cache.get().await.unwrap();
        process.start_failing();
        process.make_stale();
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        process.await_refresh().await;
        // One more run, and not one for each request.
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.runs(), 2);
        process.make_stale();
        process.clock.set_wall(before_expiry(Duration::ZERO));
        let refused = process.all().await;
        assert!(
            refused
                .into_iter()
                .all(|got| got.is_err_and(|error| error.kind() == Kind::Unavailable))
        );
        assert_eq!(process.runs(), 3);
        process.start_succeeding();
        process.clock.set_wall(before_expiry(Duration::from_secs(3600)));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.runs(), 4);
    }

    #[tokio::test]
    async fn credentials_near_their_expiry_are_retried_before_it() {
        let process = Process::new(Duration::from_secs(2));
        process.cache.get().await.unwrap();
        process.start_failing();
        process.make_stale();
        process.cache.get().await.unwrap();
        process.await_refresh().await;
        let fresh_until = process.cache.state().cached.as_ref().unwrap().fresh_until;
        assert!(fresh_until <= process.clock.monotonic() + Duration::from_secs(2));
    }

    #[tokio::test]
    async fn expired_credentials_are_refused() {
        let process = Process::new(Duration::ZERO);
        assert!(process.cache.get().await.is_err());
    }

    #[tokio::test]
    async fn a_refresh_completes_although_its_callers_are_dropped() {
        let process = Process::new(Duration::from_secs(3600));
        assert!(process.cache.get().now_or_never().is_none());
        process.await_refresh().await;
        assert!(process.cache.get().now_or_never().unwrap().is_ok());
        assert_eq!(process.runs(), 1);
    }

    #[test]
    fn a_refresh_is_repeated_after_its_runtime_ended() {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        let process = Process::new(Duration::from_secs(3600));
        first.block_on(async { assert!(process.cache.get().now_or_never().is_none()) });
        drop(first);
        let repeated = runtime().block_on(async {
            // The first call finds that its refresh has ended.
            process.cache.get().await.ok();
            process.cache.get().await
        });
        assert_eq!(repeated.unwrap().access_key_id, "key");
    }
}
