//! Shared files: how many there are, and when they leave the disk.

use std::path::Path;

use futures_util::StreamExt;

use super::super::handle::Handle;
use super::super::tables::{SHARED, Tables};
use super::super::test_store::{SMALL_PARTS, with_bucket};
use super::*;
use crate::clock::Clock;
use crate::store::{
    Attributes, ChosenPart, Completion, DeleteOptions, GetOptions, GetRange, Kind, PartNumber,
    PutMode, PutOptions, UploadId, UploadTarget,
};

const PART: usize = 100 << 10;

struct Home {
    _directory: tempfile::TempDir,
    store: Dir,
    bucket: Bucket,
}

impl Home {
    async fn new() -> Self {
        let (_directory, store, bucket) = with_bucket(SMALL_PARTS).await;
        Self { _directory, store, bucket }
    }

    fn path(&self) -> &Path {
        self._directory.path()
    }

    async fn begin(&self, key: &Key) -> UploadId {
        self.store.create_upload(&self.bucket, key, &Attributes::default()).await.unwrap()
    }

    /// Puts an object of three parts; returns its ETag and bytes.
    async fn put_parts(&self, key: &str, salt: u8) -> (ETag, Vec<u8>) {
        let key = Key::from(key);
        let id = self.begin(&key).await;
        let upload = UploadTarget { bucket: &self.bucket, key: &key, upload: &id };
        let (mut chosen, mut all) = (Vec::new(), Vec::new());
        for index in 1..=3_u8 {
            let bytes = vec![salt + index; PART + usize::from(index)];
            let number = PartNumber::new(u32::from(index)).unwrap();
            let part = PartTarget { upload, number };
            let written =
                self.store.put_part(part, bytes.clone().into(), None.into()).await.unwrap();
            chosen.push(ChosenPart { number, etag: written.etag, sha256: None });
            all.extend(bytes);
        }
        let written =
            self.store.complete(upload, &chosen, &Completion::of(all.len() as u64)).await.unwrap();
        (written.etag, all)
    }

    async fn copy(&self, from: &str, etag: &ETag, to: &str, mode: PutMode) -> Result<Written> {
        let (key, to) = (Key::from(from), Key::from(to));
        let source =
            CopySource { bucket: &self.bucket, key: &key, version: None, etag, part_etag: None };
        let options = CopyOptions { mode, attributes: Attributes::default(), account: None };
        Ok(self.store.copy(source, &self.bucket, &to, options).await?.unwrap())
    }

    async fn open(&self, key: &str) -> Body {
        let key = Key::from(key);
        let read = self.store.get(&self.bucket, &key, GetRange::Whole, GetOptions::default());
        read.await.unwrap().1
    }

    async fn bytes(&self, key: &str) -> Vec<u8> {
        self.open(key).await.collect(16 << 20).await.unwrap().to_vec()
    }

    async fn delete(&self, key: &str) {
        self.store.delete(&self.bucket, &key.into(), &DeleteOptions::default()).await.unwrap();
    }

