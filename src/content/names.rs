//! The names of what this layout keeps in the state bucket.
//!
//! Guarantees: a name of a blob is used once, and the text of names sorts as the names do. Pure.
//! **Layout**: `v1/<account>/blobs/<upload>/…`, `v1/<account>/recipes/<id>/…`;
//! docs/architecture.md#layout-of-the-state-bucket.

use std::fmt;

use crate::digest::Sha256;
use crate::hex::{hex, unhex};
use crate::names::{AccountName, Key};
use crate::store::{ETag, PartNumber, UploadId};

/// What the ids of this layout's uploads begin with; no server's do.
const UPLOAD_PREFIX: &str = "ratchet-content.";

/// The marker of an upload that is neither completed nor aborted. It sorts before the parts.
const MARKER: &str = "!upload";

/// What the names of attempts to complete an upload begin with, and those of its sources.
const ATTEMPT: &str = "!upload!attempt!";
const SOURCE: &str = "!upload!source!";

/// The longest ETag that fits into the name of a reference.
const MAX_ETAG_BYTES: usize = 64;

/// A random name of 32 hex digits: of an upload or a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id([u8; 16]);

impl Id {
    /// None unless the text has 32 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// An upload of this layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContentUpload {
    pub account: AccountName,
    pub id: Id,
}

impl ContentUpload {
    /// None: the upload is one of the store's own.
    pub fn of(upload: &UploadId) -> Option<Self> {
        let (account, id) = upload.as_str().strip_prefix(UPLOAD_PREFIX)?.split_once('.')?;
        Some(Self { account: account.into(), id: Id::parse(id)? })
    }

    pub fn upload_id(&self) -> UploadId {
        UploadId(format!("{UPLOAD_PREFIX}{}.{}", self.account, self.id))
    }

    /// What the keys of its marker, blobs and references begin with.
    pub fn prefix(&self) -> String {
        format!("{}{}/", blobs_prefix(&self.account), self.id)
    }

    pub fn marker(&self) -> Key {
        format!("{}{MARKER}", self.prefix()).into()
    }

    pub fn attempt(&self, Attempt { recipe, over: Over(over) }: &Attempt) -> Key {
        format!("{}{ATTEMPT}{recipe}!{}", self.prefix(), hex(over)).into()
    }

    pub fn source(&self, recipe: &Id) -> Key {
        format!("{}{SOURCE}{recipe}", self.prefix()).into()
    }

    pub fn key(&self, part: &PartName) -> Key {
        format!("{}{part}", self.prefix()).into()
    }
}

/// The bytes of one part: an object that is written once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Blob {
    /// The upload that it was sent to.
    pub upload: Id,
    pub number: PartNumber,
    pub nonce: [u8; 8],
}

impl Blob {
    pub fn key(&self, account: &AccountName) -> Key {
        let Self { upload, number, nonce } = self;
        format!("{}{upload}/{}", blobs_prefix(account), file_name(*number, nonce)).into()
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (upload, file) = text.split_once('/')?;
        let (number, nonce) = parse_file_name(file)?;
        Some(Self { upload: Id::parse(upload)?, number, nonce })
    }
}

/// As in recipes: `<upload>/<number>-<nonce>`.
impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.upload, file_name(self.number, &self.nonce))
    }
}

/// The blob of another upload that is a part of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub blob: Blob,
    pub size_bytes: u64,
    pub etag: ETag,
}

/// What the listing of an upload says about one of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PartName {
    pub number: PartNumber,
    pub nonce: [u8; 8],
    /// None: the object is the blob itself.
    pub refers_to: Option<Reference>,
}

impl PartName {
    /// None if the ETag is too long for a name.
    pub fn referring(number: PartNumber, nonce: [u8; 8], to: Reference) -> Option<Self> {
        (to.etag.as_str().len() <= MAX_ETAG_BYTES).then_some(Self {
            number,
            nonce,
            refers_to: Some(to),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('!');
        let (number, nonce) = parse_file_name(fields.next()?)?;
        let Some(blob) = fields.next() else {
            return Some(Self { number, nonce, refers_to: None });
        };
        let blob = Blob::parse(&blob.replacen('.', "/", 1))?;
        let size_bytes = fields.next()?.parse().ok()?;
        let etag = from_hex(fields.next()?)?;
        let refers_to = Some(Reference { blob, size_bytes, etag: ETag(etag) });
        fields.next().is_none().then_some(Self { number, nonce, refers_to })
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&file_name(self.number, &self.nonce))?;
        let Some(Reference { blob, size_bytes, etag }) = &self.refers_to else { return Ok(()) };
        let Blob { upload, number, nonce } = blob;
        let file = file_name(*number, nonce);
        write!(f, "!{upload}.{file}!{size_bytes}!{}", hex(etag.as_str().as_bytes()))
    }
}

/// An attempt to complete an upload, noted before the pointer is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    pub recipe: Id,
    /// What [`Over`] the pointer was to be put.
    pub over: Over,
}

/// A short name of the object that an attempt replaces: made of its ETag, or of nothing where there
/// is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over([u8; 8]);

