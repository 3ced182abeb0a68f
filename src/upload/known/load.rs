//! Fills the index from the records of complete sessions, also those of other gateways.
//!
//! Guarantees: one load of an account and bucket, or of a bucket with all accounts, runs at a time,
//! in a task of its own, and begins again only after a pause; it reads no more sessions than it
//! looks at, and no more parts than the index holds. A session that cannot be read is left out. No
//! lock is held across a store call.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, watch};

use super::super::error::Result;
use super::super::layout;
use super::super::list::{ListQuery, READ_AHEAD};
use super::super::plan::ChunkIndex;
use super::super::session::{Session, lock};
use super::super::session_cache::SessionName;
use super::super::uploads::Uploads;
use super::find::Wanted;
use super::index::{Index, Place};
use crate::digest::Sha256;
use crate::names::{AccountName, Bucket, Key};
use crate::store::ListOptions;

/// A load that is older may not show what other gateways completed since.
const REFRESH: Duration = Duration::from_secs(5);
/// The most sessions that one load looks at.
const MAX_SESSIONS: usize = 1000;
/// The most accounts whose sessions one load looks for, by name.
const MAX_ACCOUNTS: usize = 64;
/// The most sessions of one key that are looked at for the newest one.
const MAX_OF_KEY: usize = 16;
/// The most copies at a time. Of ten that run together all come too late for clients that wait a
/// second; one after the other, most are in time.
const MAX_COPIES: usize = 4;
/// The most loads that are remembered.
const MAX_LOADS: usize = 1024;

/// The known parts of all accounts and buckets that were asked for.
#[derive(Debug)]
pub(in crate::upload) struct KnownParts {
    capacity: usize,
    index: Mutex<Index>,
    loads: Mutex<HashMap<(Owner, Bucket), Load>>,
    /// The accounts that the last load of all of them found in a bucket.
    accounts: Mutex<HashMap<Bucket, Vec<AccountName>>>,
    /// Copies take turns.
    pub turns: Arc<Semaphore>,
    /// Whether the store says what it copied, so that nobody else must read it.
    copies_are_hashed: AtomicBool,
}

/// Whose complete sessions a load looks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Account(AccountName),
    All,
}

#[derive(Clone, Debug)]
struct Load {
    /// By the monotonic clock.
    began: Duration,
    /// True, or closed, once it is done.
    done: watch::Receiver<bool>,
}

/// The parts of one session.
struct Parts {
    session: SessionName,
    parts: Vec<(ChunkIndex, Sha256)>,
}

