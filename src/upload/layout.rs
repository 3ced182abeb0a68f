//! The keys of everything that a session keeps in the state bucket.
//!
//! Guarantees: no key has an empty, `.` or `..` segment or one over 255 bytes, whatever the
//! target's key is; no key can be confused with one of another account; the entries of open
//! sessions sort by bucket, key, creation time and id, as S3 lists uploads (with the exception that
//! `ordered` names). Pure. Source: docs/architecture.md#layout-of-the-state-bucket,
//! docs/architecture.md#names-that-every-store-takes.

use super::index::ordered;
use crate::digest::Sha256;
use crate::names::{AccountName, BackupId, Bucket, Key};

/// The longest key segment that every store accepts.
const MAX_SEGMENT_BYTES: usize = 255;
/// The longest key that S3 accepts.
const MAX_KEY_BYTES: usize = 1024;
/// More seconds since 1970 than any session is created at: twelve digits.
const END_OF_TIME: u64 = 999_999_999_999;
/// The index of open sessions.
const OPEN: &str = "open-uploads";

/// The keys of one session.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    account: AccountName,
    id: BackupId,
}

/// One of the two indexes by target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// Sessions that are not finished yet.
    Open,
    Done,
}

/// What the key of an entry of the index of open sessions says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntryKey<'a> {
    /// The ordered form of the target's key, see `ordered`.
    pub form: &'a str,
    /// Unix seconds: `created_at` of the root.
    pub created_at: u64,
    pub id: &'a str,
}

impl Layout {
    pub fn new(account: &AccountName, id: &BackupId) -> Self {
        Self { account: account.clone(), id: id.clone() }
    }

    fn at(&self, rest: &str) -> Key {
        Key::from(format!("v1/{}/sessions/{}/{rest}", self.account, self.id))
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
        key.strip_prefix(self.segments().as_str())?.strip_suffix(".json")?.parse().ok()
    }

    pub fn staged_prefix(&self) -> Key {
        self.at("staged/")
    }

    /// The checksum is in the key, so that racing writers of one chunk never overwrite each other.
    pub fn staged(&self, index: u32, sha256: &Sha256) -> Key {
        self.at(&format!("staged/{index}-{}", sha256.hex()))
    }

    /// The session's entry in the index of open sessions. `created_at` is the root's: an entry with
    /// another time was left by a create that failed, and is skipped.
    pub fn open(&self, bucket: &Bucket, key: &Key, created_at: u64) -> Key {
        Key::from(format!(
            "{}{created_at:012}-{}",
            open_of_key(&self.account, bucket, key),
            self.id
        ))
    }

    /// The session's entry in the index of known parts, where the newest session comes first.
    pub fn known(&self, bucket: &Bucket, created_at: u64) -> Key {
        let before_the_end = END_OF_TIME.saturating_sub(created_at);
        let prefix = known_of_bucket(&self.account, bucket);
        Key::from(format!("{prefix}{before_the_end:012}-{}", self.id))
    }

    /// The session's entry in the index of completed sessions.
    pub fn done(&self, bucket: &Bucket, key: &Key) -> Key {
        let plain = format!("v1/{}/done/{bucket}/{key}/{}", self.account, self.id);
        if plain.len() <= MAX_KEY_BYTES && is_accepted_by_stores(key) {
            return Key::from(plain);
        }
        let hash = Sha256::of(key.as_bytes()).hex();
        Key::from(format!("v1/{}/done-hashed/{bucket}/{hash}/{}", self.account, self.id))
    }
}

/// Whether every store accepts the key as a part of another one.
fn is_accepted_by_stores(key: &Key) -> bool {
    let is_refused =
        |segment: &str| matches!(segment, "" | "." | "..") || segment.len() > MAX_SEGMENT_BYTES;
    !key.contains('\\') && !key.split('/').any(is_refused)
}

