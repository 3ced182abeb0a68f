//! What the disk is asked: work that waits for it, room, and what its errors mean.
//!
//! Guarantees: a disk that runs full stops bodies while there is room for the index still, so that what takes room can
//! be removed.

use std::io;
use std::os::fd::AsFd;

use super::super::{Error, Kind, Result};

/// What bodies leave free: removing a thing writes to the index before it frees room.
const RESERVE_BYTES: u64 = 16 << 20;

/// Work that waits for the disk, on a thread that may.
pub async fn blocking<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).flatten().map_err(|error| disk_error(what, error))
}

/// An I/O error as the store's error.
pub fn disk_error(what: &str, error: io::Error) -> Error {
    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let kind = if full { Kind::Full } else { Kind::Unavailable };
    Error::new(kind, format!("{what} failed")).because(error)
}

/// Fails unless the disk has room for so many bytes and the reserve. A disk that cannot say is taken at its word later.
pub fn require_room(place: impl AsFd, len_bytes: u64) -> io::Result<()> {
    let Ok(disk) = rustix::fs::fstatvfs(place) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= len_bytes.saturating_add(RESERVE_BYTES) { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
}
