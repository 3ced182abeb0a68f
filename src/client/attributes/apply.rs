//! Gives a restored file, directory, link or special file its attributes, and makes the last two.
//!
//! Guarantees: links are not followed. A set-id bit is given only to a file that belongs to the
//! recorded owner: otherwise it would be another user's program. What cannot be given is returned
//! with its reason, and the rest is given.

use std::ffi::OsStr;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags, lsetxattr, makedev,
    mknodat, utimensat,
};

use super::{Attributes, EntryKind, Owner};
use crate::client::{Error, Result};
use crate::escape::error_chain;

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const NANOSECONDS: i128 = 1_000_000_000;

/// What became of the attributes.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// What could not be given, with its reason.
    pub left_out: Vec<String>,
    /// Whether it belongs to another user than recorded, because only root can give files away.
    pub other_owner: bool,
}

/// Gives what lies at the path these attributes, as far as they are known.
pub(in crate::client) fn apply_attributes(path: &Path, attributes: &Attributes) -> Kept {
    let mut kept = Kept::default();
    let is_root = rustix::process::geteuid().is_root();
    let mut note = |what: &str, outcome: std::io::Result<()>| {
        if let Err(error) = outcome {
            kept.left_out.push(format!("{what}: {}", error_chain(&error)));
        }
    };
    let owner_result = attributes.owner.map_or(Ok(true), |owner| give_owner(path, owner, is_root));
    let mut other_owner = false;
    match owner_result {
        Ok(is_given) => other_owner = !is_given,
        Err(error) => note("its owner cannot be set", Err(error)),
    }
    // After the owner: a change of the owner clears set-id bits.
    if let (Some(mode), Ok(meta)) = (attributes.mode, fs::symlink_metadata(path)) {
        let allowed = allowed_mode(mode, attributes.owner, &meta);
        note("its mode cannot be set", fs::set_permissions(path, Permissions::from_mode(allowed)));
        if allowed != mode {
            let reason = if attributes.owner.is_none() {
                "the backup does not say whose it is"
            } else {
                "it belongs to another user or group here"
            };
            note("its set-id bit is left out", Err(std::io::Error::other(reason)));
        }
    }
    for (name, value) in &attributes.xattrs {
        if is_root || is_of_users(name) {
            let shown = String::from_utf8_lossy(name);
            let set = lsetxattr(path, OsStr::from_bytes(name), value, XattrFlags::empty());
            note(&format!("its attribute {shown} cannot be set"), set.map_err(Into::into));
        }
    }
    if let Some(modified) = attributes.modified_ns {
        note("its time cannot be set", give_time(path, modified));
    }
    kept.other_owner = other_owner;
    kept
}

/// Attributes that every user may give to own files; the others are for root alone.
fn is_of_users(name: &[u8]) -> bool {
    name.starts_with(b"user.") || name.starts_with(b"system.posix_acl_")
}

/// Whether owner and group are the recorded ones now. Users other than root can only give a file
/// to a group that they are in. **Errors**: those of root.
fn give_owner(path: &Path, owner: Owner, is_root: bool) -> std::io::Result<bool> {
    let is_given = |meta: Metadata| (meta.uid(), meta.gid()) == (owner.uid, owner.gid);
    let meta = fs::symlink_metadata(path)?;
    if is_given(meta) {
        return Ok(true);
    }
    let uid = is_root.then_some(owner.uid);
    match std::os::unix::fs::lchown(path, uid, Some(owner.gid)) {
        Err(error) if is_root => Err(error),
        _ => Ok(is_given(fs::symlink_metadata(path)?)),
    }
}

/// The mode without the set-id bits of an owner whom the file does not belong to.
fn allowed_mode(mode: u32, recorded: Option<Owner>, meta: &Metadata) -> u32 {
    let mut allowed = mode;
    if recorded.is_none_or(|owner| owner.uid != meta.uid()) {
        allowed &= !SET_USER_ID;
    }
    // On a directory the bit says whose group new files get; it lets nobody run anything.
    if recorded.is_none_or(|owner| owner.gid != meta.gid()) && !meta.is_dir() {
        allowed &= !SET_GROUP_ID;
    }
    allowed
}

fn give_time(path: &Path, modified_ns: i128) -> std::io::Result<()> {
    let seconds = i64::try_from(modified_ns.div_euclid(NANOSECONDS));
    let seconds = seconds.map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let nanoseconds = i64::try_from(modified_ns.rem_euclid(NANOSECONDS));
    let nanoseconds = nanoseconds.map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Makes a link or a special file at a path, by way of `beside`, in place of what is no directory.
/// `link_target` is what a link names.
pub(in crate::client) fn make_node(
    path: &Path,
    beside: &Path,
    kind: &EntryKind,
    link_target: &[u8],
) -> Result<()> {
    let failed = || Error::io(path, "cannot be made");
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir()) {
        return Err(Error::NotDone(format!("{} is a directory", path.display())));
    }
    // An error: nothing was left of an earlier restore.
    fs::remove_file(beside).ok();
    let (file_type, device) = match kind {
        EntryKind::Symlink => {
            std::os::unix::fs::symlink(OsStr::from_bytes(link_target), beside).map_err(failed())?;
            return fs::rename(beside, path).map_err(failed());
        }
        EntryKind::Fifo => (FileType::Fifo, 0),
        EntryKind::Socket => (FileType::Socket, 0),
        EntryKind::CharacterDevice(number) => {
            (FileType::CharacterDevice, makedev(number.major, number.minor))
        }
        EntryKind::BlockDevice(number) => {
            (FileType::BlockDevice, makedev(number.major, number.minor))
        }
        EntryKind::Unknown(word) => {
            return Err(Error::NotDone(format!("this version does not know what a {word} is")));
        }
        EntryKind::File | EntryKind::Directory => {
            return Err(Error::NotDone("files and directories are made otherwise".to_owned()));
        }
    };
    let made = mknodat(CWD, beside, file_type, Mode::from_raw_mode(0o600), device);
    made.map_err(|error| failed()(error.into()))?;
    fs::rename(beside, path).map_err(failed())
}
