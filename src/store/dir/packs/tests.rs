//! Packs of a store: what is in them, when they leave the disk, and what a crash leaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use redb::{ReadableTable, ReadableTableMetadata};

use super::super::handle::Handle;
use super::super::tables::{Content, OBJECTS, ObjectRow, PACKS};
use super::super::test_store::with_bucket;
use super::super::{Dir, check};
use crate::clock::Clock;
use crate::store::{
    Attributes, Body, Bucket, CopyOptions, CopySource, DeleteOptions, ETag, GetOptions, GetRange,
    Key, Kind, Limits, PutMode, PutOptions, Result, Store, Tags, Written,
};

/// The smallest body in a pack.
const PACKED: usize = 513;

pub(super) struct Home {
    directory: tempfile::TempDir,
    store: Option<Dir>,
    pub(super) bucket: Bucket,
}

/// A body that repeats its number.
pub(super) fn content(number: u64, len: usize) -> Vec<u8> {
    format!("{number}.").bytes().cycle().take(len).collect()
}

impl Home {
    pub(super) async fn new() -> Self {
        Self::with_limits(Limits::S3).await
    }

    pub(super) async fn with_limits(limits: Limits) -> Self {
        let (directory, store, bucket) = with_bucket(limits).await;
        Self { directory, store: Some(store), bucket }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn store(&self) -> &Dir {
        self.store.as_ref().unwrap()
    }

    pub(super) fn close(&mut self) {
        self.store = None;
    }

    fn reopen(&mut self) {
        self.close();
        self.store = Some(Dir::open(self.path(), Clock::system()).unwrap());
    }

    pub(super) async fn put_if(&self, key: &str, bytes: Vec<u8>, mode: PutMode) -> Result<Written> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store().put(&self.bucket, &key.into(), bytes.into(), options).await
    }

    pub(super) async fn put(&self, key: &str, bytes: Vec<u8>) -> ETag {
        self.put_if(key, bytes, PutMode::Overwrite).await.unwrap().etag
    }

    async fn open(&self, key: &str, range: GetRange) -> Body {
        let options = GetOptions::default();
        self.store().get(&self.bucket, &key.into(), range, options).await.unwrap().1
    }

    async fn bytes(&self, key: &str) -> Bytes {
        self.open(key, GetRange::Whole).await.collect(1 << 20).await.unwrap()
    }

    pub(super) async fn delete(&self, key: &str) {
        let options = DeleteOptions::default();
        self.store().delete(&self.bucket, &key.into(), &options).await.unwrap();
    }

    fn handle(&self) -> &Handle {
        self.store().index.handle()
    }

    /// Live bytes and length of each pack.
    fn packs(&self) -> Vec<(u64, u64)> {
        let table = self.handle().read().unwrap().open_table(PACKS).unwrap();
        table.iter().unwrap().map(|row| row.unwrap().1.value()).collect()
    }

    fn row(&self, key: &str) -> ObjectRow {
        self.store().index.object(&self.bucket, &key.into()).unwrap()
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        let shards = fs::read_dir(self.path().join("data")).unwrap();
        let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect()
    }

