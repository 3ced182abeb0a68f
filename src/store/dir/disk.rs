//! What the disk is asked: work that waits for it, room, and what its errors mean.
//!
//! Guarantees: a disk that runs full stops bodies while there is room for the index still, so that
//! what takes room can be removed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use tokio::task::JoinHandle;

use super::super::{Error, Kind, Result};

/// What bodies leave free: removing a thing writes to the index before it frees room.
const RESERVE_BYTES: u64 = 16 << 20;

/// Work that waits for the disk, on a thread that may.
pub async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    done(what, tokio::task::spawn_blocking(work)).await
}

/// The end of such work, where something else was done meanwhile.
pub async fn done<T>(what: &str, work: JoinHandle<io::Result<T>>) -> Result<T> {
    work.await.map_err(io::Error::other).flatten().map_err(|error| disk_error(what, error))
}

/// An I/O error as the store's error.
pub fn disk_error(what: &str, error: io::Error) -> Error {
    let kind = if is_full(&error) { Kind::Full } else { Kind::Unavailable };
    Error::new(kind, format!("{what} failed")).because(error)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Fails unless the disk has room for so many bytes and the reserve. A disk that cannot say is
/// taken at its word later.
pub fn require_room(place: impl AsFd, len_bytes: u64) -> io::Result<()> {
    let Ok(disk) = rustix::fs::fstatvfs(place) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= len_bytes.saturating_add(RESERVE_BYTES) {
        Ok(())
    } else {
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// Sets a stretch of the disk aside for a file, whose length stays: the stretch is laid out in one
/// piece, and what comes beside it cannot take its room. A file system that cannot is taken at its
/// word later.
#[cfg(target_os = "linux")]
pub fn preallocate(file: &File, stretch: Range<u64>) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    match fallocate(file, FallocateFlags::KEEP_SIZE, stretch.start, stretch.end - stretch.start)
        .map_err(io::Error::from)
    {
        Err(error) if is_full(&error) => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn set_aside(_file: &File, _stretch: Range<u64>) -> io::Result<()> {
    Ok(())
}

/// Has the disk begin with bytes that were written, so that the sync later has little to wait for;
/// their pages are the first to go when memory is wanted. Only advice: the sync alone makes a file
/// durable, and tells what failed here, as the file stays open until then (fsync(2), ERRORS).
///
/// For Linux, "not needed" starts the writing of dirty pages and drops clean ones
/// (posix_fadvise(2), NOTES). `sync_file_range` says it more plainly, but not in safe Rust, and was
/// no faster.
#[cfg(target_os = "linux")]
pub fn start_writeback(file: &File, stretch: Range<u64>) {
    // Of no length would mean all that follows.
    let Some(len_bytes) = std::num::NonZeroU64::new(stretch.end - stretch.start) else { return };
    rustix::fs::fadvise(file, stretch.start, Some(len_bytes), rustix::fs::Advice::DontNeed).ok();
}

#[cfg(not(target_os = "linux"))]
pub fn begin_writing(_file: &File, _stretch: Range<u64>) {}

/// Has a file's bytes go straight between the disk and our memory from now on, or by way of the
/// page cache again.
/// **Errors**: a file system that has no such way.
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
