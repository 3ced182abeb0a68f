//! Attributes as metadata of an object: texts of printable ASCII.
//!
//! Guarantees: pure; `from_metadata` of `to_metadata` is the same attributes.

use std::collections::BTreeMap;

use percent_encoding::{percent_decode_str, percent_encode};

use super::{Attributes, DeviceNumber, EntryKind, Owner};
use crate::sigv4::URI_COMPONENT;

pub(in crate::client) type Metadata = BTreeMap<String, String>;

/// Octal. The gateway refuses names that begin with `ratchet-`.
const MODE: &str = "file-mode";
const MODIFIED: &str = "file-mtime-ns";
/// `UID:GID`.
const OWNER: &str = "file-owner";
/// Absent for regular files and directories.
const TYPE: &str = "file-type";
/// `MAJOR:MINOR`.
const DEVICE: &str = "file-device";
const HARD_LINK: &str = "file-link";
/// Percent-encoded.
const NAME: &str = "file-name";
/// `NAME=VALUE&NAME=VALUE`, percent-encoded.
const XATTRS: &str = "file-xattrs";

/// Mode and time as older backups name them.
const OLD_MODE: &str = "ratchet-mode";
const OLD_MODIFIED: &str = "ratchet-mtime";

/// The most that the gateway takes, names and values together (docs/api.md#create-a-backup).
const MAX_METADATA_BYTES: usize = 1984;

const SYMLINK: &str = "symlink";
const FIFO: &str = "fifo";
const SOCKET: &str = "socket";
const CHARACTER_DEVICE: &str = "character-device";
const BLOCK_DEVICE: &str = "block-device";

pub(in crate::client) fn fits_in_metadata(metadata: &Metadata) -> bool {
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    bytes <= MAX_METADATA_BYTES
}

impl Attributes {
    pub fn to_metadata(&self) -> Metadata {
        let mut metadata = Metadata::new();
        let mut insert = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                metadata.insert(name.to_owned(), value);
            }
        };
        insert(MODE, self.mode.map(|mode| format!("{mode:o}")));
        insert(MODIFIED, self.modified_ns.map(|time| time.to_string()));
        insert(OWNER, self.owner.map(|Owner { uid, gid }| format!("{uid}:{gid}")));
        let (word, device) = match &self.kind {
            EntryKind::File | EntryKind::Directory => (None, None),
            EntryKind::Symlink => (Some(SYMLINK), None),
            EntryKind::Fifo => (Some(FIFO), None),
            EntryKind::Socket => (Some(SOCKET), None),
            EntryKind::CharacterDevice(number) => (Some(CHARACTER_DEVICE), Some(number)),
            EntryKind::BlockDevice(number) => (Some(BLOCK_DEVICE), Some(number)),
            EntryKind::Unknown(word) => (Some(word.as_str()), None),
        };
        insert(TYPE, word.map(str::to_owned));
        insert(DEVICE, device.map(|DeviceNumber { major, minor }| format!("{major}:{minor}")));
        insert(HARD_LINK, self.hard_link.clone());
        insert(NAME, self.name.as_deref().map(encoded));
        let xattrs: Vec<String> = self
            .xattrs
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        insert(XATTRS, (!xattrs.is_empty()).then(|| xattrs.join("&")));
        metadata
    }

    /// What is not there or cannot be read is unknown.
    pub fn from_metadata(metadata: &Metadata, key: &str) -> Self {
        let get = |name: &str| metadata.get(name).map(String::as_str);
        let device = get(DEVICE).and_then(pair).unwrap_or_default();
        let device = DeviceNumber { major: device.0, minor: device.1 };
        let kind = match get(TYPE) {
            None if key.ends_with('/') => EntryKind::Directory,
            None => EntryKind::File,
            Some(SYMLINK) => EntryKind::Symlink,
            Some(FIFO) => EntryKind::Fifo,
            Some(SOCKET) => EntryKind::Socket,
            Some(CHARACTER_DEVICE) => EntryKind::CharacterDevice(device),
            Some(BLOCK_DEVICE) => EntryKind::BlockDevice(device),
            Some(word) => EntryKind::Unknown(word.to_owned()),
        };
        let mode = get(MODE).or(get(OLD_MODE));
        Self {
            kind,
            mode: mode.and_then(|mode| u32::from_str_radix(mode, 8).ok()).map(|mode| mode & 0o7777),
            modified_ns: get(MODIFIED).or(get(OLD_MODIFIED)).and_then(|time| time.parse().ok()),
            owner: get(OWNER).and_then(pair).map(|(uid, gid)| Owner { uid, gid }),
            hard_link: get(HARD_LINK).map(str::to_owned),
            name: get(NAME).map(decoded),
            xattrs: get(XATTRS)
                .unwrap_or_default()
                .split('&')
                .filter_map(|entry| entry.split_once('='))
                .map(|(name, value)| (decoded(name), decoded(value)))
                .collect(),
        }
    }

    /// The same without what may be long.
    pub fn without_xattrs(&self) -> Self {
        Self { xattrs: BTreeMap::new(), ..self.clone() }
    }
}

fn encoded(bytes: &[u8]) -> String {
    percent_encode(bytes, URI_COMPONENT).to_string()
}

fn decoded(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

fn pair(text: &str) -> Option<(u32, u32)> {
    let (first, second) = text.split_once(':')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_holds_every_attribute() {
        let device = DeviceNumber { major: 8, minor: 300 };
        let kinds = [
            EntryKind::File,
            EntryKind::Symlink,
            EntryKind::Fifo,
            EntryKind::Socket,
            EntryKind::CharacterDevice(device),
            EntryKind::BlockDevice(device),
            EntryKind::Unknown("door".to_owned()),
        ];
        for kind in kinds {
            let attributes = Attributes {
                kind,
                mode: Some(0o6755),
                modified_ns: Some(-1),
                owner: Some(Owner { uid: 1000, gid: u32::MAX }),
                hard_link: Some("0a".to_owned()),
                name: Some(b"caf\xe9 %&=".to_vec()),
                xattrs: BTreeMap::from([
                    (b"user.a=b&c".to_vec(), b"\0\xff=&%".to_vec()),
                    (b"user.empty".to_vec(), Vec::new()),
                ]),
            };
            let metadata = attributes.to_metadata();
            assert!(
                metadata.values().all(|value| value.bytes().all(|b| (0x21..0x7f).contains(&b)))
            );
            assert_eq!(Attributes::from_metadata(&metadata, "key"), attributes);
        }
        let none = Attributes::from_metadata(&Metadata::new(), "dir/");
        assert_eq!(none, Attributes { kind: EntryKind::Directory, ..Attributes::default() });
    }

    #[test]
    fn metadata_of_older_backups_is_understood() {
        let old = [("ratchet-mode", "644"), ("ratchet-mtime", "5")];
        let old = old.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let attributes = Attributes::from_metadata(&old, "key");
        assert_eq!((attributes.mode, attributes.modified_ns), (Some(0o644), Some(5)));
    }
}
