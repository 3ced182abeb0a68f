//! Restores symbolic links and special files.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::makedev;

use super::part_file::path_beside;
use crate::client::{
    Result, Transport,
    attributes::{Attributes, DeviceNumber, EntryKind, Kept, apply_attributes, make_node},
    remote::{Current, Readable},
};

/// Makes the link or special file with its attributes, unless it is there.
pub(in crate::client) async fn restore_node(
    transport: &Transport,
    current: &Current,
    path: &Path,
    attributes: &Attributes,
) -> Result<(Readable, Kept)> {
    let readable = current.open(transport).await?;
    let is_link = matches!(attributes.kind, EntryKind::Symlink);
    let link_target = if is_link { readable.fetch_all(transport).await? } else { Vec::new() };
    if !is_there(path, &attributes.kind, &link_target) {
        make_node(path, &path_beside(path), &attributes.kind, &link_target)?;
    }
    Ok((readable, apply_attributes(path, attributes)))
}

fn is_there(path: &Path, kind: &EntryKind, link_target: &[u8]) -> bool {
    let Ok(meta) = fs::symlink_metadata(path) else { return false };
    let (found, has_number) = (meta.file_type(), |number: &DeviceNumber| {
        meta.rdev() == makedev(number.major, number.minor)
    });
    match kind {
        EntryKind::Symlink => {
            fs::read_link(path).is_ok_and(|link| link.as_os_str().as_bytes() == link_target)
        }
        EntryKind::Fifo => found.is_fifo(),
        EntryKind::Socket => found.is_socket(),
        EntryKind::CharacterDevice(number) => found.is_char_device() && has_number(number),
        EntryKind::BlockDevice(number) => found.is_block_device() && has_number(number),
        EntryKind::File | EntryKind::Directory | EntryKind::Unknown(_) => false,
    }
}