/// The open entry of a target (docs/architecture.md#open-entries).
pub(super) fn open_entry(account: &AccountName, identity: &[&str]) -> Key {
    // Each field follows its length, so that no two identities yield the same text.
    let text: String = identity.iter().map(|field| format!("{}:{field}", field.len())).collect();
    Key::from(format!("v1/{account}/open/{}", Sha256::of(text.as_bytes()).hex()))
}

/// The prefix of the index of known parts of an account and bucket.
pub(super) fn known_of_bucket(account: &AccountName, bucket: &Bucket) -> String {
    format!("v1/{account}/known/{bucket}/")
}

/// The prefix of all sessions of an account.
pub(super) fn sessions(account: &AccountName) -> Key {
    Key::from(format!("v1/{account}/sessions/"))
}

/// The prefix of the index of an account's open sessions.
pub(super) fn open_index(account: &AccountName) -> String {
    format!("v1/{account}/{OPEN}/")
}

/// The prefix of the entries of exactly one target key, which sort by creation time.
pub(super) fn open_of_key(account: &AccountName, bucket: &Bucket, key: &Key) -> String {
    format!("{}{bucket}/{}!", open_index(account), ordered::of_key(key))
}

/// The prefix of the entries of all target keys with this prefix; false if entries of other target
/// keys have it too.
pub(super) fn open_of_prefix(
    account: &AccountName,
    bucket: &Bucket,
    prefix: &str,
) -> (String, bool) {
    let (form, is_whole) = ordered::of_prefix(prefix);
    (format!("{}{bucket}/{form}", open_index(account)), is_whole)
}

/// What the key of an entry of the index of open sessions says; None if it is no such key.
pub(super) fn parse_index_entry(entry: &Key) -> Option<IndexEntryKey<'_>> {
    let mut segments = entry.splitn(5, '/');
    let below = segments.nth(2).filter(|word| *word == OPEN).and_then(|_| segments.nth(1))?;
    let (form, time_and_id) = below.rsplit_once('!')?;
    let (created_at, id) = parse_time_and_id(time_and_id)?;
    Some(IndexEntryKey { form, created_at, id })
}

/// Creation time and id of a session, from the end of its entry in the index of open sessions.
pub(super) fn parse_time_and_id(text: &str) -> Option<(u64, &str)> {
    let (time, id) = text.split_once('-')?;
    let digits = time.len() == 12 && time.bytes().all(|b| b.is_ascii_digit());
    Some((time.parse().ok().filter(|_| digits)?, id))
}

/// The prefixes of the entries of open sessions that older gateways wrote, without a time.
pub(super) fn old_open_indexes(account: &AccountName) -> [String; 2] {
    ["index", "index-hashed"].map(|word| format!("v1/{account}/{word}/"))
}

/// The prefixes of the entries that are needed only as long as their session is open.
pub(super) fn entry_prefixes(account: &AccountName) -> [String; 4] {
    let [old, old_hashed] = old_open_indexes(account);
    [open_index(account), old, old_hashed, format!("v1/{account}/open/")]
}

/// Whether it is an open entry, which names its session in its content and not in its key.
pub(super) fn is_open_entry(entry: &Key) -> bool {
    entry.split('/').nth(2) == Some("open")
}

/// The prefixes of an account's indexes, in the order in which a listing walks them.
pub(super) fn index_prefixes(
    account: &AccountName,
    bucket: Option<&Bucket>,
    prefix: &str,
) -> Vec<(Index, String)> {
    let (open, plain, hashed) =
        (open_index(account), format!("v1/{account}/done/"), format!("v1/{account}/done-hashed/"));
    match bucket {
        Some(bucket) => vec![
            (Index::Open, open_of_prefix(account, bucket, prefix).0),
            (Index::Done, format!("{plain}{bucket}/{prefix}")),
            // Hashed keys do not sort by prefix: all of the bucket's entries are read.
            (Index::Done, format!("{hashed}{bucket}/")),
        ],
        None => vec![(Index::Open, open), (Index::Done, plain), (Index::Done, hashed)],
    }
}

