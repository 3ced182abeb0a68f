//! Files of many sizes through the core: empty, tiny, exact multiples, odd sizes, and more chunks
//! than a store has parts.

use std::sync::Arc;

use ratchet::clock::Clock;
use ratchet::digest::Sha256;
use ratchet::store::{Body, GetRange, Limits, Store, memory::Memory};
use ratchet::upload::{Admission, NewBackup, Settings, Uploads};

const MIN_PART: u64 = 5 << 10;

async fn round_trip(size: u64, chunk_size: u64, size_is_known: bool) {
    let limits = Limits { min_part_bytes: MIN_PART, ..Limits::S3 };
    let store: Arc<dyn Store> = Arc::new(Memory::with_limits(limits, Clock::seeded(size)));
    let uploads = Uploads::new(Arc::clone(&store), Clock::seeded(chunk_size), Settings::default());
    uploads.prepare().await.unwrap();
    uploads.make_bucket(&"b".into()).await.unwrap();
    let file: Vec<u8> =
        (0..size).map(|offset| (offset % 251) as u8 ^ (offset >> 9) as u8).collect();
    let new = NewBackup {
        bucket: "b".into(),
        key: "k".into(),
        chunk_size,
        size: size_is_known.then_some(size),
        ..NewBackup::default()
    };
    let (_, session) = uploads.create(&"home".into(), new).await.unwrap();
    for (index, chunk) in file.chunks(chunk_size as usize).enumerate() {
        let sha256 = Sha256::of(chunk);
        match session.admit(index as u64, sha256, chunk.len() as u64).await.unwrap() {
            Admission::Known => panic!("chunk {index} is new"),
            Admission::Wanted(permit) => permit.store(Body::from(chunk.to_vec())).await.unwrap(),
        };
    }
    let object = session.finalize(None).await.unwrap();
    assert_eq!(object.size_bytes, size);
    let (_, body) =
        store.get(&"b".into(), &"k".into(), GetRange::Whole, Default::default()).await.unwrap();
    assert!(
        body.collect(64 << 20).await.unwrap() == file,
        "{size} bytes in chunks of {chunk_size}"
    );
}

#[tokio::test]
async fn every_size_and_chunk_size_is_restored_unchanged() {
    for chunk_size in [1000, 4 << 10, 5 << 10, 8 << 10, 16 << 10, 7001] {
        for size in
            [0, 1, chunk_size - 1, chunk_size, chunk_size + 1, 4 * chunk_size, 9 * chunk_size + 17]
        {
            round_trip(size, chunk_size, true).await;
            if size > 0 {
                round_trip(size, chunk_size, false).await;
            }
        }
    }
}

#[tokio::test]
async fn ten_thousand_and_one_chunks_fit_ten_thousand_parts() {
    round_trip(10_001 * 1024, 1024, true).await;
    round_trip(10_001 * 64, 64, false).await;
}
