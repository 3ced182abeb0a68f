//! Conditional writes under contention, on which the whole design depends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::future::join_all;
use ratchet::clock::Clock;
use ratchet::names::Key;
use ratchet::store::{
    Attributes, ChosenPart, Completion, Error, GetRange, Kind, PartNumber, PartOptions, PartTarget,
    PutMode, UploadTarget, Written,
};

use crate::support::lab::Lab;

const WRITERS: usize = 32;
const INCREMENTS: usize = 50;

pub async fn of_many_concurrent_creates_one_wins(lab: Lab) {
    for round in 0..4 {
        let name = format!("create-{round}");
        let puts = (0..WRITERS).map(|writer| {
            let (lab, name) = (lab.clone(), name.clone());
            tokio::spawn(async move { (writer, create_until_decided(&lab, &name, writer).await) })
        });
        let outcomes = join_all(puts).await;
        let winners: Vec<usize> = outcomes
            .into_iter()
            .map(Result::unwrap)
            .filter(|(_, won)| *won)
            .map(|(writer, _)| writer)
            .collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(lab.text(&name).await, winners[0].to_string());
    }
}

async fn create_until_decided(lab: &Lab, name: &str, writer: usize) -> bool {
    loop {
        match lab.put(name, &writer.to_string(), PutMode::CreateOnly).await {
            Ok(_) => return true,
            Err(error) if error.kind() == Kind::Precondition => return false,
            Err(error) if matches!(error.kind(), Kind::Conflict | Kind::SlowDown) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// 32 writers make 50 increments each, by reading and writing with If-Match. None may be lost.
pub async fn no_concurrent_increment_is_lost(lab: Lab) {
    lab.put("counter", "0", PutMode::CreateOnly).await.unwrap();
    let tries = Arc::new(AtomicU64::new(0));
    let writers = (0..WRITERS).map(|_| {
        let (lab, tries) = (lab.clone(), Arc::clone(&tries));
        tokio::spawn(async move {
            for _ in 0..INCREMENTS {
                increment(&lab, &tries).await;
            }
        })
    });
    join_all(writers).await.into_iter().for_each(|writer| writer.unwrap());
    assert_eq!(lab.text("counter").await, (WRITERS * INCREMENTS).to_string());
}

async fn increment(lab: &Lab, tries: &AtomicU64) {
    loop {
        tries.fetch_add(1, Ordering::Relaxed);
        let (head, bytes) = lab.get("counter", GetRange::Whole).await.unwrap();
        let value: u64 = std::str::from_utf8(&bytes).unwrap().parse().unwrap();
        match lab.put("counter", &(value + 1).to_string(), PutMode::IfMatch(head.etag)).await {
            Ok(_) => return,
            Err(error)
                if matches!(error.kind(), Kind::Precondition | Kind::Conflict | Kind::SlowDown) => {
            }
            Err(error) => panic!("{error:?}"),
        }
        // Gives other writers a turn: on some servers the loser of a race waits for seconds.
        tokio::task::yield_now().await;
    }
}

/// Completes of one key at once: of those that create it one wins, and so does one of those that
/// replace what is there.
pub async fn of_many_concurrent_completes_one_wins(lab: Lab) {
    if !lab.decides_completes {
        return;
    }
    let name = "completed".into();
    let mut mode = PutMode::CreateOnly;
    for round in 0..3 {
        let completes = (0..WRITERS).map(|_| {
            let (lab, name, mode) = (lab.clone(), Key::clone(&name), mode.clone());
            tokio::spawn(async move { complete(&lab, &name, mode).await })
        });
        let outcomes = join_all(completes).await.into_iter().map(Result::unwrap);
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        assert!(
            lost.into_iter().all(|lost| lost.unwrap_err().kind() == Kind::Precondition),
            "round {round}"
        );
        mode = PutMode::IfMatch(lab.store.head(&lab.bucket, &name).await.unwrap().etag);
    }
}

async fn complete(lab: &Lab, key: &Key, mode: PutMode) -> Result<Written, Error> {
    let upload = lab.store.create_upload(&lab.bucket, key, &Attributes::default()).await?;
    let target = UploadTarget { bucket: &lab.bucket, key, upload: &upload };
    let number = PartNumber::new(1).unwrap();
    // Other bytes for each: an ETag that matches is one of the object that was there before.
    let bytes = Bytes::from(Clock::system().random_id());
    let size_bytes = bytes.len() as u64;
    let part = PartTarget { upload: target, number };
    let written = lab.store.put_part(part, bytes.into(), PartOptions::default()).await?;
    let chosen = [ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) }];
    lab.store.complete(target, &chosen, &Completion { size_bytes, mode }).await
}

super::on_every_store!(
    races:
    of_many_concurrent_creates_one_wins,
    no_concurrent_increment_is_lost,
    of_many_concurrent_completes_one_wins,
);
