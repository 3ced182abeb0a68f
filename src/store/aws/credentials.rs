//! The store's credentials, from the AWS chain: environment, profile, process, instance.
//!
//! Guarantees: the chain is asked one question at a time, however many requests want an answer, and
//! to its end, however few still wait for it. While it is asked, and where it cannot answer, what
//! it gave before serves until that expires: a metadata or token service that is away for a moment
//! fails nobody.

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

/// Credentials without an expiry are asked for again after this, so that a changed profile is
/// noticed.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
/// They are asked for so long before they expire, or half-way, so that none expires on the way.
const REFRESH_BEFORE_EXPIRY: Duration = Duration::from_secs(60);
/// After a question that failed, while there are some that serve.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// For an answer: the chain may start a process, and that may ask a server.
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
    held: Option<Arc<Held>>,
    /// Until it is settled.
    refresh: Option<Refresh>,
}

type Failure = dyn StdError + Send + Sync;
type Answer = std::result::Result<Arc<Held>, Arc<Failure>>;
type Refresh = Shared<BoxFuture<'static, Answer>>;

#[derive(Clone)]
struct Held {
    /// For our own signatures, and for the SDK's.
    credentials: Credentials,
    found: aws_credential_types::Credentials,
    /// On the monotonic clock; asked again from then on.
    fresh_until: Duration,
}

impl CredentialCache {
    pub fn new(provider: SharedCredentialsProvider, clock: Clock) -> Self {
        Self(Arc::new(Inner { provider, clock, state: Mutex::default() }))
    }

    /// The credentials of now. **Errors**: `Unavailable` where there are none that serve: they were
    /// there when the gateway started, so they may come back.
    pub async fn get(&self) -> Result<Credentials> {
        match self.held().await {
            Ok(held) => Ok(held.credentials.clone()),
            Err(error) => Err(Error::unavailable("no credentials for the store").because(error)),
        }
    }

    async fn held(&self) -> Answer {
        let question = {
            let mut state = self.state();
            let (now, wall) = (self.0.clock.monotonic(), self.0.clock.wall());
            if let Some(held) = state.held.as_ref().filter(|held| now < held.fresh_until) {
                return Ok(Arc::clone(held));
            }
            let question = state.refresh.get_or_insert_with(|| self.start_refresh()).clone();
            if let Some(held) = state.held.as_ref().filter(|held| held.serves(wall)) {
                return Ok(Arc::clone(held));
            }
            question
        };
        question.await
    }

    /// A task of its own: who waits may go away, and the runtime of who asked first may end.
    fn start_refresh(&self) -> Refresh {
        let asking = self.clone();
        let task = tokio::spawn(async move { asking.settle(asking.answer().await) });
        let chain = self.clone();
        let settled =
            async move { task.await.unwrap_or_else(|ended| chain.settle(Err(Arc::new(ended)))) };
        settled.boxed().shared()
    }

    async fn answer(&self) -> Answer {
        let asked =
            tokio::time::timeout(PROVIDER_TIMEOUT, self.0.provider.provide_credentials()).await;
        let found = match asked {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(Arc::new(error)),
            Err(late) => return Err(Arc::new(late)),
        };
        let left = left(&found, self.0.clock.wall());
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Arc::from(Box::<Failure>::from(
                "the credentials that were found are expired",
            )));
        }
        let live = left.map_or(DEFAULT_LIFETIME, |left| {
            (left - REFRESH_BEFORE_EXPIRY.min(left / 2)).min(DEFAULT_LIFETIME)
        });
        let token = found.session_token().map(str::to_owned);
        let credentials = Credentials::new(found.access_key_id(), found.secret_access_key(), token);
        Ok(Arc::new(Held { credentials, found, fresh_until: self.0.clock.monotonic() + live }))
    }

    /// Ends the question, with what was held where the chain gave nothing.
    fn settle(&self, answer: Answer) -> Answer {
        let (now, wall) = (self.0.clock.monotonic(), self.0.clock.wall());
        let mut state = self.state();
        state.refresh = None;
        let kept = state.held.take().filter(|held| held.serves(wall));
        let settled = answer.or_else(|error| {
            let mut kept = kept.ok_or_else(|| Arc::clone(&error))?;
            let error: &Failure = &error;
            tracing::warn!(
                error,
                "the chain gives no credentials for the store; what it gave serves until it expires"
            );
            let again = left(&kept.found, wall)
                .map_or(RETRY_AFTER_FAILURE, |left| left.min(RETRY_AFTER_FAILURE));
            Arc::make_mut(&mut kept).fresh_until = now + again;
            Ok(kept)
        });
        state.held = settled.as_ref().ok().cloned();
        settled
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn serves(&self, wall: SystemTime) -> bool {
        left(&self.found, wall).is_none_or(|left| !left.is_zero())
    }
}

/// How long credentials serve yet; none: they do not expire.
fn left(found: &aws_credential_types::Credentials, wall: SystemTime) -> Option<Duration> {
    found.expiry().map(|expiry| expiry.duration_since(wall).unwrap_or_default())
}