impl KnownParts {
    /// Without capacity nothing is known.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            index: Mutex::new(Index::new(capacity)),
            loads: Mutex::default(),
            accounts: Mutex::default(),
            turns: Arc::new(Semaphore::new(MAX_COPIES)),
            copies_are_hashed: AtomicBool::new(false),
        }
    }

    /// Notes whether the store said what it copied.
    pub fn copies_are_hashed(&self, are_hashed: bool) {
        self.copies_are_hashed.store(are_hashed, Ordering::Relaxed);
    }

    pub fn are_copies_hashed(&self) -> bool {
        self.copies_are_hashed.load(Ordering::Relaxed)
    }

    pub fn is_enabled(&self) -> bool {
        self.capacity > 0
    }

    pub fn len(&self) -> usize {
        lock(&self.index).len()
    }

    pub(super) fn find(
        &self,
        account: &AccountName,
        bucket: &Bucket,
        sha256: &Sha256,
    ) -> Vec<Place> {
        lock(&self.index).find(account, bucket, sha256)
    }

    pub(super) fn remove(&self, account: &AccountName, bucket: &Bucket, sha256: &Sha256) {
        lock(&self.index).remove(account, bucket, sha256);
    }

    fn add(&self, bucket: &Bucket, parts: Parts) {
        lock(&self.index).add(parts.session, bucket, &parts.parts);
    }

    fn has(&self, session: &SessionName) -> bool {
        lock(&self.index).has(session)
    }

    /// Another object is complete: whoever asks next loads again.
    pub fn changed(&self, account: &AccountName, bucket: &Bucket) {
        let mut loads = lock(&self.loads);
        for owner in [Owner::Account(account.clone()), Owner::All] {
            loads.remove(&(owner, bucket.clone()));
        }
    }

    /// The accounts beside this one that have known parts in the bucket.
    pub(super) fn other_accounts(&self, own: &AccountName, bucket: &Bucket) -> Vec<AccountName> {
        let mut others = lock(&self.accounts).get(bucket).cloned().unwrap_or_default();
        others.retain(|account| account != own);
        others
    }

    fn set_accounts(&self, bucket: &Bucket, found: Vec<AccountName>) {
        let mut accounts = lock(&self.accounts);
        if accounts.len() >= MAX_LOADS {
            accounts.clear();
        }
        accounts.insert(bucket.clone(), found);
    }

    /// The running load of an owner and bucket, or a new one if the last one is old.
    fn load(&self, uploads: &Uploads, owner: Owner, bucket: &Bucket) -> Load {
        let now = uploads.documents().clock.monotonic();
        let mut loads = lock(&self.loads);
        let of = (owner.clone(), bucket.clone());
        if let Some(load) = loads.get(&of)
            && (!is_done(load) || now.saturating_sub(load.began) < REFRESH)
        {
            return load.clone();
        }
        if loads.len() >= MAX_LOADS {
            loads.retain(|_, load| !is_done(load));
        }
        let (tx, done) = watch::channel(false);
        let load = Load { began: now, done };
        loads.insert(of, load.clone());
        let (uploads, bucket) = (uploads.clone(), bucket.clone());
        tokio::spawn(async move {
            if let Err(error) = uploads.load_known_parts(&owner, &bucket).await {
                tracing::debug!(?owner, %bucket, %error, "the known parts could not be loaded");
            }
            tx.send(true).ok();
        });
        load
    }
}

fn is_done(load: &Load) -> bool {
    *load.done.borrow() || load.done.has_changed().is_err()
}

impl Session {
    /// Waits until the parts of complete objects are known that may be wanted, of the newest one at
    /// the session's own key first; not longer than its limit.
    pub(super) async fn known_parts_loaded(&self, uploads: &Uploads, wanted: &Wanted<'_>) {
        let root = self.root();
        let known = &self.0.shared.known;
        let own = Owner::Account(root.account.clone());
        let owners = [Some(own), wanted.reads_bucket.then_some(Owner::All)];
        let loads: Vec<Load> = owners
            .into_iter()
            .flatten()
            .map(|owner| known.load(uploads, owner, &root.bucket))
            .collect();
        let loaded = async {
            let of_key = self.0.known_of_key.get_or_init(|| async {
                let (account, bucket, key) = (&root.account, &root.bucket, &root.key);
                if let Err(error) = uploads.load_parts_of_key(account, bucket, key).await {
                    tracing::debug!(%key, %error, "the parts of its object are not known");
                }
            });
            // An error: the task has ended.
            tokio::join!(of_key, async {
                for mut load in loads {
                    load.done.wait_for(|done| *done).await.ok();
                }
            });
        };
        tokio::time::timeout(wanted.load_limit, loaded).await.ok();
    }
}

