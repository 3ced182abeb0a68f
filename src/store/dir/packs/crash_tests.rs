//! What a kill and a power cut leave of changes that are in the journal alone.
//!
//! A copy of the files of an open store is what a kill leaves. A power cut may leave of each page
//! of the index that was written since its last sync either the old or the new bytes, and of the
//! last write to the pack anything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::super::files::Places;
use super::super::replay::replay;
use super::super::test_store::SMALL_PARTS;
use super::super::{Dir, check};
use super::tests::{Home, content};
use crate::clock::Clock;
use crate::store::{
    Attributes, Bucket, ChosenPart, Completion, GetOptions, GetRange, Key, ListOptions, PartNumber,
    PartOptions, PartTarget, PutMode, PutOptions, Store, Tags, UploadTarget,
};

const PAGE: usize = 4096;

/// More than this is in a file of its own.
const LARGE: usize = 70_000;

type Contents = BTreeMap<String, Vec<u8>>;

/// Copies the files of a store.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap(), to);
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else if path.is_file() {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// What a store has: keys and bodies.
async fn contents(store: &Dir, bucket: &Bucket) -> Contents {
    let options = ListOptions { limit: usize::MAX, ..ListOptions::default() };
    let mut found = Contents::new();
    for object in store.list(bucket, &options).await.unwrap().objects {
        let body = store.get(bucket, &object.key, GetRange::Whole, GetOptions::default());
        let bytes = body.await.unwrap().1.collect(1 << 20).await.unwrap();
        found.insert(object.key.as_str().to_owned(), bytes.to_vec());
    }
    found
}

/// What a store has that is opened in this directory.
async fn contents_after(directory: &Path, bucket: &Bucket) -> Contents {
    let report = check(directory, &mut |finding| panic!("{finding:?}")).unwrap();
    assert!(report.is_sound());
    contents(&Dir::open(directory, Clock::system()).unwrap(), bucket).await
}

/// How many transactions the journal of the store in this directory has.
fn count_journaled(directory: &Path) -> u64 {
    let database = redb::Database::open(directory.join("index.redb")).unwrap();
    replay(&database, &Places::of(directory)).unwrap()
}

impl Home {
    /// The file of the only pack.
    fn pack(&self) -> PathBuf {
        let is_pack = |file: &PathBuf| fs::read(file).unwrap().starts_with(b"RPK1");
        let packs: Vec<PathBuf> = self.files().into_iter().filter(is_pack).collect();
        let [pack] = &packs[..] else { panic!("one pack") };
        pack.clone()
    }

    /// What a kill leaves.
    fn image(&self) -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        copy(self.path(), image.path());
        image
    }

    async fn contents(&self) -> Contents {
        contents(self.store(), &self.bucket).await
    }

    async fn put_in_parts(&self, key: &str, is_completed: bool) {
        let (key, attributes) = (Key::from(key), Attributes::default());
        let upload = self.store().create_upload(&self.bucket, &key, &attributes).await.unwrap();
        let upload = UploadTarget { bucket: &self.bucket, key: &key, upload: &upload };
        let mut chosen = Vec::new();
        for number in 1..=3 {
            let number = PartNumber::new(number).unwrap();
            let body = content(number.get().into(), LARGE);
            let part = PartTarget { upload, number };
            let written = self.store().put_part(part, body.into(), PartOptions::default());
            chosen.push(ChosenPart { number, etag: written.await.unwrap().etag, sha256: None });
        }
        if is_completed {
            let completion = Completion::of(3 * LARGE as u64);
            self.store().complete(upload, &chosen, &completion).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_kill_loses_nothing_that_is_in_the_journal_alone() {
    let mut home = Home::with_limits(SMALL_PARTS).await;
    for number in 0..20 {
        home.put(&number.to_string(), content(number, 2000)).await;
    }
    home.put("large", content(1, LARGE)).await;
    home.put("3", content(33, 100)).await;
    home.put("4", content(44, LARGE)).await;
    home.delete("5").await;
    home.delete("large").await;
    home.put_in_parts("parts", true).await;
    home.put_in_parts("open", false).await;
    home.store().set_tags(&home.bucket, &"6".into(), &Tags::default()).await.unwrap();
    let other = Bucket::from("other");
    home.store().create_bucket(&other).await.unwrap();
    home.put_if("7", content(7, 10), PutMode::CreateOnly).await.unwrap_err();
    let (image, counted, expected) = (home.image(), home.image(), home.contents().await);
    let journaled = count_journaled(counted.path());
    assert!(journaled >= 30, "{journaled}");
    assert_eq!(count_journaled(counted.path()), 0, "the index has them now");
    assert_eq!(expected.len(), 20);
    assert_eq!(contents_after(image.path(), &home.bucket).await, expected);
    let after = Dir::open(image.path(), Clock::system()).unwrap();
    assert_eq!(after.list_buckets().await.unwrap().len(), 2);
    assert_eq!(after.count_files().unwrap(), home.store().count_files().unwrap());
    home.close();
    assert_eq!(count_journaled(home.path()), 0, "a store that is closed needs no journal");
    assert_eq!(contents_after(home.path(), &home.bucket).await, expected);
}

#[tokio::test]
async fn more_is_written_than_may_be_in_the_journal_alone() {
    const PUTS: u64 = 700;
    let home = Home::new().await;
    for number in 0..PUTS {
        home.put(&number.to_string(), content(number, 600)).await;
    }
    let (image, counted, expected) = (home.image(), home.image(), home.contents().await);
    let journaled = count_journaled(counted.path());
    assert!((1..=256).contains(&journaled), "{journaled}");
    assert_eq!(expected.len() as u64, PUTS);
    assert_eq!(contents_after(image.path(), &home.bucket).await, expected);
}

#[tokio::test]
async fn of_a_write_that_was_cut_off_nothing_is_taken_over() {
    let home = Home::new().await;
    for number in 0..5 {
        home.put(&number.to_string(), content(number, 9000)).await;
    }
    let (before, acknowledged) = (fs::read(home.pack()).unwrap(), home.contents().await);
    home.put("3", content(33, 9000)).await;
    let (after, expected) = (fs::read(home.pack()).unwrap(), home.contents().await);
    let pack = home.pack();
    let pack = pack.strip_prefix(home.path()).unwrap();
    let last = before.len()..after.len();
    let mut torn: Vec<Vec<u8>> = [1, 9, 33, 4096, 9000, last.len() - 1]
        .map(|kept| after[..last.start + kept].to_vec())
        .into();
    for page in 0..last.len() / PAGE {
        let mut lost = after.clone();
        lost[last.start + page * PAGE..][..PAGE].fill(0);
        torn.push(lost);
    }
    for bytes in &torn {
        let image = home.image();
        fs::write(image.path().join(pack), bytes).unwrap();
        assert_eq!(contents_after(image.path(), &home.bucket).await, acknowledged);
    }
    assert_eq!(contents_after(home.image().path(), &home.bucket).await, expected);
}

/// A number that follows from these.
fn hash(numbers: [u64; 2]) -> u64 {
    let text = format!("{numbers:?}");
    u64::from_le_bytes(crate::digest::Sha256::of(text.as_bytes()).0[..8].try_into().unwrap())
}

#[tokio::test]
async fn a_power_cut_loses_nothing_whichever_pages_of_the_index_were_written() {
    const ROUNDS: u64 = 20;
    const PUTS: u64 = 250;
    let home = Home::new().await;
    home.put("first", content(0, 600)).await;
    let index = home.path().join("index.redb");
    let synced = fs::read(&index).unwrap();
    // Rows that together are larger than the index's cache, so that it writes pages early.
    let user = BTreeMap::from([("name".to_owned(), "x".repeat(6000))]);
    let attributes = Attributes { user, ..Attributes::default() };
    for round in 0..ROUNDS {
        let puts = (0..PUTS).map(|number| {
            let (home, attributes) = (&home, attributes.clone());
            async move {
                let (key, body) =
                    (Key::from(format!("{number}/{round}").as_str()), content(round, 600));
                let options = PutOptions { attributes, ..PutOptions::default() };
                home.store().put(&home.bucket, &key, body.into(), options).await.unwrap();
                if round % 3 == 1 {
                    home.delete(&format!("{number}/{}", round - 1)).await;
                }
            }
        });
        futures_util::future::join_all(puts).await;
    }
    let written = fs::read(&index).unwrap();
    assert_eq!(written[..PAGE], synced[..PAGE], "the index was synced in between");
    let page = |bytes: &[u8], number: usize| {
        bytes.get(number * PAGE..(number + 1) * PAGE).map_or(vec![0; PAGE], <[u8]>::to_vec)
    };
    let pages = written.len() / PAGE;
    let differ = (0..pages).filter(|number| page(&written, *number) != page(&synced, *number));
    assert!(differ.count() > 100, "pages were written before the sync");
    let expected = home.contents().await;
    for seed in 0..4 {
        let image = home.image();
        let mixed = (0..pages).flat_map(|number| {
            page(
                if hash([seed, number as u64]).is_multiple_of(2) { &written } else { &synced },
                number,
            )
        });
        fs::write(image.path().join("index.redb"), mixed.collect::<Vec<u8>>()).unwrap();
        assert_eq!(contents_after(image.path(), &home.bucket).await, expected, "seed {seed}");
    }
}
