//! Operations on the disk: blocking work, free space, and the meaning of I/O errors.
//!
//! Guarantees: while a disk runs full, bodies are refused before the index runs out of space, so
//! that objects can still be removed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::Path;

use tokio::task::JoinHandle;

use super::super::{Disk, Error, Kind, Result};

/// Space that bodies leave free: a removal writes to the index before it frees space.
const RESERVE_BYTES: u64 = 16 << 20;

/// Runs work that waits for the disk on a blocking thread.
pub async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    join(what, tokio::task::spawn_blocking(work)).await
}

/// Waits for such work that was started before.
pub async fn join<T>(what: &str, work: JoinHandle<io::Result<T>>) -> Result<T> {
    work.await.map_err(io::Error::other).flatten().map_err(|error| disk_error(what, error))
}

/// An I/O error as the store's error.
pub fn disk_error(what: &str, error: io::Error) -> Error {
    if !is_full(&error) {
        return Error::new(Kind::Unavailable, format!("{what} failed")).because(error);
    }
    let left = error.get_ref().and_then(|cause| cause.downcast_ref::<RoomLeft>());
    let left = left.map_or_else(String::new, |left| format!(": {left}"));
    Error::new(Kind::Full, format!("the store has no room{left}")).because(error)
}

/// What a disk still has, where that is too little.
#[derive(Debug, thiserror::Error)]
#[error("{} MB left", .0 / 1_000_000)]
struct RoomLeft(u64);

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Fails unless the disk has space for so many bytes and the reserve. If the file system does not
/// tell its free space, the write itself will fail.
pub fn require_room(file: impl AsFd, len_bytes: u64) -> io::Result<()> {
    let Ok(disk) = rustix::fs::fstatvfs(file) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= len_bytes.saturating_add(RESERVE_BYTES) {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::StorageFull, RoomLeft(free)))
    }
}

/// Whether the disk of a directory has space for so many bytes and the reserve; true if the file
/// system does not tell.
pub fn has_room(directory: &Path, len_bytes: u64) -> bool {
    rustix::fs::statvfs(directory).map_or(true, |disk| {
        disk.f_bavail.saturating_mul(disk.f_frsize) >= len_bytes.saturating_add(RESERVE_BYTES)
    })
}

/// The file system of a store, and the size of its index.
pub fn disk(directory: &Path, index: &Path) -> io::Result<Disk> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(Disk {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        index_bytes: std::fs::metadata(index)?.len(),
    })
}

/// Preallocates a range of a file; its length stays. A file system that cannot is used without
/// (docs/decisions/0014-preallocation.md). **Errors**: a full disk.
#[cfg(target_os = "linux")]
pub fn preallocate(file: &File, range: Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::KEEP_SIZE, range.start, range.end - range.start)
        .map_err(io::Error::from)
    {
        Err(error) if is_full(&error) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn preallocate(_file: &File, _range: Range<u64>) -> io::Result<()> {
    Ok(())
}

/// Starts the writing of dirty pages, and drops clean ones (posix_fadvise(2), NOTES). Only advice:
/// the sync alone makes a file durable and reports errors, also of early writing
/// (docs/decisions/0013-early-writeback.md).
#[cfg(target_os = "linux")]
pub fn start_writeback(file: &File, range: Range<u64>) {
    // A length of 0 would mean "to the end of the file".
    let Some(len_bytes) = std::num::NonZeroU64::new(range.end - range.start) else { return };
    rustix::fs::fadvise(file, range.start, Some(len_bytes), rustix::fs::Advice::DontNeed).ok();
}

#[cfg(not(target_os = "linux"))]
pub fn start_writeback(_file: &File, _range: Range<u64>) {}

/// Switches direct I/O on or off for a file. **Errors**: the file system has no direct I/O.
#[cfg(target_os = "linux")]
pub fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(not(target_os = "linux"))]
pub fn set_direct(_file: &File, _direct: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
