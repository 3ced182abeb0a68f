//! Bodies that several tasks hash at the same time.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::BodyHasher;
use crate::digest::{DigestSet, Hasher};

const BOTH: DigestSet = DigestSet { sha256: true, md5: true };

fn bytes(len: usize, seed: usize) -> Bytes {
    (0..len).map(|at| (at * (seed + 7) % 251) as u8).collect()
}

fn assert_digests(hasher: &mut BodyHasher, message: &[u8]) {
    let (found, mut alone) = (hasher.finish(), Hasher::new(BOTH));
    alone.update(message);
    let alone = alone.finish();
    assert_eq!((found.sha256, found.md5), (alone.sha256, alone.md5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_several_tasks_get_their_own_digests() {
    let bodies: Vec<Bytes> = (0..32).map(|seed| bytes(1 << 20, seed)).collect();
    let tasks: Vec<_> = bodies
        .into_iter()
        .map(|body| {
            tokio::spawn(async move {
                let mut hasher = BodyHasher::new(BOTH);
                for at in (0..body.len()).step_by(100_000) {
                    hasher.idle().await;
                    hasher.push(&body.slice(at..body.len().min(at + 100_000)));
                }
                hasher.idle().await;
                assert_digests(&mut hasher, &body);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn the_frame_of_a_dropped_hasher_is_dropped() {
    let frame = bytes(100_000, 1);
    let mut hasher = BodyHasher::new(BOTH);
    hasher.push(&frame);
    drop(hasher);
    // Another test may be hashing the frame now.
    while !frame.is_unique() {
        std::thread::yield_now();
    }
}

#[test]
fn a_single_body_waits_for_a_few_yields_only() {
    let (frame, mut cx) = (bytes(100_000, 2), Context::from_waker(Waker::noop()));
    let mut hasher = BodyHasher::new(BOTH);
    hasher.push(&frame);
    assert_eq!(hasher.poll_idle(&mut cx), Poll::Pending);
    // Another test may be hashing the frame now.
    while hasher.poll_idle(&mut cx).is_pending() {
        std::thread::yield_now();
    }
    assert_digests(&mut hasher, &frame);
}
