//! The names of everything that a session keeps in the state bucket.
//!
//! Guarantees: no state key has an empty, `.` or `..` segment or one over 255 bytes, whatever the target's key is;
//! no key can be confused with another account's. Pure. Source: DESIGN §3; BACKENDS.md on names that stores refuse.

use crate::digest::Sha256;
use crate::store::Key;

/// The longest key segment that every store takes.
const MAX_SEGMENT_BYTES: usize = 255;
/// The longest key that S3 takes.
const MAX_KEY_BYTES: usize = 1024;

/// Where one session's records are.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    account: String,
    id: String,
}

/// Which of the two indexes by target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// Sessions that are not finished yet.
    Open,
    Done,
}

impl Index {
    fn word(self) -> &'static str {
        match self {
            Self::Open => "index",
            Self::Done => "done",
        }
    }
}

impl Layout {
    pub fn new(account: &str, id: &str) -> Self {
        Self { account: account.to_owned(), id: id.to_owned() }
    }

    fn at(&self, rest: &str) -> Key {
        Key(format!("v1/{}/sessions/{}/{rest}", self.account, self.id))
    }

    pub fn root(&self) -> Key {
        self.at("manifest.json")
    }

    pub fn segments(&self) -> Key {
        self.at("segments/")
    }

    pub fn segment(&self, number: u32) -> Key {
        self.at(&format!("segments/{number:06}.json"))
    }

    /// The number in a segment's key.
    pub fn segment_number(&self, key: &Key) -> Option<u32> {
        key.0.strip_prefix(&self.segments().0)?.strip_suffix(".json")?.parse().ok()
    }

    pub fn staged_prefix(&self) -> Key {
        self.at("staged/")
    }

    /// The checksum is in the name, so that racing writers of one index never overwrite each other.
    pub fn staged(&self, index: u32, sha256: &Sha256) -> Key {
        self.at(&format!("staged/{index}-{}", sha256.hex()))
    }

    /// The session's entry in an index by target.
    pub fn indexed(&self, index: Index, bucket: &str, key: &str) -> Key {
        let plain = format!("v1/{}/{}/{bucket}/{key}/{}", self.account, index.word(), self.id);
        if plain.len() <= MAX_KEY_BYTES && stores_take(key) {
            return Key(plain);
        }
        let hash = Sha256::of(key.as_bytes()).hex();
        Key(format!("v1/{}/{}-hashed/{bucket}/{hash}/{}", self.account, index.word(), self.id))
    }
}

/// Whether every store takes the key as a part of another one.
fn stores_take(key: &str) -> bool {
    let refused = |part: &str| matches!(part, "" | "." | "..") || part.len() > MAX_SEGMENT_BYTES;
    !key.contains('\\') && !key.split('/').any(refused)
}

/// Where the open backup of a target is named (DESIGN §12.10).
pub(super) fn open_entry(account: &str, identity: &[&str]) -> Key {
    // Each field with its length in front, so that no two identities can run together.
    let text: String = identity.iter().map(|field| format!("{}:{field}", field.len())).collect();
    Key(format!("v1/{account}/open/{}", Sha256::of(text.as_bytes()).hex()))
}

/// Below this lie the records of all sessions of an account.
pub(super) fn sessions(account: &str) -> Key {
    Key(format!("v1/{account}/sessions/"))
}

/// Below these lie the entries that are good only as long as their session is open.
pub(super) fn entry_prefixes(account: &str) -> [Key; 3] {
    ["index", "index-hashed", "open"].map(|word| Key(format!("v1/{account}/{word}/")))
}

/// Whether an entry names its session within it, and not by its key.
pub(super) fn is_open_entry(entry: &Key) -> bool {
    entry.0.split('/').nth(2) == Some("open")
}

/// The prefixes of an account's indexes, in the order in which a listing walks them.
pub(super) fn index_prefixes(account: &str, bucket: Option<&str>, prefix: &str) -> Vec<(Index, String)> {
    let mut prefixes = Vec::new();
    for index in [Index::Open, Index::Done] {
        let (plain, hashed) =
            (format!("v1/{account}/{}/", index.word()), format!("v1/{account}/{}-hashed/", index.word()));
        match bucket {
            Some(bucket) => {
                prefixes.push((index, format!("{plain}{bucket}/{prefix}")));
                // Hashed keys do not sort by prefix: all of the bucket's are looked at.
                prefixes.push((index, format!("{hashed}{bucket}/")));
            }
            None => prefixes.extend([(index, plain), (index, hashed)]),
        }
    }
    prefixes
}

/// As `index_prefixes`, for the entries of exactly one key: what lies directly below these.
pub(super) fn key_prefixes(account: &str, bucket: &str, key: &str) -> Vec<(Index, String)> {
    let hash = Sha256::of(key.as_bytes()).hex();
    let mut prefixes = Vec::new();
    for index in [Index::Open, Index::Done] {
        if stores_take(key) {
            prefixes.push((index, format!("v1/{account}/{}/{bucket}/{key}/", index.word())));
        }
        prefixes.push((index, format!("v1/{account}/{}-hashed/{bucket}/{hash}/", index.word())));
    }
    prefixes
}

/// The session that an index entry names.
pub(super) fn session_of(entry: &Key) -> Option<&str> {
    entry.0.rsplit_once('/').map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_stores_refuse_are_indexed_by_their_hash() {
        let layout = Layout::new("home", "b1");
        assert_eq!(layout.indexed(Index::Open, "photos", "a/b").0, "v1/home/index/photos/a/b/b1");
        let long = "x".repeat(256);
        let deep = "y/".repeat(510) + "z";
        for key in ["a//b", "/a", "a/", "../a", "a/./b", "a\\b", &long, &deep] {
            let hashed = layout.indexed(Index::Done, "photos", key).0;
            assert!(hashed.starts_with("v1/home/done-hashed/photos/"), "{hashed}");
            assert!(hashed.ends_with("/b1"));
        }
    }

    #[test]
    fn the_entries_of_a_key_lie_directly_below_its_prefixes() {
        for key in ["a/b", "a//b", "dir/", "x"] {
            let entry = Layout::new("home", "b1").indexed(Index::Done, "photos", key).0;
            let parent = entry.strip_suffix("b1").unwrap();
            let prefixes = key_prefixes("home", "photos", key);
            assert!(prefixes.contains(&(Index::Done, parent.to_owned())), "{key}: {prefixes:?}");
        }
    }

    #[test]
    fn identities_do_not_run_together() {
        assert_ne!(open_entry("a", &["ab", "c"]), open_entry("a", &["a", "bc"]));
    }

    #[test]
    fn segment_numbers_come_back() {
        let layout = Layout::new("home", "b1");
        assert_eq!(layout.segment_number(&layout.segment(1_234_567)), Some(1_234_567));
        assert_eq!(layout.segment_number(&layout.root()), None);
    }
}
