//! What is said of copies, and where pages end.

use super::super::super::{
    Attributes, ByteSpan, ChosenPart, Completion, CopyOptions, CopySource, Kind, PartNumber,
    PartTarget, PutMode, PutOptions, Store, UploadTarget,
};
use super::super::Dir;
use super::super::test_store::{SMALL_PARTS, with_bucket};
use super::*;

const BIG: usize = 100 << 10;

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

    async fn put(&self, key: &str, size: usize) {
        let (key, body) = (key.into(), vec![7; size].into());
        self.store.put(&self.bucket, &key, body, PutOptions::default()).await.unwrap();
    }

    async fn copy(&self, from: &str, to: &str) {
        let (key, etag) = (Key::from(from), self.head(from).await.etag);
        let source = CopySource {
            bucket: &self.bucket,
            key: &key,
            version: None,
            etag: &etag,
            part_etag: None,
        };
        let (mode, attributes) = (PutMode::Overwrite, Attributes::default());
        let options = CopyOptions { mode, attributes, account: None };
        let copied = self.store.copy(source, &self.bucket, &to.into(), options).await;
        copied.unwrap().unwrap();
    }

    async fn head(&self, key: &str) -> crate::store::Head {
        self.store.head(&self.bucket, &key.into()).await.unwrap()
    }

    /// An object whose parts are each a copy of these bytes of an object.
    async fn copy_parts(&self, from: &str, span: ByteSpan, parts: u32, to: &str) {
        let (from, to) = (Key::from(from), Key::from(to));
        let etag = self.head(from.as_str()).await.etag;
        let source = CopySource {
            bucket: &self.bucket,
            key: &from,
            version: None,
            etag: &etag,
            part_etag: None,
        };
        let attributes = Attributes::default();
        let id = self.store.create_upload(&self.bucket, &to, &attributes).await.unwrap();
        let upload = UploadTarget { bucket: &self.bucket, key: &to, upload: &id };
        let mut chosen = Vec::new();
        for number in (1..=parts).map(|number| PartNumber::new(number).unwrap()) {
            let part = PartTarget { upload, number };
            let copied = self.store.copy_part(source, Some(span), part).await.unwrap();
            chosen.push(ChosenPart { number, etag: copied.unwrap().etag, sha256: None });
        }
        let size_bytes = u64::from(parts) * (span.end - span.first);
        self.store.complete(upload, &chosen, &Completion::of(size_bytes)).await.unwrap();
    }

    async fn page(&self, options: &ListOptions) -> ExtentPage {
        self.store.extents(&self.bucket, options).await.unwrap()
    }
}

fn below(prefix: &str) -> ListOptions {
    ListOptions { prefix: prefix.to_owned(), ..ListOptions::default() }
}

fn keys(page: &ExtentPage) -> Vec<&str> {
    page.objects.iter().map(|object| object.key.as_str()).collect()
}

#[tokio::test]
async fn copies_have_the_extents_of_their_source() {
    let home = Home::new().await;
    home.put("a", BIG).await;
    home.put("other", BIG).await;
    for (key, size) in [("empty", 0), ("packed", 60 << 10), ("row", 9)] {
        home.put(key, size).await;
        home.copy(key, &format!("{key}-copy")).await;
    }
    home.copy("a", "b").await;
    home.copy_parts("a", ByteSpan { first: 100, end: 200 }, 1, "c").await;
    let page = home.page(&ListOptions::default()).await;
    let extents = |key: &str| {
        let object = page.objects.iter().find(|object| object.key.as_str() == key).unwrap();
        object.extents.clone().unwrap()
    };
    let [whole] = extents("a")[..] else { panic!("{:?}", extents("a")) };
    assert_eq!((whole.first, whole.len_bytes), (0, BIG as u64));
    assert_eq!(extents("b"), [whole]);
    assert_eq!(extents("c"), [Extent { id: whole.id, first: 100, len_bytes: 100 }]);
    assert_ne!(extents("other")[0].id, whole.id);
    for key in ["empty", "packed", "row", "empty-copy", "packed-copy", "row-copy"] {
        assert_eq!(extents(key), [], "{key}");
    }
    for object in &page.objects {
        let head = home.head(object.key.as_str()).await;
        assert_eq!((&object.etag, object.size_bytes), (&head.etag, head.size_bytes));
    }
}

#[tokio::test]
async fn pages_have_each_key_once_and_none_of_another_prefix_or_bucket() {
    let home = Home::new().await;
    let other = Bucket::from("bucket-2");
    home.store.create_bucket(&other).await.unwrap();
    let (key, options) = (Key::from("a/1"), PutOptions::default());
    home.store.put(&other, &key, vec![1].into(), options).await.unwrap();
    for key in ["a", "a/1", "a/2", "a/3", "a/4", "b"] {
        home.put(key, 1).await;
    }
    let (mut options, mut found) = (ListOptions { limit: 3, ..below("a/") }, Vec::new());
    loop {
        let page = home.page(&options).await;
        found.push(keys(&page).join(" "));
        let Some(next) = page.next else { break };
        options.continue_at(next);
    }
    assert_eq!(found, ["a/1 a/2 a/3", "a/4"]);
    assert_eq!(keys(&home.page(&below("c")).await), [""; 0]);
    let missing = home.store.extents(&"missing".into(), &ListOptions::default()).await;
    assert_eq!(missing.unwrap_err().kind(), Kind::NoSuchBucket);
}

#[tokio::test]
async fn a_page_ends_where_its_objects_have_many_extents() {
    let home = Home::new().await;
    home.put("source", BIG).await;
    let span = ByteSpan { first: 0, end: 1 };
    home.copy_parts("source", span, 100, "few").await;
    let all = ByteSpan { first: 0, end: 100 };
    home.copy_parts("few", all, 100, "many-1").await;
    for copy in ["many-2", "many-3", "many-4"] {
        home.copy("many-1", copy).await;
    }
    let page = home.page(&below("many")).await;
    assert_eq!(page.objects[0].extents.as_ref().map(Vec::len), Some(10_000));
    assert_eq!(keys(&page), ["many-1", "many-2"]);
    let mut options = below("many");
    options.continue_at(page.next.unwrap());
    let page = home.page(&options).await;
    assert_eq!((keys(&page), &page.next), (vec!["many-3", "many-4"], &None));
}
