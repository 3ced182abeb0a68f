//! Backups of zero bytes: empty files, and directories, whose keys end in `/`. Their object is
//! written with a single put.

use std::time::Duration;

use ratchet::digest::{Expected, Kind, Sha256};
use ratchet::store::{GetRange, ListOptions, PutMode, faulty::Op};
use ratchet::upload::NewBackup;

use crate::support::fleet::{Fleet, MINUTE, new_backup, put_chunk};
use crate::support::lab::{self, Lab};

/// Two gateways finalize the same object at the same time, and a later backup replaces it. In some
/// stores a directory exists as soon as a key below it does.
async fn back_up_empty_objects(lab: Lab) {
    lab.put("tree/dir/below", "1", PutMode::Overwrite).await.unwrap();
    for key in ["tree/dir/", "tree/file"] {
        for file_id in ["first", "second"] {
            let new = NewBackup {
                bucket: lab.bucket.clone(),
                key: key.into(),
                chunk_size: 5 << 20,
                size: Some(0),
                file_id: file_id.to_owned(),
                ..NewBackup::default()
            };
            let (_, one) = lab.gateway().await.create(&"home".into(), new.clone()).await.unwrap();
            let (_, other) = lab.gateway().await.create(&"home".into(), new).await.unwrap();
            let sha256 = Some(Expected { kind: Kind::Sha256, hex: Sha256::of(b"").hex() });
            let (one, other) = tokio::join!(one.finalize(sha256.clone()), other.finalize(sha256));
            assert_eq!((one.unwrap().size_bytes, other.unwrap().size_bytes), (0, 0), "{key}");
            assert!(lab.get(key, GetRange::Whole).await.unwrap().1.is_empty());
        }
    }
    let options = ListOptions { prefix: "tree/".to_owned(), ..ListOptions::default() };
    let listed = lab.store.list(&lab.bucket, &options).await.unwrap().objects;
    let keys: Vec<&str> = listed.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["tree/dir/", "tree/dir/below", "tree/file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_takes_an_empty_object() {
    back_up_empty_objects(lab::dir().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_store_takes_an_empty_object() {
    let Some(lab) = lab::s3().await else { return };
    back_up_empty_objects(lab).await;
}

#[tokio::test(start_paused = true)]
async fn a_delayed_put_of_an_empty_object_does_not_replace_a_later_object() {
    for object_exists in [false, true] {
        let fleet = Fleet::new(1).await;
        if object_exists {
            let (_, session) =
                fleet.gateway().create(&"home".into(), new_backup("k", 1)).await.unwrap();
            put_chunk(&session, 0).await;
            session.finalize(None).await.unwrap();
        }
        let slow = fleet.slow_gateway(|call| {
            if call.op == Op::Put && call.key == "k" { MINUTE } else { Duration::ZERO }
        });
        let (_, delayed) = slow.create(&"home".into(), new_backup("k", 0)).await.unwrap();
        let id = delayed.root().backup_id.clone();
        let delayed = tokio::spawn(async move { delayed.finalize(None).await });
        fleet.clock.pause(Duration::from_secs(1)).await;
        fleet.gateway().open(&"home".into(), &id).await.unwrap().finalize(None).await.unwrap();
        let (_, next) = fleet.gateway().create(&"home".into(), new_backup("k", 2)).await.unwrap();
        put_chunk(&next, 0).await;
        put_chunk(&next, 1).await;
        next.finalize(None).await.unwrap();
        assert_eq!(
            delayed.await.unwrap().unwrap().size_bytes,
            0,
            "the session was complete, and the response says so"
        );
        assert_eq!(fleet.store.head(&"b".into(), &"k".into()).await.unwrap().size_bytes, 2 * 1024);
        assert_eq!(fleet.open_store_uploads(), 0);
    }
}