impl Over {
    pub fn object(etag: Option<&ETag>) -> Self {
        let Some(etag) = etag else { return Self([0; 8]) };
        let Sha256(digest) = Sha256::of(etag.as_str().as_bytes());
        Self(std::array::from_fn(|at| digest[at]))
    }
}

/// What a key below `blobs/` is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BlobsEntry {
    Marker,
    Attempt(Attempt),
    /// The upload copies from this recipe, which must not be removed meanwhile.
    Source(Id),
    Part(PartName),
}

/// The upload and the entry of a key below `v1/<account>/blobs/`. None: no version of Ratchet wrote
/// it.
pub(super) fn blobs_entry(account: &AccountName, key: &Key) -> Option<(Id, BlobsEntry)> {
    let (upload, file) = key.strip_prefix(blobs_prefix(account).as_str())?.split_once('/')?;
    let entry = if file == MARKER {
        BlobsEntry::Marker
    } else if let Some(attempt) = file.strip_prefix(ATTEMPT) {
        let (recipe, over) = attempt.split_once('!')?;
        BlobsEntry::Attempt(Attempt { recipe: Id::parse(recipe)?, over: Over(unhex(over)?) })
    } else if let Some(recipe) = file.strip_prefix(SOURCE) {
        BlobsEntry::Source(Id::parse(recipe)?)
    } else {
        BlobsEntry::Part(PartName::parse(file)?)
    };
    Some((Id::parse(upload)?, entry))
}

/// The key in the listing of an upload after which those of later parts than `number` come.
pub(super) fn after_part(upload: &ContentUpload, number: PartNumber) -> String {
    format!("{}{:05}~", upload.prefix(), number.get())
}

pub(super) fn blobs_prefix(account: &AccountName) -> String {
    format!("v1/{account}/blobs/")
}

pub(super) fn recipes_prefix(account: &AccountName) -> String {
    format!("v1/{account}/recipes/")
}

fn file_name(number: PartNumber, nonce: &[u8; 8]) -> String {
    format!("{:05}-{}", number.get(), hex(nonce))
}

fn parse_file_name(text: &str) -> Option<(PartNumber, [u8; 8])> {
    let (number, nonce) = text.split_once('-')?;
    Some((PartNumber::new(number.parse().ok()?)?, unhex(nonce)?))
}

fn from_hex(text: &str) -> Option<String> {
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| unhex::<1>(std::str::from_utf8(pair).ok()?).map(|[byte]| byte));
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_sort_by_number() {
        let account = AccountName::from("home");
        let upload = ContentUpload { account: account.clone(), id: Id([7; 16]) };
        assert_eq!(ContentUpload::of(&upload.upload_id()), Some(upload.clone()));
        for other in ["", "2~abc", "ratchet-content.home", "ratchet-content.home.12"] {
            assert_eq!(ContentUpload::of(&other.into()), None, "{other}");
        }
        assert_eq!(blobs_entry(&account, &upload.marker()), Some((upload.id, BlobsEntry::Marker)));
        let number = |number| PartNumber::new(number).unwrap();
        let blob = Blob { upload: Id([9; 16]), number: number(10_000), nonce: [1; 8] };
        assert_eq!(Blob::parse(&blob.to_string()), Some(blob));
        let etag = ETag::from("0x8DB/é");
        let to = Reference { blob, size_bytes: 5 << 30, etag };
        let over = Over::object(Some(&ETag::from("e")));
        assert_ne!(over, Over::object(None));
        let attempt = Attempt { recipe: Id([5; 16]), over };
        let source = Id([6; 16]);
        let mut keys = vec![upload.marker(), upload.attempt(&attempt), upload.source(&source)];
        let read = keys.iter().map(|key| blobs_entry(&account, key).unwrap().1);
        let entries =
            [BlobsEntry::Marker, BlobsEntry::Attempt(attempt), BlobsEntry::Source(source)];
        assert!(read.eq(entries), "{keys:?}");
        for part in [
            PartName { number: number(2), nonce: [255; 8], refers_to: None },
            PartName::referring(number(2), [255; 8], to).unwrap(),
            PartName { number: number(10_000), nonce: [0; 8], refers_to: None },
        ] {
            let key = upload.key(&part);
            assert!(key.len() < 1_000 && key.split('/').all(|segment| segment.len() < 255));
            let read = blobs_entry(&account, &key);
            assert_eq!(read, Some((upload.id, BlobsEntry::Part(part))), "{key}");
            keys.push(key);
        }
        assert!(keys.is_sorted(), "{keys:?}");
        let after = Key::from(after_part(&upload, number(2)));
        assert!(keys[4] < after && after < keys[5], "{keys:?}");
    }

    #[test]
    fn an_etag_that_is_too_long_for_a_name_is_refused() {
        let number = PartNumber::new(1).unwrap();
        let blob = Blob { upload: Id([9; 16]), number, nonce: [1; 8] };
        let to = Reference { blob, size_bytes: 1, etag: ETag("e".repeat(65)) };
        assert_eq!(PartName::referring(number, [0; 8], to), None);
    }
}
