//! The one thread that takes files that nothing is made of any more off the disk.
//!
//! Guarantees: no commit waits for a removal: a file of 8 MiB takes 7 ms where the disk is told
//! what is free, and a backup that is thrown away has thousands. Nor does opening a store wait for
//! what a crash left to be removed. What is to go stands in the index and not in memory, and is
//! forgotten there only once it is gone for good. A file that cannot be removed stays until the
//! store is opened again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};

use super::super::Result;
use super::disk::disk_error;
use super::files::Files;
use super::handle::Handle;
use super::writer::Changes;

/// Files that are forgotten together.
const AT_ONCE: usize = 64;

/// Dropping it waits for the file that is being removed; the others go later.
#[derive(Debug)]
pub(super) struct Reaper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    /// Begins with what is there. Also what to unpark when there is more.
    pub fn start(
        handle: Arc<Handle>,
        files: Arc<Files>,
        changes: Changes,
    ) -> io::Result<(Self, Thread)> {
        let stop = Arc::new(AtomicBool::new(false));
        let work = Work { handle, files, changes, stop: Arc::clone(&stop) };
        let thread =
            thread::Builder::new().name("dir-reaper".to_owned()).spawn(move || work.run())?;
        let more = thread.thread().clone();
        Ok((Self { stop, thread: Some(thread) }, more))
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic of the thread leaves files for the next opening.
            thread.join().ok();
        }
    }
}

struct Work {
    handle: Arc<Handle>,
    files: Arc<Files>,
    changes: Changes,
    stop: Arc<AtomicBool>,
}

impl Work {
    fn run(self) {
        while !self.stopped() {
            // An index that cannot be read or written now is tried again with the next file that
            // goes.
            self.sweep().ok();
            thread::park();
        }
    }

    /// Removes what is there by now, in the order of ids.
    fn sweep(&self) -> Result<()> {
        let mut after = String::new();
        loop {
            let mut ids = self.handle.garbage(&after, AT_ONCE)?;
            let Some(last) = ids.last() else { return Ok(()) };
            after.clone_from(last);
            ids.retain(|id| !self.stopped() && self.files.remove(id).is_ok());
            let unsynced = |error| disk_error("syncing the removal of files", error);
            self.files.sync_removal(&ids).map_err(unsynced)?;
            self.changes.run_blocking(move |tables| tables.forget(&ids))?;
            if self.stopped() {
                return Ok(());
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Dir;
    use super::*;
    use crate::clock::Clock;
    use crate::store::{Attributes, Body, Limits, PartNumber, PartTarget, Store, UploadTarget};

    /// More than are forgotten together.
    const PARTS: u32 = 2 * AT_ONCE as u32 + 1;

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_let_go_leaves_the_disk_and_then_the_index() {
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
        assert_eq!(store.file_census().unwrap(), u64::from(PARTS));
        store.abort(target).await.unwrap();
        let shards = || std::fs::read_dir(home.path().join("data")).unwrap();
        let left = || {
            shards()
                .map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count())
                .sum::<usize>()
        };
        while left() > 0 {
            tokio::task::yield_now().await;
        }
        // The last of them may still be being forgotten: that is waited for.
        drop(store);
        let index = Handle::open(home.path().join("index.redb")).unwrap();
        assert_eq!(index.garbage("", 1).unwrap(), Vec::<String>::new());
    }
}
