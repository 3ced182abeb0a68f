//! The stores under test, each with a bucket of its own.

use std::sync::Arc;

use ratchet::clock::Clock;
use ratchet::store::{
    Body, Bucket, GetRange, PutOptions, Store,
    aws::{Addressing, Aws, Settings},
    dir::Dir,
    memory::Memory,
};

use super::Lab;

async fn lab(store: Arc<dyn Store>, keep: Arc<dyn std::any::Any + Send + Sync>) -> Lab {
    let bucket = Bucket(format!("conformance-{}", Clock::system().random_id()));
    store.create_bucket(&bucket).await.unwrap();
    Lab {
        store,
        bucket,
        refuses_stale_tags: true,
        refuses_small_parts: true,
        lists_keys_below_keys: true,
        forgets_aborted: true,
        _keep: keep,
    }
}

pub async fn memory() -> Option<Lab> {
    Some(lab(Arc::new(Memory::new(Clock::system())), Arc::new(())).await)
}

pub async fn dir() -> Option<Lab> {
    let home = tempfile::tempdir().unwrap();
    let store = Dir::open(home.path(), Clock::system()).unwrap();
    Some(lab(Arc::new(store), Arc::new(home)).await)
}

/// The server of `RATCHET_TEST_S3`, with the quirks of SeaweedFS (BACKENDS.md §6), which other
/// servers need not have.
pub async fn s3() -> Option<Lab> {
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!(
            "SKIP s3: RATCHET_TEST_S3 names no server; `scripts/s3-server.sh start` starts one"
        );
        return None;
    };
    let settings =
        Settings { endpoint: Some(endpoint), region: None, addressing: Addressing::Path };
    let store = Aws::connect(&settings, Clock::system()).await.unwrap();
    let lab = lab(Arc::new(store), Arc::new(())).await;
    Some(Lab {
        refuses_stale_tags: false,
        refuses_small_parts: false,
        lists_keys_below_keys: false,
        forgets_aborted: false,
        ..lab
    })
}

#[tokio::test]
async fn a_restart_loses_nothing_and_a_second_process_is_refused() {
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
