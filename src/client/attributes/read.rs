//! Reads the attributes of what lies at a path on this machine.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr, major, minor};
use rustix::io::Errno;

use super::{Attributes, DeviceNumber, EntryKind, Owner};
use crate::client::{Error, Result};

/// The most that Linux has for the names of a file, and for one value. Source: xattr(7).
const MAX_XATTR_BYTES: usize = 64 << 10;

/// What a file system or a security module computes itself, for each file anew.
const COMPUTED_XATTRS: [&str; 3] = ["security.selinux", "security.ima", "security.evm"];

/// The attributes of what lies at a path; a link is not followed.
pub(in crate::client) fn attributes_of_path(path: &Path) -> Result<Attributes> {
    let meta = fs::symlink_metadata(path);
    let meta = meta.map_err(Error::io(path, "its attributes cannot be read"))?;
    attributes_of(path, &meta)
}

/// The same with what the caller has read already, which may be of an open file.
pub(in crate::client) fn attributes_of(path: &Path, meta: &Metadata) -> Result<Attributes> {
    let kind = meta.file_type();
    let device = DeviceNumber { major: major(meta.rdev()), minor: minor(meta.rdev()) };
    let kind = if kind.is_dir() {
        EntryKind::Directory
    } else if kind.is_symlink() {
        EntryKind::Symlink
    } else if kind.is_fifo() {
        EntryKind::Fifo
    } else if kind.is_socket() {
        EntryKind::Socket
    } else if kind.is_char_device() {
        EntryKind::CharacterDevice(device)
    } else if kind.is_block_device() {
        EntryKind::BlockDevice(device)
    } else {
        EntryKind::File
    };
    Ok(Attributes {
        // A link has no mode of its own.
        mode: (kind != EntryKind::Symlink).then(|| meta.mode() & 0o7777),
        kind,
        modified_ns: Some(i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())),
        owner: Some(Owner { uid: meta.uid(), gid: meta.gid() }),
        hard_link: None,
        name: None,
        xattrs: xattrs_of(path)?,
    })
}

fn xattrs_of(path: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let failed = || Error::io(path, "its extended attributes cannot be read");
    let mut buffer = vec![0; MAX_XATTR_BYTES];
    let len = match llistxattr(path, buffer.as_mut_slice()) {
        Ok(len) => len,
        // The file system has none.
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(failed()(error.into())),
    };
    let names = buffer[..len].to_vec();
    let mut xattrs = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if COMPUTED_XATTRS.iter().any(|computed| computed.as_bytes() == name) {
            continue;
        }
        match lgetxattr(path, name, buffer.as_mut_slice()) {
            Ok(len) => drop(xattrs.insert(name.to_vec(), buffer[..len].to_vec())),
            // It was removed meanwhile.
            Err(Errno::NODATA) => {}
            Err(error) => return Err(failed()(error.into())),
        }
    }
    Ok(xattrs)
}
