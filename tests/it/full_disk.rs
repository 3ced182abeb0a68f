//! The embedded store on a small file system that becomes full: failed writes are reported as such,
//! acknowledged objects stay readable, and the same process continues once there is space.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::names::{Bucket, Key};
use ratchet::store::{
    Attributes, Body, GetRange, Kind, Limits, PartNumber, PartTarget, PutOptions, Result, Store,
    UploadTarget, dir::Dir,
};

use crate::support::small_disk::SmallDisk;
use crate::support::wait::until_nothing_leaks;

const LIMITS: Limits = Limits { min_part_bytes: 1, ..Limits::S3 };
const MIB: u64 = 1 << 20;

fn bucket() -> Bucket {
    "b".into()
}

fn body(number: u64, bytes: u64) -> Bytes {
    let digits = format!("{number:016x}");
    digits.bytes().cycle().take(bytes as usize).collect::<Vec<u8>>().into()
}

fn open(disk: &SmallDisk) -> Dir {
    Dir::with_limits(&disk.path().join("store"), LIMITS, Clock::system()).unwrap()
}

async fn put(store: &Dir, name: &str, bytes: Bytes) -> Result<()> {
    store.put(&bucket(), &name.into(), Body::from(bytes), PutOptions::default()).await.map(drop)
}

async fn get(store: &Dir, name: &str) -> Result<Bytes> {
    let (_, body) = store.get(&bucket(), &name.into(), GetRange::Whole, Default::default()).await?;
    body.collect(64 << 20).await
}

