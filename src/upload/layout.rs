//! The names of everything that a session keeps in the state bucket.
//!
//! Guarantees: no state key has an empty, `.` or `..` segment or one over 255 bytes, whatever the
//! target's key is; no key can be confused with another account's; the entries of open sessions
//! sort by bucket, key, time of creation and id, as S3 lists uploads (with the exception that
//! `ordered` names). Pure. Source: DESIGN §3; BACKENDS.md on names that stores refuse.

use super::index::ordered;
use crate::digest::Sha256;
use crate::store::Key;

/// The longest key segment that every store takes.
const MAX_SEGMENT_BYTES: usize = 255;
/// The longest key that S3 takes.
const MAX_KEY_BYTES: usize = 1024;
/// The index of open sessions.
const OPEN: &str = "open-uploads";

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

/// What an entry of the index of open sessions says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenPlace<'a> {
    /// The key's form, see `ordered`.
    pub form: &'a str,
    /// Unix seconds, as the root has it.
    pub created_at: u64,
    pub id: &'a str,
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

    /// The session's entry in the index of open ones. `created_at` is the root's: an entry with
    /// another time belongs to a create that died, and is passed over.
    pub fn open(&self, bucket: &str, key: &str, created_at: u64) -> Key {
        Key(format!("{}{created_at:012}-{}", open_of_key(&self.account, bucket, key), self.id))
    }

    /// The session's entry in the index of completed ones.
    pub fn done(&self, bucket: &str, key: &str) -> Key {
        let plain = format!("v1/{}/done/{bucket}/{key}/{}", self.account, self.id);
        if plain.len() <= MAX_KEY_BYTES && stores_take(key) {
            return Key(plain);
        }
        let hash = Sha256::of(key.as_bytes()).hex();
        Key(format!("v1/{}/done-hashed/{bucket}/{hash}/{}", self.account, self.id))
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

/// Below this lies the index of an account's open sessions.
pub(super) fn open_index(account: &str) -> String {
    format!("v1/{account}/{OPEN}/")
}

/// Below this lie the entries of the open sessions of exactly one key, by time of creation.
pub(super) fn open_of_key(account: &str, bucket: &str, key: &str) -> String {
    format!("{}{bucket}/{}!", open_index(account), ordered::of_key(key))
}

/// The entries of all keys with this prefix begin so; false with it where those of other keys do
/// too.
pub(super) fn open_of_prefix(account: &str, bucket: &str, prefix: &str) -> (String, bool) {
    let (form, whole) = ordered::of_prefix(prefix);
    (format!("{}{bucket}/{form}", open_index(account)), whole)
}

/// What an entry of the index of open sessions says; None where the key is none.
pub(super) fn open_place(entry: &Key) -> Option<OpenPlace<'_>> {
    let mut segments = entry.0.splitn(5, '/');
    let below = segments.nth(2).filter(|word| *word == OPEN).and_then(|_| segments.nth(1))?;
    let (form, place) = below.rsplit_once('!')?;
    let (created_at, id) = time_and_id(place)?;
    Some(OpenPlace { form, created_at, id })
}

/// The end of an entry of the index of open sessions: when the session was created, and its id.
pub(super) fn time_and_id(text: &str) -> Option<(u64, &str)> {
    let (time, id) = text.split_once('-')?;
    let digits = time.len() == 12 && time.bytes().all(|b| b.is_ascii_digit());
    Some((time.parse().ok().filter(|_| digits)?, id))
}

/// Below these lie the entries of open sessions as older gateways wrote them, without a time.
pub(super) fn old_open_indexes(account: &str) -> [String; 2] {
    ["index", "index-hashed"].map(|word| format!("v1/{account}/{word}/"))
}

/// Below these lie the entries that are good only as long as their session is open.
pub(super) fn entry_prefixes(account: &str) -> [String; 4] {
    let [old, old_hashed] = old_open_indexes(account);
    [open_index(account), old, old_hashed, format!("v1/{account}/open/")]
}

/// Whether an entry names its session within it, and not by its key.
pub(super) fn is_open_entry(entry: &Key) -> bool {
    entry.0.split('/').nth(2) == Some("open")
}

