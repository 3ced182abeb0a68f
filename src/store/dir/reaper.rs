//! The thread that removes garbage files: those that no object or part refers to any more.
//!
//! Guarantees: neither a commit nor the opening of a store waits for a removal
//! (docs/decisions/0017-files-are-removed-on-a-thread-of-their-own.md). Garbage is recorded in the
//! index, and its record is deleted only once the removal is durable. A file that cannot be removed
//! stays until the store is opened again; one that a running read needs stays until that read ends
//! (`pins`).

use std::io;
use std::sync::Arc;
use std::thread::Thread;

use super::super::Result;
use super::background::{Background, Stop};
use super::disk::disk_error;
use super::files::Files;
use super::handle::Handle;
use super::writer::Changes;

/// Files whose records are deleted in one transaction.
const BATCH: usize = 64;

/// Starts the thread, which begins with the garbage that exists. Returns its handle too, to be
/// unparked whenever there is more. Dropping the thread waits for the current file; the others are
/// removed after the next opening.
pub(super) fn start(
    handle: Arc<Handle>,
    files: Arc<Files>,
    changes: Changes,
) -> io::Result<(Background, Thread)> {
    let pins = Arc::clone(&files.pins);
    let work = Work { handle, files, changes };
    // If the index cannot be read or written now, the next released file tries again.
    let (reaper, wake) = Background::start("dir-reaper", move |stop| {
        work.sweep(stop).ok();
    })?;
    pins.set_reaper(wake.clone());
    Ok((reaper, wake))
}

struct Work {
    handle: Arc<Handle>,
    files: Arc<Files>,
    changes: Changes,
}

impl Work {
    /// Removes the garbage that is recorded now, in the order of ids.
    fn sweep(&self, stop: &Stop) -> Result<()> {
        let mut after = String::new();
        loop {
            let mut ids = self.handle.garbage(&after, BATCH)?;
            let Some(last) = ids.last() else { return Ok(()) };
            after.clone_from(last);
            self.files.pins.retain_unpinned(&mut ids);
            ids.retain(|id| !stop.is_asked() && self.files.remove(id).is_ok());
            let unsynced = |error| disk_error("syncing the removal of files", error);
            self.files.sync_removal(&ids).map_err(unsynced)?;
            if !ids.is_empty() {
                self.changes.run_blocking(move |tables| tables.delete_garbage_records(&ids))?;
            }
            if stop.is_asked() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dir;
    use super::*;
    use crate::clock::Clock;
    use crate::store::{Attributes, Body, Limits, PartNumber, PartTarget, Store, UploadTarget};

    /// More than two batches.
    const PARTS: u32 = 2 * BATCH as u32 + 1;

    #[tokio::test(flavor = "multi_thread")]
    async fn released_files_leave_the_disk_and_then_the_index() {
        let home = tempfile::tempdir().unwrap();
        let store = Dir::with_limits(home.path(), Limits::S3, Clock::system()).unwrap();
        let (bucket, key) = (&"bucket".into(), &"key".into());
        store.create_bucket(bucket).await.unwrap();
        let upload = store.create_upload(bucket, key, &Attributes::default()).await.unwrap();
        let target = UploadTarget { bucket, key, upload: &upload };
        for number in 1..=PARTS {
            let part = PartTarget { upload: target, number: PartNumber::new(number).unwrap() };
            store.put_part(part, Body::from(b"part".to_vec()), None.into()).await.unwrap();
        }
        assert_eq!(store.count_files().unwrap(), u64::from(PARTS));
        store.abort(target).await.unwrap();
        let shards = || std::fs::read_dir(home.path().join("data")).unwrap();
        let count_files = || {
            shards()
                .map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count())
                .sum::<usize>()
        };
        while count_files() > 0 {
            tokio::task::yield_now().await;
        }
        // Waits until the records of the last files are deleted.
        drop(store);
        let index = Handle::open(home.path().join("index.redb")).unwrap();
        assert_eq!(index.garbage("", 1).unwrap(), Vec::<String>::new());
    }
}
