//! A part is replaced while its upload is completed, hundreds of times, on each store, with one
//! gateway and with two.
//!
//! Checked in each round: exactly one of Complete and UploadPart comes first. If Complete succeeds,
//! the object has the old bytes, and the writer is refused for good, but only then; until then it
//! is told to try again. If the writer is acknowledged, its part is the one that a listing shows,
//! and Complete fails with `InvalidPart`. A listing never shows less than was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ratchet::digest::Sha256;
use ratchet::names::{Bucket, Key};
use ratchet::store::{GetRange, PutOptions, faulty::Op};
use ratchet::upload::{
    Admission, ChosenEntry, Error, Kind, NewBackup, NewUpload, PartAdmission, PartClaim,
    PartCopied, PartEntry, PartSource, Session, Uploads,
};
use tokio::sync::Notify;

use crate::support::fleet::{Fleet, part_number};
use crate::support::lab::{self, Lab, pattern};

/// The rounds on a store of this machine; an S3 server gets a tenth.
const ROUNDS: u64 = 300;
const CHUNK: usize = 5 << 20;

/// How the bytes of a part come.
#[derive(Clone, Debug)]
enum Way {
    Declared,
    Undeclared,
    /// The store copies them from this object.
    Copied(PartSource),
}

async fn put(session: &Session, bytes: &Bytes, way: &Way) -> Result<(), Error> {
    let sha256 = matches!(way, Way::Declared).then(|| Sha256::of(bytes));
    let claim = PartClaim { sha256, len_bytes: bytes.len() as u64, ..PartClaim::default() };
    let permit = match session.admit_part(part_number(1), claim).await? {
        PartAdmission::Known(_) => return Ok(()),
        PartAdmission::Wanted(permit) => permit,
    };
    if let Way::Copied(source) = way {
        match permit.copy_part(source.clone()).await? {
            PartCopied::Recorded(_) => return Ok(()),
            PartCopied::NeedsBytes => {}
            PartCopied::SourceChanged(error) => panic!("the source is as it was: {error}"),
        }
    }
    permit.store(bytes.clone().into()).await.map(drop)
}

/// As a client does: tries again as long as it is told to. Returns how often it was told.
async fn put_until_decided(
    session: &Session,
    bytes: &Bytes,
    way: &Way,
    completed: &Notify,
) -> (Result<(), Error>, u64) {
    for told in 0.. {
        match put(session, bytes, way).await {
            Err(error) if error.kind() == Kind::SlowDown && told == 0 => completed.notified().await,
            Err(error) if error.kind() == Kind::SlowDown => tokio::task::yield_now().await,
            decided => return (decided, told),
        }
    }
    unreachable!()
}

#[derive(Default, Debug)]
struct Counts {
    completed: AtomicU64,
    replaced: AtomicU64,
    told_to_try_again: AtomicU64,
}

async fn round(lab: &Lab, gateways: [&Uploads; 2], at: u64, way: &Way, counts: &Counts) {
    let key = Key::from(format!("race-{at}"));
    let new = NewUpload { bucket: lab.bucket.clone(), key: key.clone(), ..NewUpload::default() };
    let completing = gateways[0].create_upload(&"home".into(), new).await.unwrap();
    let id = completing.root().backup_id.clone();
    let (old, new) = (pattern(1000, 1), pattern(1000, 2));
    put(&completing, &old, &Way::Declared).await.unwrap();
    let etag = completing.part_entries().await.unwrap().remove(0).etag;
    let chosen = [ChosenEntry { number: part_number(1), etag, checksum: None }];
    let writing = gateways[1].open(&"home".into(), &id).await.unwrap();
    // Each side is ahead in half of the rounds, by a different number of steps.
    let (ahead, steps) = (at.is_multiple_of(2), at / 2 % 40);
    let wait = |waits: bool| async move {
        for _ in 0..if waits { steps } else { 0 } {
            tokio::task::yield_now().await;
        }
    };
    let ended = Notify::new();
    let write = async {
        wait(ahead).await;
        put_until_decided(&writing, &new, way, &ended).await
    };
    let complete = async {
        wait(!ahead).await;
        let completed = completing.complete_parts(&chosen).await;
        ended.notify_one();
        completed
    };
    let ((written, told), completed) = tokio::join!(write, complete);
    counts.told_to_try_again.fetch_add(told, Ordering::Relaxed);
    if let Ok(object) = completed {
        assert_eq!(object.size_bytes, 1000, "{at}");
        assert_eq!(written.unwrap_err().kind(), Kind::NotOpen, "{at}");
        let (_, bytes) = lab.get(&key, GetRange::Whole).await.unwrap();
        assert!(bytes == old, "{at}: the object has other bytes than were completed");
        counts.completed.fetch_add(1, Ordering::Relaxed);
        return;
    }
    assert_eq!(completed.unwrap_err().kind(), Kind::InvalidPart, "{at}");
    written.unwrap_or_else(|error| panic!("{at}: both failed: {error}"));
    let listed = completing.part_entries().await.unwrap();
    assert_eq!(listed.len(), 1, "{at}: the listing does not show what was acknowledged");
    // Of a copied part the bytes are compared below: perhaps nobody hashed it.
    let sha256 = listed[0].record.sha256();
    assert!(sha256.is_none_or(|sha256| sha256 == Sha256::of(&new)), "{at}: the old part is listed");
    let etag = listed[0].etag.clone();
    completing
        .complete_parts(&[ChosenEntry { number: part_number(1), etag, checksum: None }])
        .await
        .unwrap();
    let (_, bytes) = lab.get(&key, GetRange::Whole).await.unwrap();
    assert!(bytes == new, "{at}");
    counts.replaced.fetch_add(1, Ordering::Relaxed);
}

