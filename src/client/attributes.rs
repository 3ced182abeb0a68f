//! The attributes of files and directories that a backup keeps, as the object's metadata: mode and
//! time of the last change.

use std::collections::BTreeMap;
use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::{Error, Result};

/// Octal permission bits. The gateway refuses names that begin with `ratchet-`.
const MODE: &str = "file-mode";
/// Nanoseconds since 1970-01-01T00:00:00Z.
const MTIME: &str = "file-mtime-ns";

/// The same, as older backups name them.
const OLD_MODE: &str = "ratchet-mode";
const OLD_MTIME: &str = "ratchet-mtime";

/// The metadata for the object of a file or directory.
pub(super) fn attributes_of(meta: &Metadata) -> BTreeMap<String, String> {
    let mtime = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let mode = format!("{:o}", meta.mode() & 0o7777);
    BTreeMap::from([(MODE.to_owned(), mode), (MTIME.to_owned(), mtime.to_string())])
}

/// The permission bits, if the metadata has them.
pub(super) fn mode_in(metadata: &BTreeMap<String, String>) -> Option<u32> {
    let mode = metadata.get(MODE).or(metadata.get(OLD_MODE))?;
    // Permission bits only: a store must not be able to make a set-uid program.
    u32::from_str_radix(mode, 8).ok().map(|mode| mode & 0o777)
}

/// Gives a restored file or directory its time and mode, as far as the metadata has them.
pub(super) fn restore_attributes(path: &Path, metadata: &BTreeMap<String, String>) -> Result<()> {
    let mtime = metadata.get(MTIME).or(metadata.get(OLD_MTIME));
    if let Some(nanoseconds) = mtime.and_then(|mtime| mtime.parse::<u64>().ok()) {
        let file = fs::File::open(path).map_err(Error::io(path, "cannot be opened"))?;
        file.set_modified(UNIX_EPOCH + Duration::from_nanos(nanoseconds))
            .map_err(Error::io(path, "its time cannot be set"))?;
    }
    if let Some(mode) = mode_in(metadata) {
        fs::set_permissions(path, Permissions::from_mode(mode))
            .map_err(Error::io(path, "its mode cannot be set"))?;
    }
    Ok(())
}
