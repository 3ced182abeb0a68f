//! What clients that send little hold of the embedded store's disk: not much more than they sent.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use ratchet::clock::Clock;
use ratchet::store::{Body, Bucket, PutOptions, Store, dir::Dir};

use crate::wait::until;

const MIB: u64 = 1 << 20;
const CLIENTS: u64 = 40;
const DECLARED: u64 = 64 * MIB;

/// A body that sends these frames, counts them once they are asked for, and then nothing more.
fn stalling(frames: Vec<Bytes>, taken: &Arc<AtomicU64>) -> Body {
    let taken = Arc::clone(taken);
    let ends = stream::once(async move {
        taken.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    });
    Body::new(DECLARED, stream::iter(frames.into_iter().map(Ok)).chain(ends))
}

/// Bytes of the disk under the files that are being written.
fn held(home: &Path) -> u64 {
    let files = fs::read_dir(home.join("incoming")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
}

/// What so many clients hold who all declare a large body and send only so much of it.
async fn held_by(sent: u64) -> u64 {
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
    until("every client's bytes are taken in", || taken.load(Ordering::SeqCst) == CLIENTS);
    let files = fs::read_dir(home.path().join("incoming")).unwrap().count() as u64;
    assert_eq!(files, CLIENTS);
    held(home.path())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_nothing_holds_nothing_of_the_disk() {
    assert_eq!(held_by(0).await, 0);
    assert!(held_by(1).await < CLIENTS * MIB * 11 / 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_little_holds_little_more() {
    for sent in [MIB, 3 * MIB] {
        let held = held_by(sent).await;
        println!("held: {CLIENTS} clients that sent {sent} bytes each hold {held}");
        assert!(
            held > 0 && held <= CLIENTS * (2 * sent + MIB),
            "{CLIENTS} that sent {sent} each hold {held}"
        );
    }
}
