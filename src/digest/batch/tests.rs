//! Bodies of many tasks at once.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::BodyHasher;
use crate::digest::{DigestSet, Hasher};

const BOTH: DigestSet = DigestSet { sha256: true, md5: true };

fn bytes(len: usize, seed: usize) -> Bytes {
    (0..len).map(|at| (at * (seed + 7) % 251) as u8).collect()
}

fn assert_digests(hasher: &mut BodyHasher, of: &[u8]) {
    let (found, mut alone) = (hasher.finish(), Hasher::new(BOTH));
    alone.update(of);
    let alone = alone.finish();
    assert_eq!((found.sha256, found.md5), (alone.sha256, alone.md5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_bring_frames_together_and_each_gets_its_own_back() {
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
fn a_frame_whose_body_is_gone_is_let_go() {
    let frame = bytes(100_000, 1);
    let mut hasher = BodyHasher::new(BOTH);
    hasher.push(&frame);
    drop(hasher);
    // Another test may be hashing it just now.
    while !frame.is_unique() {
        std::thread::yield_now();
    }
}

#[test]
fn a_lonely_body_waits_some_turns_and_no_longer() {
    let (frame, mut cx) = (bytes(100_000, 2), Context::from_waker(Waker::noop()));
    let mut hasher = BodyHasher::new(BOTH);
    hasher.push(&frame);
    assert_eq!(hasher.poll_idle(&mut cx), Poll::Pending);
    // Another test may be hashing it just now.
    while hasher.poll_idle(&mut cx).is_pending() {
        std::thread::yield_now();
    }
    assert_digests(&mut hasher, &frame);
}