async fn races(lab: Lab, name: &str, rounds: u64) {
    let key = Key::from("source");
    let body = pattern(1000, 2).into();
    let etag = lab.store.put(&lab.bucket, &key, body, PutOptions::default()).await.unwrap().etag;
    let copied = Way::Copied(PartSource::whole(lab.bucket.clone(), key, etag));
    for gateways in 1..=2 {
        let (one, two) = (lab.gateway().await, lab.gateway().await);
        let counts = Counts::default();
        for at in 0..rounds {
            let second = if gateways == 1 { &one } else { &two };
            let way = match at / 2 % 3 {
                0 => &Way::Declared,
                1 => &Way::Undeclared,
                _ => &copied,
            };
            round(&lab, [&one, second], at + gateways * 1000, way, &counts).await;
        }
        println!("replaced_parts: {name}, {gateways} gateways, {rounds} rounds: {counts:?}");
    }
}

#[tokio::test]
async fn a_part_is_replaced_or_completed_in_memory() {
    races(lab::memory().await.unwrap(), "memory", ROUNDS).await;
}

#[tokio::test]
async fn a_part_is_replaced_or_completed_in_a_directory() {
    races(lab::dir().await.unwrap(), "dir", ROUNDS).await;
}

#[tokio::test]
async fn a_part_is_replaced_or_completed_on_an_s3_server() {
    if let Some(lab) = lab::s3().await {
        races(lab, "s3", ROUNDS / 10).await;
    }
}

/// Complete begins while the store copies another object over the part. It waits for the copy; for
/// one that does not end it stops waiting, and then the copy comes too late.
#[tokio::test(start_paused = true)]
async fn complete_waits_for_a_copy_over_a_part() {
    for (copy_seconds, is_waited_for) in [(5, true), (60, false)] {
        let fleet = Fleet::new(1).await;
        let (bucket, key) = (Bucket::from("b"), Key::from("source"));
        let (old, new) = (pattern(1000, 1), pattern(1000, 2));
        let put_source = fleet.store.put(&bucket, &key, new.into(), PutOptions::default());
        let etag = put_source.await.unwrap().etag;
        let source = PartSource::whole(bucket, key, etag);
        let copies = Arc::new(Notify::new());
        let copy_begins = Arc::clone(&copies);
        let copying = fleet.slow_gateway(move |call| {
            if call.op != Op::CopyPart {
                return Duration::ZERO;
            }
            copy_begins.notify_one();
            Duration::from_secs(copy_seconds)
        });
        let new = NewUpload { bucket: "b".into(), key: "k".into(), ..NewUpload::default() };
        let completing = fleet.gateway().create_upload(&"home".into(), new).await.unwrap();
        put(&completing, &old, &Way::Declared).await.unwrap();
        let chosen = |part: &PartEntry| ChosenEntry {
            number: part_number(1),
            etag: part.etag.clone(),
            checksum: None,
        };
        let before = completing.part_entries().await.unwrap().remove(0);
        let writing = copying.open(&"home".into(), &completing.root().backup_id).await.unwrap();
        let way = Way::Copied(source);
        let copy = put(&writing, &old, &way);
        let complete = async {
            copies.notified().await;
            completing.complete_parts(&[chosen(&before)]).await
        };
        let (copied, completed) = tokio::join!(copy, complete);
        if is_waited_for {
            copied.unwrap();
            assert_eq!(completed.unwrap_err().kind(), Kind::InvalidPart);
            let after = completing.part_entries().await.unwrap().remove(0);
            assert_ne!(after.etag, before.etag, "the copy is listed");
            completing.complete_parts(&[chosen(&after)]).await.unwrap();
        } else {
            assert_eq!(completed.unwrap().size_bytes, 1000);
            assert_eq!(copied.unwrap_err().kind(), Kind::SlowDown);
            let again = put(&writing, &old, &way).await.unwrap_err();
            assert_eq!(again.kind(), Kind::NotOpen, "a client that tries again is told");
        }
    }
}

/// A chunk of a backup has one checksum: bytes that come without one, as a part, do not replace it.
#[tokio::test]
async fn a_recorded_chunk_keeps_its_bytes() {
    for lab in [lab::memory().await, lab::dir().await, lab::s3().await].into_iter().flatten() {
        let gateway = lab.gateway().await;
        let new = NewBackup {
            bucket: lab.bucket.clone(),
            key: "chunk".into(),
            chunk_size: CHUNK as u64,
            size: Some(CHUNK as u64),
            ..NewBackup::default()
        };
        let (_, session) = gateway.create(&"home".into(), new).await.unwrap();
        let (old, other) = (pattern(CHUNK, 1), pattern(CHUNK, 2));
        let admitted = session.admit(0, Sha256::of(&old), CHUNK as u64).await.unwrap();
        let Admission::Wanted(permit) = admitted else { panic!("nothing is recorded yet") };
        permit.store(old.clone().into()).await.unwrap();
        let other_gateway = lab.gateway().await;
        let elsewhere =
            other_gateway.open(&"home".into(), &session.root().backup_id).await.unwrap();
        let refused = put(&elsewhere, &other, &Way::Undeclared).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::ChecksumConflict);
        session.finalize(None).await.unwrap();
        assert!(lab.get("chunk", GetRange::Whole).await.unwrap().1 == old);
    }
}