fn check_no_leak(disk: &SmallDisk, store: &Dir) {
    until_nothing_leaks("a small disk", &disk.path().join("store"), store);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_process_continues_once_there_is_space() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let store = open(&disk);
    store.create_bucket(&bucket()).await.unwrap();
    put(&store, "file", body(1, MIB)).await.unwrap();
    put(&store, "row", body(2, 10)).await.unwrap();
    let mut acknowledged = 0;
    for round in 0..3 {
        disk.fill(0);
        assert_eq!(put(&store, "large", body(3, MIB)).await.unwrap_err().kind(), Kind::Full);
        // At first the index still has free pages.
        let full = loop {
            let number = acknowledged;
            match put(&store, &format!("row{number}"), body(number, 60_000)).await {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), Kind::Full, "round {round}: {full:?}");
        assert_eq!(
            get(&store, "file").await.unwrap(),
            body(1, MIB),
            "reads succeed on a full disk"
        );
        for number in 0..acknowledged {
            assert_eq!(get(&store, &format!("row{number}")).await.unwrap(), body(number, 60_000));
        }
        let error = put(&store, "more", body(4, 60_000)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Full, "{error:?}");
        disk.clear();
        put(&store, "large", body(3, MIB)).await.unwrap();
        put(&store, "row", body(round, 10)).await.unwrap();
        check_no_leak(&disk, &store);
    }
    drop(store);
    let store = open(&disk);
    assert_eq!(get(&store, "large").await.unwrap(), body(3, MIB));
    for number in 0..acknowledged {
        assert_eq!(get(&store, &format!("row{number}")).await.unwrap(), body(number, 60_000));
    }
    check_no_leak(&disk, &store);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_are_refused_while_there_is_space_left_to_remove_them() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let store = open(&disk);
    store.create_bucket(&bucket()).await.unwrap();
    let (bucket, key) = (bucket(), Key::from("k"));
    let upload = store.create_upload(&bucket, &key, &Attributes::default()).await.unwrap();
    let target = UploadTarget { bucket: &bucket, key: &key, upload: &upload };
    let mut parts = 0;
    let full = loop {
        let part = PartTarget { upload: target, number: PartNumber::new(parts + 1).unwrap() };
        match store.put_part(part, Body::from(body(9, MIB)), None.into()).await {
            Ok(_) => parts += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), Kind::Full);
    assert!(parts > 20, "{parts}");
    assert_eq!(store.list_parts(target, None).await.unwrap().parts.len(), parts as usize);
    let free_before = disk.free_bytes();
    store.abort(target).await.unwrap();
    // The files are removed after the call has returned.
    while disk.free_bytes() <= free_before + 20 * MIB {
        tokio::task::yield_now().await;
    }
    put(&store, "k", body(5, 8 * MIB)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_can_be_opened_and_read_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(64) else { return };
    let store = open(&disk);
    store.create_bucket(&bucket()).await.unwrap();
    put(&store, "file", body(1, MIB)).await.unwrap();
    disk.fill(0);
    while put(&store, "row", body(2, 60_000)).await.is_ok() {}
    drop(store);
    let store = open(&disk);
    assert_eq!(get(&store, "file").await.unwrap(), body(1, MIB));
    assert_eq!(put(&store, "file", body(3, MIB)).await.unwrap_err().kind(), Kind::Full);
    disk.clear();
    put(&store, "file", body(3, MIB)).await.unwrap();
}

/// Concurrent writers, each with its own keys, while the disk becomes full and is cleared again.
struct Writers {
    store: Dir,
    stop: AtomicBool,
    written: AtomicU64,
    refused: AtomicU64,
}

impl Writers {
    /// For each key the number of its last acknowledged content, and the numbers of refused ones,
    /// which may be stored instead.
    async fn write(
        self: Arc<Self>,
        writer: u64,
        random: Clock,
    ) -> BTreeMap<String, (u64, Vec<u64>)> {
        let mut known: BTreeMap<String, (u64, Vec<u64>)> = BTreeMap::new();
        for count in 1.. {
            if self.stop.load(Ordering::SeqCst) {
                break;
            }
            let (number, name) =
                (writer * 1_000_000 + count, format!("w{writer}/{}", random.number_below(20)));
            match put(&self.store, &name, content(number)).await {
                Ok(()) => {
                    self.written.fetch_add(1, Ordering::SeqCst);
                    known.insert(name, (number, Vec::new()));
                }
                Err(error) => {
                    assert!(matches!(error.kind(), Kind::Full | Kind::Unavailable), "{error:?}");
                    self.refused.fetch_add(1, Ordering::SeqCst);
                    known.entry(name).or_default().1.push(number);
                }
            }
        }
        known
    }

    async fn wait_for(&self, count: &AtomicU64) {
        let target = count.load(Ordering::SeqCst) + 25;
        while count.load(Ordering::SeqCst) < target {
            tokio::task::yield_now().await;
        }
    }
}

/// The content with this number; half of them are stored as files, half in the index.
fn content(number: u64) -> Bytes {
    body(number, [100, 70_000, 20_000, 300_000][(number % 4) as usize])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_race_with_a_full_disk_lose_nothing() {
    let Some(disk) = SmallDisk::mount(96) else { return };
    let seed = std::env::var("RATCHET_SEED")
        .map_or_else(|_| Clock::system().number_below(1 << 32), |s| s.parse().unwrap());
    println!("full_disk: RATCHET_SEED={seed}");
    let random = Clock::seeded(seed);
    let store = open(&disk);
    store.create_bucket(&bucket()).await.unwrap();
    let counts = (AtomicU64::new(0), AtomicU64::new(0));
    let shared = Arc::new(Writers {
        store,
        stop: AtomicBool::new(false),
        written: counts.0,
        refused: counts.1,
    });
    let tasks: Vec<_> = (0..4)
        .map(|writer| tokio::spawn(Arc::clone(&shared).write(writer, random.clone())))
        .collect();
    for _ in 0..12 {
        shared.wait_for(&shared.written).await;
        disk.fill(random.number_below(300_000));
        shared.wait_for(&shared.refused).await;
        disk.clear();
    }
    shared.wait_for(&shared.written).await;
    shared.stop.store(true, Ordering::SeqCst);
    let mut known = BTreeMap::new();
    for task in tasks {
        known.extend(task.await.unwrap());
    }
    let shared = Arc::into_inner(shared).unwrap();
    check_no_leak(&disk, &shared.store);
    drop(shared.store);
    let store = open(&disk);
    check_no_leak(&disk, &store);
    for (name, (acknowledged, refused)) in &known {
        let stored = get(&store, name).await.ok();
        let is = |number: u64| stored == (number > 0).then(|| content(number));
        assert!(
            is(*acknowledged) || refused.iter().any(|number| is(*number)),
            "{name}: neither {acknowledged} nor any of {refused:?}"
        );
    }
    let (written, refused) = (shared.written.into_inner(), shared.refused.into_inner());
    println!("full_disk: 12 times full, {written} changes acknowledged, {refused} refused, 0 lost");
}
