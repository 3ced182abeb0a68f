//! What a backup keeps of a file, a directory, a link or a special file besides its bytes.
//!
//! Guarantees: what is written as metadata is read back as the same attributes, names and values
//! that are no UTF-8 included. Metadata of older backups is understood.
//!
//! **Layout**: the object's metadata, with names that begin with `file-`. What does not fit there,
//! or changed while the bytes did not, is an object of its own: the attribute entry of
//! `photos/cat.jpg` is `photos/.ratchet-attributes/cat.jpg` (docs/clients.md#what-is-kept).

mod apply;
mod codec;
mod entry;
mod read;

use std::collections::BTreeMap;
use std::path::Path;

pub use apply::Kept;

pub(super) use apply::{apply_attributes, make_node};
pub(super) use codec::fits_in_metadata;
pub(super) use entry::{
    AttributeEntries, MAX_KEY_BYTES, backup_attributes, entry_key, is_reserved, key_of_entry,
    lies_in_entries, names_backup,
};
pub(super) use read::{attributes_of, attributes_of_path};

/// What lies at a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum EntryKind {
    #[default]
    File,
    Directory,
    /// Its target is the content of its object.
    Symlink,
    Fifo,
    Socket,
    CharacterDevice(DeviceNumber),
    BlockDevice(DeviceNumber),
    /// A kind that this version does not know.
    Unknown(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DeviceNumber {
    pub major: u32,
    pub minor: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// The attributes, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits.
    pub mode: Option<u32>,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub modified_ns: Option<i128>,
    pub owner: Option<Owner>,
    /// The same for all names of one file that has several.
    pub hard_link: Option<String>,
    /// The name, if it is not UTF-8 and its key therefore another.
    pub name: Option<Vec<u8>>,
    /// Extended attributes, access control lists included.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// How a path is shown in messages.
pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