/// For the SDK's requests.
impl ProvideCredentials for CredentialCache {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let found = async {
            self.held()
                .await
                .map(|held| held.found.clone())
                .map_err(CredentialsError::provider_error)
        };
        future::ProvideCredentials::new(found)
    }
}

impl fmt::Debug for CredentialCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").finish_non_exhaustive()
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

    fn before_it_expires(left: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000) - left
    }

    /// A process that has credentials as long as there is a file `answer`, and counts how often it
    /// was asked.
    struct Process {
        home: tempfile::TempDir,
        clock: Clock,
        chain: CredentialCache,
    }

    impl Process {
        /// What it gives expires so much later.
        fn new(left: Duration) -> Self {
            let (home, clock) = (tempfile::tempdir().unwrap(), Clock::seeded(0));
            let path = home.path().display();
            let command = format!("echo once >> '{path}/asked'; cat '{path}/answer'");
            let provider = SharedCredentialsProvider::new(CredentialProcessProvider::new(command));
            let process =
                Self { home, chain: CredentialCache::new(provider, clock.clone()), clock };
            process.clock.set_wall(before_it_expires(left));
            process.comes_back();
            process
        }

        fn comes_back(&self) {
            let answer = format!(
                r#"{{"Version": 1, "AccessKeyId": "key", "SecretAccessKey": "secret", "Expiration": "{EXPIRES}"}}"#
            );
            fs::write(self.home.path().join("answer"), answer).unwrap();
        }

        fn goes_away(&self) {
            fs::remove_file(self.home.path().join("answer")).unwrap();
        }

        fn asked(&self) -> usize {
            fs::read_to_string(self.home.path().join("asked")).unwrap().lines().count()
        }

        /// As if their time to be asked for again had come.
        fn stale(&self) {
            Arc::make_mut(self.chain.state().held.as_mut().unwrap()).fresh_until = Duration::ZERO;
        }

        /// Until nothing is being asked any more.
        async fn settled(&self) {
            let question = self.chain.state().refresh.clone();
            if let Some(question) = question {
                question.await.ok();
            }
        }

        async fn all(&self) -> Vec<Result<Credentials>> {
            join_all((0..64).map(|_| self.chain.get())).await
        }
    }

    #[tokio::test]
    async fn the_chain_is_asked_once_for_all_who_wait() {
        let process = Process::new(Duration::from_secs(3600));
        assert!(process.all().await.into_iter().all(|got| got.unwrap().access_key_id == "key"));
        assert_eq!(process.asked(), 1);
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.asked(), 1);
    }

    #[tokio::test]
    async fn what_it_gave_serves_while_it_is_asked_and_while_it_is_away() {
        let process = Process::new(Duration::from_secs(3600));
        process.chain.get().await.unwrap();
        process.goes_away();
        process.stale();
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        process.settled().await;
        // Asked once more, and not with each request.
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.asked(), 2);
        process.stale();
        process.clock.set_wall(before_it_expires(Duration::ZERO));
        let refused = process.all().await;
        assert!(
            refused
                .into_iter()
                .all(|got| got.is_err_and(|error| error.kind() == Kind::Unavailable))
        );
        assert_eq!(process.asked(), 3);
        process.comes_back();
        process.clock.set_wall(before_it_expires(Duration::from_secs(3600)));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.asked(), 4);
    }

    #[tokio::test]
    async fn what_is_near_its_end_serves_no_longer() {
        let process = Process::new(Duration::from_secs(2));
        process.chain.get().await.unwrap();
        process.goes_away();
        process.stale();
        process.chain.get().await.unwrap();
        process.settled().await;
        let fresh_until = process.chain.state().held.as_ref().unwrap().fresh_until;
        assert!(fresh_until <= process.clock.monotonic() + Duration::from_secs(2));
    }

    #[tokio::test]
    async fn expired_answers_do_not_serve() {
        let process = Process::new(Duration::ZERO);
        assert!(process.chain.get().await.is_err());
    }

    #[tokio::test]
    async fn a_question_whose_waiters_left_is_settled_all_the_same() {
        let process = Process::new(Duration::from_secs(3600));
        assert!(process.chain.get().now_or_never().is_none());
        process.settled().await;
        assert!(process.chain.get().now_or_never().unwrap().is_ok());
        assert_eq!(process.asked(), 1);
    }

    #[test]
    fn a_runtime_that_ends_takes_no_question_with_it() {
        let runtime =
            || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = runtime();
        let process = Process::new(Duration::from_secs(3600));
        first.block_on(async { assert!(process.chain.get().now_or_never().is_none()) });
        drop(first);
        let asked_again = runtime().block_on(async {
            // The first learns that its question has ended.
            process.chain.get().await.ok();
            process.chain.get().await
        });
        assert_eq!(asked_again.unwrap().access_key_id, "key");
    }
}
