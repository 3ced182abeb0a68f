//! The store's credentials, from the AWS chain: environment, profile, process, instance.
//!
//! Guarantees: the chain is asked one question at a time, however many requests wait for it. Where it cannot answer,
//! what it said before serves until that expires: an instance's metadata service or a token service that is away for a
//! moment fails nobody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::{ProvideCredentials, SharedCredentialsProvider};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};

use super::super::{Error, Kind, Result};
use crate::clock::Clock;
use crate::sigv4::Credentials;

/// Credentials without an expiry are asked for again after this, so that a changed profile is noticed.
const LIVE: Duration = Duration::from_secs(300);
/// They are asked for so long before they expire, or half-way, so that none expires on the way.
const EARLY: Duration = Duration::from_secs(60);
/// After a question that failed, while there are some that serve.
const AGAIN: Duration = Duration::from_secs(10);
/// For an answer: the chain may start a process, and that may ask a server.
const ANSWER: Duration = Duration::from_secs(30);

pub(super) struct Chain {
    provider: SharedCredentialsProvider,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    question: Option<Question>,
}

/// What the chain is being asked; whoever waits for it drives it.
type Question = Shared<BoxFuture<'static, std::result::Result<Held, Arc<Failure>>>>;
type Failure = dyn std::error::Error + Send + Sync;

#[derive(Clone)]
struct Held {
    credentials: Credentials,
    expires: Option<SystemTime>,
    /// On the monotonic clock; asked again from then on.
    fresh_until: Duration,
}

impl Held {
    /// As ones that serve a while longer; none once they are expired.
    fn kept(self, now: Duration, wall: SystemTime) -> Option<Self> {
        let left = self.expires.map_or(Ok(AGAIN), |expires| expires.duration_since(wall)).ok()?;
        Some(Self { fresh_until: now + left.min(AGAIN), ..self })
    }
}

impl Chain {
    pub fn new(provider: SharedCredentialsProvider, clock: Clock) -> Self {
        Self { provider, clock, state: Mutex::default() }
    }

    /// The credentials of now. **Errors**: `Unavailable` where there are none that serve: they were there when the
    /// gateway started, so they may come back.
    pub async fn get(&self) -> Result<Credentials> {
        let question = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(held) = state.held.as_ref().filter(|held| self.clock.monotonic() < held.fresh_until) {
                return Ok(held.credentials.clone());
            }
            state.question.get_or_insert_with(|| self.ask()).clone()
        };
        let answer = question.clone().await;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // The first who comes back settles it for all.
        if state.question.take_if(|asked| asked.ptr_eq(&question)).is_some() {
            match &answer {
                Ok(held) => state.held = Some(held.clone()),
                Err(error) => {
                    let error: &Failure = error;
                    tracing::warn!(
                        error,
                        "the chain gives no credentials for the store; what it gave serves until it expires"
                    );
                    let (now, wall) = (self.clock.monotonic(), self.clock.wall());
                    state.held = state.held.take().and_then(|held| held.kept(now, wall));
                }
            }
        }
        match (answer, &state.held) {
            (Ok(held), _) => Ok(held.credentials),
            (Err(_), Some(held)) => Ok(held.credentials.clone()),
            (Err(error), None) => Err(Error::new(Kind::Unavailable, "no credentials for the store").because(error)),
        }
    }

    fn ask(&self) -> Question {
        let (provider, clock) = (self.provider.clone(), self.clock.clone());
        let asked = async move {
            let found = tokio::time::timeout(ANSWER, provider.provide_credentials()).await;
            let found = found.map_err(|late| Arc::new(late) as Arc<Failure>)?;
            let found = found.map_err(|error| Arc::new(error) as Arc<Failure>)?;
            let token = found.session_token().map(str::to_owned);
            let left = found.expiry().map(|expiry| expiry.duration_since(clock.wall()).unwrap_or_default());
            let live = left.map_or(LIVE, |left| (left - EARLY.min(left / 2)).min(LIVE));
            Ok(Held {
                credentials: Credentials::new(found.access_key_id(), found.secret_access_key(), token),
                expires: found.expiry(),
                fresh_until: clock.monotonic() + live,
            })
        };
        asked.boxed().shared()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use aws_config::credential_process::CredentialProcessProvider;
    use futures_util::future::join_all;

    use super::*;

    const EXPIRES: &str = "2030-01-01T00:00:00Z";

    fn before_it_expires(left: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000) - left
    }

    /// A process that has credentials as long as there is a file `answer`, and counts how often it was asked.
    struct Process {
        home: tempfile::TempDir,
        clock: Clock,
        chain: Chain,
    }

    impl Process {
        fn new() -> Self {
            let (home, clock) = (tempfile::tempdir().unwrap(), Clock::seeded(0));
            let path = home.path().display();
            let command = format!("echo once >> '{path}/asked'; cat '{path}/answer'");
            let provider = SharedCredentialsProvider::new(CredentialProcessProvider::new(command));
            let process = Self { home, chain: Chain::new(provider, clock.clone()), clock };
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

        async fn all(&self) -> Vec<Result<Credentials>> {
            join_all((0..64).map(|_| self.chain.get())).await
        }
    }

    #[tokio::test]
    async fn the_chain_is_asked_once_for_all_who_wait() {
        let process = Process::new();
        process.clock.set_wall(before_it_expires(Duration::from_secs(3600)));
        assert!(process.all().await.into_iter().all(|got| got.unwrap().access_key_id == "key"));
        assert_eq!(process.asked(), 1);
        // And again for those who come too late for them.
        let process = Process::new();
        process.clock.set_wall(before_it_expires(Duration::ZERO));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        process.clock.set_wall(before_it_expires(Duration::from_secs(3600)));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.asked(), 2);
    }

    #[tokio::test]
    async fn what_it_said_serves_until_it_expires() {
        let process = Process::new();
        // As if at their end, so that the next request asks again.
        process.clock.set_wall(before_it_expires(Duration::ZERO));
        process.chain.get().await.unwrap();
        process.goes_away();
        process.clock.set_wall(before_it_expires(Duration::from_secs(3600)));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        // Not with each request: it is away for all of them.
        assert_eq!(process.asked(), 2);
    }

    #[tokio::test]
    async fn expired_ones_do_not_serve_and_new_ones_do() {
        let process = Process::new();
        process.clock.set_wall(before_it_expires(Duration::ZERO));
        process.chain.get().await.unwrap();
        process.goes_away();
        let refused = process.all().await;
        assert!(refused.into_iter().all(|got| got.is_err_and(|error| error.kind() == Kind::Unavailable)));
        assert_eq!(process.asked(), 2);
        process.comes_back();
        process.clock.set_wall(before_it_expires(Duration::from_secs(3600)));
        assert!(process.all().await.into_iter().all(|got| got.is_ok()));
        assert_eq!(process.asked(), 3);
    }
}