    fn count_on_disk(&self) -> usize {
        let shards = std::fs::read_dir(self.path().join("data")).unwrap();
        shards.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count()).sum()
    }

    async fn wait_for_files(&self, count: usize) {
        while self.count_on_disk() != count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_removed_with_the_last_object_that_shares_it() {
    let home = Home::new().await;
    let (etag, bytes) = home.put_parts("source", 0).await;
    home.copy("source", &etag, "one", PutMode::CreateOnly).await.unwrap();
    home.copy("source", &etag, "two", PutMode::Overwrite).await.unwrap();
    // Onto itself, and again onto a copy: the files are released and shared in one change.
    home.copy("source", &etag, "source", PutMode::IfMatch(etag.clone())).await.unwrap();
    home.copy("one", &etag, "two", PutMode::Overwrite).await.unwrap();
    assert_eq!((home.store.count_files().unwrap(), home.count_on_disk()), (3, 3));
    for refused in [PutMode::CreateOnly, PutMode::IfMatch("other".into())] {
        let error = home.copy("source", &etag, "one", refused).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Precondition);
    }
    home.delete("source").await;
    home.put_parts("one", 7).await;
    assert_eq!(home.bytes("two").await, bytes);
    assert_eq!(home.store.count_files().unwrap(), 6);
    home.delete("two").await;
    home.wait_for_files(3).await;
    home.delete("one").await;
    home.wait_for_files(0).await;
    assert_eq!(home.store.count_files().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_share_ranges_of_files_and_release_them() {
    let home = Home::new().await;
    let (etag, bytes) = home.put_parts("source", 0).await;
    let (from, to) = (Key::from("source"), Key::from("target"));
    let id = home.begin(&to).await;
    let upload = UploadTarget { bucket: &home.bucket, key: &to, upload: &id };
    let source = CopySource {
        bucket: &home.bucket,
        key: &from,
        version: None,
        etag: &etag,
        part_etag: None,
    };
    let copy = |number: u32, first: usize, end: usize| {
        let span = Some(ByteSpan { first: first as u64, end: end as u64 });
        let part = PartTarget { upload, number: PartNumber::new(number).unwrap() };
        home.store.copy_part(source, span, part)
    };
    let spans = [(1, 5, 2 * PART + 9), (2, PART, PART + 1), (3, 0, bytes.len()), (4, 1, 9)];
    let (mut chosen, mut expected) = (Vec::new(), Vec::new());
    for (number, first, end) in spans {
        let copied = copy(number, first, end).await.unwrap().unwrap();
        if number < 4 {
            let number = PartNumber::new(number).unwrap();
            chosen.push(ChosenPart { number, etag: copied.etag, sha256: None });
            expected.extend_from_slice(&bytes[first..end]);
        }
    }
    let past = copy(5, 1, bytes.len() + 1).await.unwrap_err();
    assert_eq!(past.kind(), Kind::Range);
    let listed = home.store.list_parts(upload, None).await.unwrap().parts;
    let sizes: Vec<u64> = listed.iter().map(|part| part.size_bytes).collect();
    assert_eq!(sizes, spans.map(|(_, first, end)| (end - first) as u64));
    assert_eq!(home.store.count_files().unwrap(), 3, "no file is copied");
    home.delete("source").await;
    home.store.complete(upload, &chosen, &Completion::of(expected.len() as u64)).await.unwrap();
    assert_eq!(home.bytes("target").await, expected);
    let middle = GetRange::Range { first: PART as u64, last: 2 * PART as u64 };
    let (_, body) = home.store.get(&home.bucket, &to, middle, GetOptions::default()).await.unwrap();
    assert_eq!(body.collect(16 << 20).await.unwrap(), expected[PART..=2 * PART]);
    home.delete("target").await;
    home.wait_for_files(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_read_ends_with_the_bytes_that_it_began_with() {
    let home = Home::new().await;
    let (_, bytes) = home.put_parts("key", 0).await;
    let (mut replaced, unread) = (home.open("key").await, home.open("key").await);
    let mut found = replaced.next().await.unwrap().unwrap().to_vec();
    let (_, newer) = home.put_parts("key", 50).await;
    let mut removed = home.open("key").await;
    let first = removed.next().await.unwrap().unwrap();
    home.delete("key").await;
    home.put_parts("other", 90).await;
    home.delete("other").await;
    // Of each object that is being read, the first file is read to its end; `unread` needs it too.
    home.wait_for_files(5).await;
    drop(unread);
    home.wait_for_files(4).await;
    while let Some(frame) = replaced.next().await {
        found.extend_from_slice(&frame.unwrap());
    }
    assert!(found == bytes);
    home.wait_for_files(2).await;
    let rest = removed.map(|frame| frame.unwrap()).collect::<Vec<_>>().await.concat();
    assert!([first.to_vec(), rest].concat() == newer);
    home.wait_for_files(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_without_shared_files_opens_and_takes_copies() {
    let home = Home::new().await;
    let (etag, bytes) = home.put_parts("source", 0).await;
    let Home { _directory: directory, store, bucket } = home;
    drop(store);
    let handle = Handle::open(directory.path().join("index.redb")).unwrap();
    let transaction = handle.write().unwrap();
    transaction.delete_table(SHARED).unwrap();
    transaction.commit().unwrap();
    let reading = handle.read().unwrap();
    assert_eq!(reading.list_tables().unwrap().count(), Tables::COUNT - 1);
    drop((reading, handle));
    let store = Dir::open(directory.path(), Clock::system()).unwrap();
    let home = Home { _directory: directory, store, bucket };
    home.copy("source", &etag, "copy", PutMode::Overwrite).await.unwrap();
    home.delete("source").await;
    assert_eq!(home.bytes("copy").await, bytes);
    home.delete("copy").await;
    home.wait_for_files(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_object_is_copied_into_the_index_and_into_a_part() {
    let home = Home::new().await;
    let (key, to) = (Key::from("small"), Key::from("part"));
    let written = home
        .store
        .put(&home.bucket, &key, b"0123456789".to_vec().into(), PutOptions::default())
        .await
        .unwrap();
    home.copy("small", &written.etag, "copy", PutMode::Overwrite).await.unwrap();
    assert_eq!(
        (home.bytes("copy").await, home.store.count_files().unwrap()),
        (b"0123456789".to_vec(), 0)
    );
    let id = home.begin(&to).await;
    let upload = UploadTarget { bucket: &home.bucket, key: &to, upload: &id };
    let source = CopySource {
        bucket: &home.bucket,
        key: &key,
        version: None,
        etag: &written.etag,
        part_etag: None,
    };
    let part = PartTarget { upload, number: PartNumber::new(1).unwrap() };
    let span = Some(ByteSpan { first: 3, end: 6 });
    let copied = home.store.copy_part(source, span, part).await.unwrap().unwrap();
    assert_eq!(copied.sha256, Some(crate::digest::Sha256::of(b"345")));
    let chosen = ChosenPart { number: part.number, etag: copied.etag, sha256: None };
    home.store.complete(upload, &[chosen], &Completion::of(3)).await.unwrap();
    assert_eq!(home.bytes("part").await, b"345");
}
