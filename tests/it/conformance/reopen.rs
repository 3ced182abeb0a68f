//! The embedded store opened again and again.

use ratchet::clock::Clock;
use ratchet::names::Bucket;
use ratchet::store::{Body, GetRange, PutOptions, Store, dir::Dir};

#[tokio::test]
async fn a_reopened_store_loses_nothing_and_a_second_open_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let (bucket, key) = (Bucket::from("b"), "k".into());
    for round in 0..3 {
        let store = Dir::open(home.path(), Clock::system()).unwrap();
        let refused = Dir::open(home.path(), Clock::system()).unwrap_err().to_string();
        assert!(refused.contains("another process"), "{refused}");
        if round == 0 {
            store.create_bucket(&bucket).await.unwrap();
        } else {
            let (_, body) =
                store.get(&bucket, &key, GetRange::Whole, Default::default()).await.unwrap();
            assert_eq!(body.collect(99).await.unwrap(), format!("{}", round - 1).as_bytes());
        }
        let body = Body::from(round.to_string().into_bytes());
        store.put(&bucket, &key, body, PutOptions::default()).await.unwrap();
    }
}