/// As `index_prefixes`, for the entries of exactly one target key: they lie directly below these
/// prefixes.
pub(super) fn key_prefixes(
    account: &AccountName,
    bucket: &Bucket,
    key: &Key,
) -> Vec<(Index, String)> {
    let hash = Sha256::of(key.as_bytes()).hex();
    let mut prefixes = vec![(Index::Open, open_of_key(account, bucket, key))];
    if is_accepted_by_stores(key) {
        prefixes.push((Index::Done, format!("v1/{account}/done/{bucket}/{key}/")));
    }
    prefixes.push((Index::Done, format!("v1/{account}/done-hashed/{bucket}/{hash}/")));
    prefixes
}

/// The session that an index entry names.
pub(super) fn session_of(entry: &Key) -> Option<BackupId> {
    let id = match parse_index_entry(entry) {
        Some(parsed) => parsed.id,
        None => entry.rsplit_once('/')?.1,
    };
    Some(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_stores_refuse_are_indexed_by_their_hash() {
        let layout = Layout::new(&"home".into(), &"b1".into());
        assert_eq!(layout.done(&"photos".into(), &"a/b".into()), "v1/home/done/photos/a/b/b1");
        let long = "x".repeat(256);
        let deep = "y/".repeat(510) + "z";
        for key in ["a//b", "/a", "a/", "../a", "a/./b", "a\\b", &long, &deep] {
            let hashed = layout.done(&"photos".into(), &key.into());
            assert!(hashed.starts_with("v1/home/done-hashed/photos/"), "{hashed}");
            assert!(hashed.ends_with("/b1"));
        }
    }

    #[test]
    fn the_entries_of_a_key_lie_directly_below_its_prefixes() {
        for key in ["a/b", "a//b", "dir/", "x"] {
            let layout = Layout::new(&"home".into(), &"b1".into());
            let prefixes = key_prefixes(&"home".into(), &"photos".into(), &key.into());
            let done = layout.done(&"photos".into(), &key.into());
            let parent = done.strip_suffix("b1").unwrap();
            assert!(prefixes.contains(&(Index::Done, parent.to_owned())), "{key}: {prefixes:?}");
            let open = layout.open(&"photos".into(), &key.into(), 7);
            let parent = open.strip_suffix("000000000007-b1").unwrap();
            assert!(prefixes.contains(&(Index::Open, parent.to_owned())), "{key}: {prefixes:?}");
        }
    }

    #[test]
    fn an_open_entry_can_be_parsed_and_is_never_too_long() {
        let id = "i".repeat(64);
        let layout = Layout::new(&"a".repeat(64).into(), &id.clone().into());
        for key in ["a/b", "!", "x", &"x".repeat(160), &"\u{1}".repeat(1024)] {
            let entry = layout.open(&"b".repeat(63).into(), &key.into(), 1_700_000_000);
            assert!(entry.len() <= MAX_KEY_BYTES, "{entry}");
            let parsed =
                IndexEntryKey { form: &ordered::of_key(key), created_at: 1_700_000_000, id: &id };
            assert_eq!(
                (parse_index_entry(&entry), session_of(&entry)),
                (Some(parsed), Some(id.as_str().into()))
            );
        }
        for other in [
            "v1/home/done/b/k/b1",
            "v1/home/open-uploads/b/k/b1",
            "v1/home/open-uploads/b/k!7-b1",
            "v1/open-uploads",
        ] {
            assert_eq!(parse_index_entry(&Key::from(other)), None, "{other}");
        }
    }

    #[test]
    fn different_identities_have_different_open_entries() {
        assert_ne!(open_entry(&"a".into(), &["ab", "c"]), open_entry(&"a".into(), &["a", "bc"]));
    }

    #[test]
    fn segment_numbers_are_parsed_from_keys() {
        let layout = Layout::new(&"home".into(), &"b1".into());
        assert_eq!(layout.segment_number(&layout.segment(1_234_567)), Some(1_234_567));
        assert_eq!(layout.segment_number(&layout.root()), None);
    }
}
