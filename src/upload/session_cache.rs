//! The sessions that a process has in memory.
//!
//! Guarantees: at most one session object per account and id; a bounded number of them, except that
//! sessions in use are never evicted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use crate::names::{AccountName, BackupId};

use super::session::Session;

/// Names a session of the process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionName {
    pub account: AccountName,
    pub id: BackupId,
}

/// The sessions of this process. Sessions refer to it weakly, because it owns them.
#[derive(Default)]
pub(super) struct SessionCache {
    by_name: DashMap<SessionName, CachedSession>,
    /// Counts the uses of all sessions.
    uses: AtomicU64,
}

struct CachedSession {
    session: Session,
    /// `SessionCache::uses` at its last use.
    last_use: u64,
}

impl SessionCache {
    pub fn get(&self, name: &SessionName) -> Option<Session> {
        self.by_name.get_mut(name).map(|mut cached| {
            cached.last_use = self.count_use();
            cached.session.clone()
        })
    }

    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn remove(&self, name: &SessionName) {
        self.by_name.remove(name);
    }

    /// The session of this name; `new_session` makes it if there is none.
    pub fn get_or_insert_with(
        &self,
        name: SessionName,
        max_cached: usize,
        new_session: impl FnOnce() -> Session,
    ) -> Session {
        self.evict(max_cached);
        let last_use = self.count_use();
        let cached = || CachedSession { session: new_session(), last_use };
        self.by_name.entry(name).or_insert_with(cached).session.clone()
    }

    fn count_use(&self) -> u64 {
        self.uses.fetch_add(1, Ordering::Relaxed)
    }

    /// Evicts an eighth of the sessions, the least recently used, if the cache is full.
    fn evict(&self, max_cached: usize) {
        if self.by_name.len() < max_cached {
            return;
        }
        // A session in use stays: two objects for one id would not see each other's chunks in
        // flight.
        let is_unused = |cached: &CachedSession| Arc::strong_count(&cached.session.0) == 1;
        let mut uses: Vec<u64> = self
            .by_name
            .iter()
            .filter(|entry| is_unused(entry))
            .map(|entry| entry.last_use)
            .collect();
        uses.sort_unstable();
        let Some(limit) = uses.get(max_cached / 8).or(uses.last()).copied() else { return };
        self.by_name.retain(|_, cached| cached.last_use > limit || !is_unused(cached));
    }
}

impl std::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCache").field("count", &self.by_name.len()).finish_non_exhaustive()
    }
}
