//! Which part of which session has a digest.
//!
//! Guarantees: at most `capacity` parts and as many sessions; the sessions that were added first
//! are left out first. An answer is a hint: two digests may share a fingerprint, and the session
//! may have ended. Pure.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::plan::ChunkIndex;
use super::super::session_cache::SessionName;
use crate::digest::Sha256;
use crate::names::Bucket;

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
    /// By fingerprint.
    parts: HashMap<u64, Entry>,
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
            self.parts.insert(fingerprint(&session, bucket, sha256), entry);
        }
        self.numbers.insert(session.clone(), number);
        self.sessions.push_back(session);
        if self.parts.len() > self.capacity || self.sessions.len() > self.capacity.max(1) {
            self.leave_out_oldest();
        }
    }

    /// Where a session of the account of `asking` has these bytes in the bucket.
    pub fn find(&self, asking: &SessionName, bucket: &Bucket, sha256: &Sha256) -> Option<Place> {
        let entry = self.parts.get(&fingerprint(asking, bucket, sha256))?;
        let at = usize::try_from(entry.session.checked_sub(self.first)?).ok()?;
        let session = self.sessions.get(at)?.clone();
        Some(Place { session, chunk: entry.chunk })
    }

    /// Removes a hint that was wrong.
    pub fn remove(&mut self, asking: &SessionName, bucket: &Bucket, sha256: &Sha256) {
        self.parts.remove(&fingerprint(asking, bucket, sha256));
    }

    /// Leaves out sessions until three quarters of the capacity are in use.
    fn leave_out_oldest(&mut self) {
        let wanted = self.capacity - self.capacity / 4;
        let mut of_session = vec![0_usize; self.sessions.len()];
        for entry in self.parts.values() {
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
        self.parts.retain(|_, entry| entry.session >= first);
    }
}

/// What stands for a digest within an account and a bucket.
fn fingerprint(of: &SessionName, bucket: &Bucket, sha256: &Sha256) -> u64 {
    let mut hasher = DefaultHasher::new();
    (of.account.as_str(), bucket.as_str(), sha256.0).hash(&mut hasher);
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

    #[test]
    fn a_part_is_found_within_its_account_and_bucket_only() {
        let (mut index, bucket) = (Index::new(100), Bucket::from("b"));
        index.add(name("home", "1"), &bucket, &parts("x", 3));
        let sha256 = Sha256::of(b"x2");
        let found = index.find(&name("home", "2"), &bucket, &sha256).unwrap();
        assert_eq!(found, Place { session: name("home", "1"), chunk: 2 });
        assert_eq!(index.find(&name("work", "2"), &bucket, &sha256), None);
        assert_eq!(index.find(&name("home", "2"), &"c".into(), &sha256), None);
        index.remove(&name("home", "2"), &bucket, &sha256);
        assert_eq!(index.find(&name("home", "2"), &bucket, &sha256), None);
    }

    #[test]
    fn the_newest_sessions_stay_and_the_oldest_are_left_out() {
        let (mut index, bucket) = (Index::new(100), Bucket::from("b"));
        for id in 0..50 {
            index.add(name("home", &id.to_string()), &bucket, &parts(&format!("{id}-"), 10));
            assert!(index.len() <= 100, "{}", index.len());
            let newest =
                index.find(&name("home", "x"), &bucket, &Sha256::of(format!("{id}-9").as_bytes()));
            assert_eq!(newest.unwrap().session, name("home", &id.to_string()));
        }
        assert!(!index.has(&name("home", "0")));
        assert_eq!(index.find(&name("home", "x"), &bucket, &Sha256::of(b"0-1")), None);
        assert_eq!(index.numbers.len(), index.sessions.len());
    }

    #[test]
    fn of_equal_parts_the_newest_session_counts() {
        let (mut index, bucket) = (Index::new(100), Bucket::from("b"));
        index.add(name("home", "old"), &bucket, &parts("x", 2));
        index.add(name("home", "new"), &bucket, &parts("x", 2));
        let found = index.find(&name("home", "y"), &bucket, &Sha256::of(b"x1")).unwrap();
        assert_eq!(found.session, name("home", "new"));
    }
}