    async fn wait(&self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            tokio::task::yield_now().await;
        }
    }

    /// The index is in order, and nothing is lost or left over.
    fn require_sound(&self) {
        let report = check(self.path(), &mut |finding| panic!("{finding:?}")).unwrap();
        assert!(report.is_sound());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_bodies_share_a_file_and_smaller_ones_stay_in_their_rows() {
    let mut home = Home::new().await;
    let sizes = [0, 1, PACKED - 1, PACKED, 5000, 64 << 10];
    for (number, size) in (0..).zip(sizes) {
        home.put(&size.to_string(), content(number, size)).await;
    }
    for size in sizes {
        let is_packed = matches!(home.row(&size.to_string()).content, Content::Packed(_));
        assert_eq!(is_packed, size >= PACKED, "{size}");
    }
    assert_eq!((home.files().len(), home.store().count_files().unwrap()), (1, 1));
    let [(live_bytes, all_bytes)] = home.packs()[..] else { panic!("one pack") };
    let length = fs::metadata(&home.files()[0]).unwrap().len();
    assert_eq!((all_bytes, length - all_bytes), (length, 0), "{live_bytes}");
    let bodies: usize = sizes.iter().filter(|size| **size >= PACKED).sum();
    assert!((bodies..bodies + 100).contains(&(live_bytes as usize)), "{live_bytes} of {bodies}");
    for opened in ["before", "after"] {
        for (number, size) in (0..).zip(sizes) {
            let (key, expected) = (size.to_string(), content(number, size));
            assert_eq!(home.bytes(&key).await, expected, "{size} {opened}");
            if size > 300 {
                let range = GetRange::Range { first: 100, last: 299 };
                let middle = home.open(&key, range).await.collect(1 << 20).await.unwrap();
                assert_eq!(middle, expected[100..300], "{size} {opened}");
            }
        }
        home.require_sound();
        home.reopen();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_whose_condition_fails_appends_nothing() {
    let home = Home::new().await;
    home.put("key", content(1, 9000)).await;
    let before = home.packs();
    for mode in [PutMode::CreateOnly, PutMode::IfMatch("other".into())] {
        let error = home.put_if("key", content(2, 9000), mode).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Precondition);
    }
    assert_eq!((home.packs(), home.bytes("key").await.to_vec()), (before, content(1, 9000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_leaves_the_disk_once_nothing_in_it_is_alive() {
    let mut home = Home::new().await;
    home.put("a", content(1, 9000)).await;
    home.put("b", content(2, 9000)).await;
    let [(live_bytes, _)] = home.packs()[..] else { panic!("one pack") };
    home.put("a", content(3, 1)).await;
    assert_eq!(home.packs()[0].0, live_bytes / 2);
    // A tag changes the row, and not where the bytes are.
    home.store().set_tags(&home.bucket, &"b".into(), &Tags::default()).await.unwrap();
    assert_eq!(home.packs()[0].0, live_bytes / 2);
    home.delete("b").await;
    assert_eq!((home.packs()[0].0, home.files().len()), (0, 1), "more may be appended");
    home.require_sound();
    home.reopen();
    home.wait(|home| home.files().is_empty() && home.packs().is_empty()).await;
    assert_eq!(home.store().count_files().unwrap(), 0);
    // A larger one goes at once.
    for number in 0..20 {
        home.put(&number.to_string(), content(number, 60_000)).await;
    }
    for number in 0..20 {
        home.delete(&number.to_string()).await;
    }
    home.wait(|home| home.files().is_empty() && home.packs().is_empty()).await;
    home.put("c", content(4, PACKED)).await;
    assert_eq!(home.bytes("c").await, content(4, PACKED));
    home.require_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_stay_readable_while_their_packs_are_compacted() {
    const OBJECTS: u64 = 300;
    let mut home = Home::new().await;
    for number in 0..OBJECTS {
        home.put(&number.to_string(), content(number, 3000 + number as usize)).await;
    }
    home.reopen();
    let old = home.files();
    let unread = home.open("1", GetRange::Whole).await;
    let stop = AtomicBool::new(false);
    let read = async {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) || rounds == 0 {
            for number in (0..OBJECTS).filter(|number| number % 3 == 1) {
                let found = home.bytes(&number.to_string()).await;
                assert_eq!(found, content(number, 3000 + number as usize), "{number}");
                tokio::task::yield_now().await;
            }
            rounds += 1;
        }
    };
    let change = async {
        for number in (0..OBJECTS).filter(|number| number % 3 != 1) {
            match number % 3 {
                0 => home.delete(&number.to_string()).await,
                _ => drop(home.put(&number.to_string(), content(number + 1, 2000)).await),
            }
        }
        home.wait(|home| home.packs().len() == 1).await;
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(read, change);
    assert_eq!(unread.collect(1 << 20).await.unwrap(), content(1, 3001));
    home.wait(|home| home.files().len() == 1).await;
    assert!(old.iter().all(|file| !file.exists()));
    for number in 0..OBJECTS {
        match number % 3 {
            0 => continue,
            1 => assert_eq!(
                home.bytes(&number.to_string()).await,
                content(number, 3000 + number as usize)
            ),
            _ => assert_eq!(home.bytes(&number.to_string()).await, content(number + 1, 2000)),
        }
    }
    home.require_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_that_cannot_be_read_is_left_as_it_is() {
    let mut home = Home::new().await;
    for number in 0..9 {
        home.put(&number.to_string(), content(number, 9000)).await;
    }
    let pack = home.files().remove(0);
    let mut bytes = fs::read(&pack).unwrap();
    // The head of the second record.
    bytes[9020..9060].fill(0);
    fs::write(&pack, bytes).unwrap();
    home.reopen();
    for number in 0..8 {
        home.delete(&number.to_string()).await;
    }
    // Another pack is compacted meanwhile.
    home.put("x", content(1, 9000)).await;
    home.reopen();
    home.delete("x").await;
    home.wait(|home| home.packs().len() == 1).await;
    assert_eq!(home.bytes("8").await, content(8, 9000));
    home.require_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_bytes_of_its_own() {
    let home = Home::new().await;
    let etag = home.put("source", content(1, 9000)).await;
    let (key, to) = (Key::from("source"), Key::from("copy"));
    let source =
        CopySource { bucket: &home.bucket, key: &key, version: None, etag: &etag, part_etag: None };
    let options = || CopyOptions {
        mode: PutMode::Overwrite,
        attributes: Attributes::default(),
        account: None,
    };
    let copied = home.store().copy(source, &home.bucket, &to, options()).await.unwrap().unwrap();
    assert_eq!(copied.etag, etag);
    let [(live_bytes, _)] = home.packs()[..] else { panic!("one pack") };
    home.delete("source").await;
    assert_eq!(home.packs()[0].0, (live_bytes - 2) / 2, "the names differ by two bytes");
    assert_eq!(home.bytes("copy").await, content(1, 9000));
    let error = home.store().copy(source, &home.bucket, &to, options()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    home.put("source", content(2, 9000)).await;
    let error = home.store().copy(source, &home.bucket, &to, options()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Precondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_bytes_of_an_older_version_are_read_and_replaced() {
    let mut home = Home::new().await;
    home.store = None;
    let bytes = content(7, 9000);
    let head = r#"{"etag":"0123","size_bytes":9000,"modified_ms":3,"attributes":{"content_type":"a/b","headers":{},"user":{"name":"value"}},"files":null}"#;
    let row = [&(head.len() as u32).to_le_bytes(), head.as_bytes(), &bytes].concat();
    let handle = Handle::open(home.path().join("index.redb")).unwrap();
    let transaction = handle.write().unwrap();
    transaction.delete_table(PACKS).unwrap();
    for key in ["bucket/a", "bucket/b", "bucket/c"] {
        transaction.open_table(OBJECTS).unwrap().insert(key, row.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
    drop(handle);
    home.reopen();
    let head = home.store().head(&home.bucket, &"a".into()).await.unwrap();
    assert_eq!((head.etag.as_str(), head.size_bytes), ("0123", 9000));
    assert_eq!(head.attributes.user["name"], "value");
    home.put("b", content(8, 9000)).await;
    home.delete("c").await;
    assert_eq!(home.bytes("a").await, bytes);
    assert_eq!(home.bytes("b").await, content(8, 9000));
    let key = Key::from("a");
    let etag = ETag::from("0123");
    let source =
        CopySource { bucket: &home.bucket, key: &key, version: None, etag: &etag, part_etag: None };
    let options =
        CopyOptions { mode: PutMode::Overwrite, attributes: Attributes::default(), account: None };
    home.store().copy(source, &home.bucket, &"c".into(), options).await.unwrap();
    assert!(matches!(home.row("c").content, Content::Packed(_)));
    assert_eq!(home.bytes("c").await, bytes);
    home.require_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_of_many_small_objects_is_small() {
    const OBJECTS: u64 = 2000;
    let mut home = Home::new().await;
    let puts = (0..OBJECTS).map(|number| {
        let (home, size) = (&home, 500 + (number * 7919 % 7500) as usize);
        async move { home.put(&format!("directory/file{number:05}"), content(number, size)).await }
    });
    futures_util::future::join_all(puts).await;
    home.reopen();
    let index_bytes = home.store().disk().unwrap().index_bytes;
    assert!(index_bytes <= OBJECTS * 2048, "{} for each object", index_bytes / OBJECTS);
    let table = home.handle().read().unwrap().open_table(OBJECTS_TABLE).unwrap();
    assert_eq!(table.len().unwrap(), OBJECTS);
}

const OBJECTS_TABLE: redb::TableDefinition<'_, &str, &[u8]> = OBJECTS;
