//! Disk space that unfinished bodies use in the embedded store: not much more than was sent.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use ratchet::clock::Clock;
use ratchet::names::Bucket;
use ratchet::store::{Body, PutOptions, Store, dir::Dir};

use crate::support::wait::until;

const MIB: u64 = 1 << 20;
const CLIENTS: u64 = 40;
const DECLARED_BYTES: u64 = 64 * MIB;

/// A body that sends these frames and then stalls; `taken` counts the bodies that reached that
/// point.
fn stalling(frames: Vec<Bytes>, taken: &Arc<AtomicU64>) -> Body {
    let taken = Arc::clone(taken);
    let stall = stream::once(async move {
        taken.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    });
    Body::new(DECLARED_BYTES, stream::iter(frames.into_iter().map(Ok)).chain(stall))
}

/// The disk space of the files that are being written.
fn used_bytes(home: &Path) -> u64 {
    let files = fs::read_dir(home.join("incoming")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
}

/// The disk space used by clients that declare a large body and send only `sent` bytes of it.
async fn used_by_clients_that_send(sent: u64) -> u64 {
    let home = tempfile::tempdir().unwrap();
    let store = Arc::new(Dir::open(home.path(), Clock::system()).unwrap());
    let bucket = Bucket::from("b");
    store.create_bucket(&bucket).await.unwrap();
    let taken = Arc::default();
    for client in 0..CLIENTS {
        let (store, bucket, key) =
            (Arc::clone(&store), bucket.clone(), format!("{client}").as_str().into());
        let frame = Bytes::from(vec![7; sent.min(64 << 10) as usize]);
        let frames = (0..sent).step_by(64 << 10).map(|_| frame.clone()).collect();
        let body = stalling(frames, &taken);
        tokio::spawn(async move { store.put(&bucket, &key, body, PutOptions::default()).await });
    }
    until("the bytes of every client are read", || taken.load(Ordering::SeqCst) == CLIENTS);
    let files = fs::read_dir(home.path().join("incoming")).unwrap().count() as u64;
    assert_eq!(files, CLIENTS);
    used_bytes(home.path())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_which_nothing_was_sent_uses_no_disk_space() {
    assert_eq!(used_by_clients_that_send(0).await, 0);
    assert!(used_by_clients_that_send(1).await < CLIENTS * MIB * 11 / 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_uses_little_more_disk_space_than_was_sent() {
    for sent in [MIB, 3 * MIB] {
        let used = used_by_clients_that_send(sent).await;
        println!("disk_use: {CLIENTS} clients that sent {sent} bytes each use {used} bytes");
        assert!(
            used > 0 && used <= CLIENTS * (2 * sent + MIB),
            "{CLIENTS} that sent {sent} each hold {used}"
        );
    }
}
