//! Which part of which session has a digest.
//!
//! Guarantees: at most `capacity` parts and as many sessions; the sessions that were added first
//! are left out first. Of the sessions that have the same bytes the last two are kept: the object
//! of one may have been replaced. An answer is a hint: two digests may share a fingerprint, and the
//! session may have ended. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::plan::ChunkIndex;
use super::super::session_cache::SessionName;
use crate::digest::Sha256;
use crate::names::{AccountName, Bucket};

/// Where a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub session: SessionName,
    pub chunk: ChunkIndex,
}

/// A part as it is kept: the number of its session, and its own.
#[derive(Clone, Copy, Debug)]
struct Entry {
    session: u64,
    chunk: ChunkIndex,
}

#[derive(Debug)]
pub(super) struct Index {
    capacity: usize,
    /// By fingerprint: the newest part, and the one before it, which may be the same.
    parts: HashMap<u64, [Entry; 2]>,
    /// By number; the numbers are consecutive, and the first one is `first`.
    sessions: VecDeque<SessionName>,
    first: u64,
    numbers: HashMap<SessionName, u64>,
}

impl Index {
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            parts: HashMap::new(),
            sessions: VecDeque::new(),
            first: 0,
            numbers: HashMap::new(),
        }
    }

    pub fn has(&self, session: &SessionName) -> bool {
        self.numbers.contains_key(session)
    }

    pub fn len(&self) -> usize {
        self.parts.len()
    }

    /// Adds the parts of a session that is not there yet; they count before those of others.
    pub fn add(&mut self, session: SessionName, bucket: &Bucket, parts: &[(ChunkIndex, Sha256)]) {
        if self.has(&session) {
            return;
        }
        let number = self.first + self.sessions.len() as u64;
        // In reverse: of equal parts the first one is kept.
        for (chunk, sha256) in parts.iter().rev() {
            let entry = Entry { session: number, chunk: *chunk };
            self.parts
                .entry(fingerprint(&session.account, bucket, sha256))
                .and_modify(|[newest, older]| {
                    if newest.session != number {
                        *older = *newest;
                    }
                    *newest = entry;
                })
                .or_insert([entry, entry]);
        }
        self.numbers.insert(session.clone(), number);
        self.sessions.push_back(session);
        if self.parts.len() > self.capacity || self.sessions.len() > self.capacity.max(1) {
            self.leave_out_oldest();
        }
    }

    /// Where sessions of the account have these bytes in the bucket, the newest first.
    pub fn find(&self, account: &AccountName, bucket: &Bucket, sha256: &Sha256) -> Vec<Place> {
        let found = self.parts.get(&fingerprint(account, bucket, sha256));
        let mut places: Vec<Place> =
            found.into_iter().flatten().filter_map(|entry| self.place(entry)).collect();
        places.dedup();
        places
    }

    fn place(&self, entry: &Entry) -> Option<Place> {
        let at = usize::try_from(entry.session.checked_sub(self.first)?).ok()?;
        let session = self.sessions.get(at)?.clone();
        Some(Place { session, chunk: entry.chunk })
    }

    /// Removes a hint that was wrong.
    pub fn remove(&mut self, account: &AccountName, bucket: &Bucket, sha256: &Sha256) {
        self.parts.remove(&fingerprint(account, bucket, sha256));
    }

    /// Leaves out sessions until three quarters of the capacity are in use.
    fn leave_out_oldest(&mut self) {
        let wanted = self.capacity - self.capacity / 4;
        let mut of_session = vec![0_usize; self.sessions.len()];
        for [entry, _] in self.parts.values() {
            let at = usize::try_from(entry.session - self.first).unwrap_or(usize::MAX);
            if let Some(count) = of_session.get_mut(at) {
                *count += 1;
            }
        }
        let mut left = self.parts.len();
        for count in of_session {
            if left <= wanted && self.sessions.len() <= wanted.max(1) {
                break;
            }
            left -= count;
            if let Some(session) = self.sessions.pop_front() {
                self.numbers.remove(&session);
            }
            self.first += 1;
        }
        let first = self.first;
        self.parts.retain(|_, [newest, _]| newest.session >= first);
    }
}

/// What stands for a digest within an account and a bucket.
fn fingerprint(account: &AccountName, bucket: &Bucket, sha256: &Sha256) -> u64 {
    let mut hasher = DefaultHasher::new();
    (account.as_str(), bucket.as_str(), sha256.0).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(account: &str, id: &str) -> SessionName {
        SessionName { account: account.into(), id: id.into() }
    }

    fn parts(of: &str, count: u32) -> Vec<(ChunkIndex, Sha256)> {
        (0..count).map(|chunk| (chunk, Sha256::of(format!("{of}{chunk}").as_bytes()))).collect()
    }

    fn found(index: &Index, account: &str, bucket: &str, bytes: &str) -> Vec<Place> {
        index.find(&account.into(), &bucket.into(), &Sha256::of(bytes.as_bytes()))
    }

    fn place(id: &str, chunk: ChunkIndex) -> Place {
        Place { session: name("home", id), chunk }
    }

    #[test]
    fn a_part_is_found_within_its_account_and_bucket_only() {
        let (mut index, bucket) = (Index::new(100), Bucket::from("b"));
        index.add(name("home", "1"), &bucket, &parts("x", 3));
        assert_eq!(found(&index, "home", "b", "x2"), [place("1", 2)]);
        assert_eq!(found(&index, "work", "b", "x2"), []);
        assert_eq!(found(&index, "home", "c", "x2"), []);
        index.remove(&"home".into(), &bucket, &Sha256::of(b"x2"));
        assert_eq!(found(&index, "home", "b", "x2"), []);
    }

    #[test]
    fn the_newest_sessions_stay_and_the_oldest_are_left_out() {
        let (mut index, bucket) = (Index::new(100), Bucket::from("b"));
        for id in 0..50 {
            index.add(name("home", &id.to_string()), &bucket, &parts(&format!("{id}-"), 10));
            assert!(index.len() <= 100, "{}", index.len());
            let newest = found(&index, "home", "b", &format!("{id}-9"));
            assert_eq!(newest, [place(&id.to_string(), 9)]);
        }
        assert!(!index.has(&name("home", "0")));
        assert_eq!(found(&index, "home", "b", "0-1"), []);
        assert_eq!(index.numbers.len(), index.sessions.len());
    }

    #[test]
    fn of_equal_parts_the_last_two_sessions_count() {
        let (mut index, bucket) = (Index::new(100), Bucket::from("b"));
        for id in ["oldest", "old", "new"] {
            index.add(name("home", id), &bucket, &parts("x", 2));
        }
        assert_eq!(found(&index, "home", "b", "x1"), [place("new", 1), place("old", 1)]);
    }
}