impl Uploads {
    async fn load_known_parts(&self, owner: &Owner, bucket: &Bucket) -> Result<()> {
        let known = &self.shared.known;
        let accounts = match owner {
            Owner::Account(account) => vec![account.clone()],
            Owner::All => {
                let mut accounts = self.accounts().await?;
                accounts.truncate(MAX_ACCOUNTS);
                accounts
            }
        };
        let lists = stream::iter(accounts).map(|account| self.known_sessions(account, bucket));
        let mut lists = lists.buffered(READ_AHEAD);
        let (mut entries, mut found) = (Vec::new(), Vec::new());
        while let Some(listed) = lists.next().await {
            let listed = listed?;
            found.extend(listed.first().map(|(_, name)| name.account.clone()));
            entries.extend(listed);
            entries.sort_by_key(|(time, _)| *time);
            entries.truncate(MAX_SESSIONS);
        }
        if *owner == Owner::All {
            known.set_accounts(bucket, found);
        }
        let mut names: Vec<SessionName> = entries.into_iter().map(|(_, name)| name).collect();
        names.retain(|name| !known.has(name));
        let mut loaded = Vec::new();
        let mut parts_loaded = 0;
        let mut reads = stream::iter(names).map(|name| self.parts_of(name)).buffered(READ_AHEAD);
        while let Some(parts) = reads.next().await {
            let Ok(Some(parts)) = parts else { continue };
            parts_loaded += parts.parts.len();
            loaded.push(parts);
            if parts_loaded >= known.capacity / 2 {
                break;
            }
        }
        // The newest one last: what was added last stays longest.
        loaded.into_iter().rev().for_each(|parts| known.add(bucket, parts));
        Ok(())
    }

    /// The newest sessions of an account with known parts in the bucket, newest first, each after
    /// the time of its entry, which is the smaller the newer it is.
    async fn known_sessions(
        &self,
        account: AccountName,
        bucket: &Bucket,
    ) -> Result<Vec<(u64, SessionName)>> {
        let prefix = layout::known_of_bucket(&account, bucket);
        let mut options = ListOptions { prefix, ..ListOptions::default() };
        let mut found = Vec::new();
        while found.len() < MAX_SESSIONS {
            let page = self.documents().list(&options).await?;
            found.extend(page.objects.iter().filter_map(|listed| name_of(&account, &listed.key)));
            let Some(next) = page.next else { break };
            options.continue_at(next);
        }
        found.truncate(MAX_SESSIONS);
        Ok(found)
    }

    /// Adds the newest complete object of a key, which may be older than the index of known parts.
    async fn load_parts_of_key(
        &self,
        account: &AccountName,
        bucket: &Bucket,
        key: &Key,
    ) -> Result<()> {
        let query = ListQuery {
            bucket: Some(bucket.clone()),
            key: Some(key.clone()),
            status: Some("complete".to_owned()),
            limit: MAX_OF_KEY,
            ..ListQuery::default()
        };
        let page = self.list(account, &query).await?;
        let newest = page.roots.iter().max_by_key(|root| root.created_at);
        let Some(root) = newest else { return Ok(()) };
        let name = SessionName { account: account.clone(), id: root.backup_id.clone() };
        if !self.shared.known.has(&name)
            && let Some(parts) = self.parts_of(name).await?
        {
            self.shared.known.add(bucket, parts);
        }
        Ok(())
    }

    /// The parts of a complete session; None if it is not complete, or offers none.
    async fn parts_of(&self, session: SessionName) -> Result<Option<Parts>> {
        let Some(found) = self.read_apart(&session).await? else { return Ok(None) };
        let root = found.root();
        let limits = self.documents().store.limits();
        let offers = root
            .finished()
            .is_some_and(|object| root.offers_known_parts(object.size_bytes, limits));
        if !offers {
            return Ok(None);
        }
        let entries = found.completed_parts().await?;
        let hashed = entries
            .iter()
            .filter_map(|entry| Some((ChunkIndex::from(entry.number) - 1, entry.record.sha256()?)));
        let parts = hashed.collect();
        Ok(Some(Parts { session, parts }))
    }
}

/// The time and the session of an entry.
fn name_of(account: &AccountName, entry: &Key) -> Option<(u64, SessionName)> {
    let (time, id) = layout::parse_time_and_id(entry.rsplit_once('/')?.1)?;
    Some((time, SessionName { account: account.clone(), id: id.into() }))
}