/// The prefixes of an account's indexes, in the order in which a listing walks them.
pub(super) fn index_prefixes(
    account: &str,
    bucket: Option<&str>,
    prefix: &str,
) -> Vec<(Index, String)> {
    let (open, plain, hashed) =
        (open_index(account), format!("v1/{account}/done/"), format!("v1/{account}/done-hashed/"));
    match bucket {
        Some(bucket) => vec![
            (Index::Open, open_of_prefix(account, bucket, prefix).0),
            (Index::Done, format!("{plain}{bucket}/{prefix}")),
            // Hashed keys do not sort by prefix: all of the bucket's are looked at.
            (Index::Done, format!("{hashed}{bucket}/")),
        ],
        None => vec![(Index::Open, open), (Index::Done, plain), (Index::Done, hashed)],
    }
}

/// As `index_prefixes`, for the entries of exactly one key: what lies directly below these.
pub(super) fn key_prefixes(account: &str, bucket: &str, key: &str) -> Vec<(Index, String)> {
    let hash = Sha256::of(key.as_bytes()).hex();
    let mut prefixes = vec![(Index::Open, open_of_key(account, bucket, key))];
    if stores_take(key) {
        prefixes.push((Index::Done, format!("v1/{account}/done/{bucket}/{key}/")));
    }
    prefixes.push((Index::Done, format!("v1/{account}/done-hashed/{bucket}/{hash}/")));
    prefixes
}

/// The session that an index entry names.
pub(super) fn session_of(entry: &Key) -> Option<&str> {
    match open_place(entry) {
        Some(place) => Some(place.id),
        None => entry.0.rsplit_once('/').map(|(_, id)| id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_stores_refuse_are_indexed_by_their_hash() {
        let layout = Layout::new("home", "b1");
        assert_eq!(layout.done("photos", "a/b").0, "v1/home/done/photos/a/b/b1");
        let long = "x".repeat(256);
        let deep = "y/".repeat(510) + "z";
        for key in ["a//b", "/a", "a/", "../a", "a/./b", "a\\b", &long, &deep] {
            let hashed = layout.done("photos", key).0;
            assert!(hashed.starts_with("v1/home/done-hashed/photos/"), "{hashed}");
            assert!(hashed.ends_with("/b1"));
        }
    }

    #[test]
    fn the_entries_of_a_key_lie_directly_below_its_prefixes() {
        for key in ["a/b", "a//b", "dir/", "x"] {
            let layout = Layout::new("home", "b1");
            let prefixes = key_prefixes("home", "photos", key);
            let done = layout.done("photos", key).0;
            let parent = done.strip_suffix("b1").unwrap();
            assert!(prefixes.contains(&(Index::Done, parent.to_owned())), "{key}: {prefixes:?}");
            let open = layout.open("photos", key, 7).0;
            let parent = open.strip_suffix("000000000007-b1").unwrap();
            assert!(prefixes.contains(&(Index::Open, parent.to_owned())), "{key}: {prefixes:?}");
        }
    }

    #[test]
    fn an_open_entry_says_what_it_was_made_of_and_is_never_too_long() {
        let id = "i".repeat(64);
        let layout = Layout::new(&"a".repeat(64), &id);
        for key in ["a/b", "!", "x", &"x".repeat(160), &"\u{1}".repeat(1024)] {
            let entry = layout.open(&"b".repeat(63), key, 1_700_000_000);
            assert!(entry.0.len() <= MAX_KEY_BYTES, "{entry}");
            let place =
                OpenPlace { form: &ordered::of_key(key), created_at: 1_700_000_000, id: &id };
            assert_eq!((open_place(&entry), session_of(&entry)), (Some(place), Some(&*id)));
        }
        for none in [
            "v1/home/done/b/k/b1",
            "v1/home/open-uploads/b/k/b1",
            "v1/home/open-uploads/b/k!7-b1",
            "v1/open-uploads",
        ] {
            assert_eq!(open_place(&Key::from(none)), None, "{none}");
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
