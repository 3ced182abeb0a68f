//! Objects: conditions, ranges, attributes, listings, truncated bodies.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::stream;
use ratchet::digest::{Algorithm, ChecksumHasher, Sha256};
use ratchet::store::{
    Attributes, Body, BodyError, DeleteConditions, DeleteOptions, GetOptions, GetRange, Kind,
    ListOptions, PutMode, PutOptions, TagCondition,
};

use crate::support::lab::{Lab, key, pattern, truncated_body};

pub async fn an_object_is_read_with_its_attributes(lab: Lab) {
    let attributes = Attributes {
        content_type: Some("text/x-test".into()),
        headers: BTreeMap::from([("cache-control".to_owned(), "no-store".to_owned())]),
        user: BTreeMap::from([("ratchet-upload".to_owned(), "tag-1".to_owned())]),
        ..Attributes::default()
    };
    let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
    let written = lab
        .store
        .put(&lab.bucket, &key("a/b c+d"), Body::from(b"hello".to_vec()), options)
        .await
        .unwrap();
    let (head, bytes) = lab.get("a/b c+d", GetRange::Whole).await.unwrap();
    assert_eq!((&bytes[..], head.size_bytes, &head.etag), (&b"hello"[..], 5, &written.etag));
    assert_eq!(head.attributes, attributes);
    assert!(!written.etag.0.contains('"'));
    let head = lab.store.head(&lab.bucket, &key("a/b c+d")).await.unwrap();
    assert_eq!((head.size_bytes, head.etag), (5, written.etag));
    let age = head.date.duration_since(head.modified).unwrap_or_default();
    assert!(age.as_secs() < 60, "{age:?}");
}

pub async fn a_checksum_sent_after_the_bytes_is_kept(lab: Lab) {
    for (size, algorithm) in
        [0, 1000, 3 << 20].into_iter().flat_map(|size| Algorithm::ALL.map(|kind| (size, kind)))
    {
        if !lab.store.stores_checksum(algorithm) {
            continue;
        }
        let bytes = pattern(size, 5);
        let mut expected = ChecksumHasher::new(algorithm);
        expected.update(&bytes);
        let options = PutOptions { checksum: Some(algorithm), ..PutOptions::default() };
        lab.store.put(&lab.bucket, &key("sum"), Body::from(bytes), options).await.unwrap();
        for read in [GetRange::Head, GetRange::Whole] {
            let options = GetOptions { checksum: true, ..GetOptions::default() };
            let (head, _) = lab.store.get(&lab.bucket, &key("sum"), read, options).await.unwrap();
            assert_eq!(
                head.checksum,
                Some(expected.clone().finish()),
                "{size} bytes, {algorithm}, {read:?}"
            );
        }
    }
    lab.put("sum", "other", PutMode::Overwrite).await.unwrap();
    let (head, _) = lab.get("sum", GetRange::Whole).await.unwrap();
    assert_eq!(head.checksum, None, "the checksum of the replaced object is not kept");
}

pub async fn missing_objects_and_buckets_have_their_own_errors(lab: Lab) {
    assert_eq!(lab.get("nothing", GetRange::Whole).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(
        lab.store.head(&lab.bucket, &key("nothing")).await.unwrap_err().kind(),
        Kind::NotFound
    );
    lab.store.delete(&lab.bucket, &key("nothing"), &DeleteOptions::default()).await.unwrap();
    let nowhere = "ratchet-no-such-bucket".into();
    let put = lab.store.put(&nowhere, &key("k"), Body::empty(), PutOptions::default()).await;
    assert_eq!(put.unwrap_err().kind(), Kind::NoSuchBucket);
    let begun = lab.store.create_upload(&nowhere, &key("k"), &Attributes::default()).await;
    assert_eq!(begun.unwrap_err().kind(), Kind::NoSuchBucket);
    assert_eq!(lab.store.create_bucket(&lab.bucket).await.unwrap_err().kind(), Kind::BucketExists);
}

pub async fn buckets_are_created_listed_and_deleted(lab: Lab) {
    let names: Vec<_> =
        lab.store.list_buckets().await.unwrap().into_iter().map(|info| info.bucket).collect();
    assert!(names.contains(&lab.bucket));
    lab.put("k", "v", PutMode::Overwrite).await.unwrap();
    assert_eq!(
        lab.store.delete_bucket(&lab.bucket).await.unwrap_err().kind(),
        Kind::BucketNotEmpty
    );
    lab.store.delete(&lab.bucket, &key("k"), &DeleteOptions::default()).await.unwrap();
    lab.store.delete_bucket(&lab.bucket).await.unwrap();
    assert_eq!(lab.store.delete_bucket(&lab.bucket).await.unwrap_err().kind(), Kind::NoSuchBucket);
}

pub async fn ranges_end_at_the_end_of_the_object(lab: Lab) {
    lab.put("r", "0123456789", PutMode::Overwrite).await.unwrap();
    for (read, expected) in [
        (GetRange::Range { first: 0, last: 0 }, "0"),
        (GetRange::Range { first: 3, last: 5 }, "345"),
        (GetRange::Range { first: 8, last: 99 }, "89"),
        (GetRange::Range { first: 9, last: u64::MAX - 1 }, "9"),
        (GetRange::Suffix(3), "789"),
        (GetRange::Suffix(99), "0123456789"),
    ] {
        let (head, bytes) = lab.get("r", read).await.unwrap();
        assert_eq!((bytes.as_ref(), head.size_bytes), (expected.as_bytes(), 10), "{read:?}");
    }
    assert_eq!(
        lab.get("r", GetRange::Range { first: 10, last: 20 }).await.unwrap_err().kind(),
        Kind::Range
    );
}

pub async fn an_empty_object_exists(lab: Lab) {
    lab.put("empty", "", PutMode::Overwrite).await.unwrap();
    let (head, bytes) = lab.get("empty", GetRange::Whole).await.unwrap();
    assert_eq!((head.size_bytes, bytes.len()), (0, 0));
}

pub async fn conditions_decide_writes(lab: Lab) {
    let first = lab.put("c", "1", PutMode::CreateOnly).await.unwrap();
    assert_eq!(
        lab.put("c", "x", PutMode::CreateOnly).await.unwrap_err().kind(),
        Kind::Precondition
    );
    let second = lab.put("c", "2", PutMode::IfMatch(first.etag.clone())).await.unwrap();
    assert_eq!(
        lab.put("c", "x", PutMode::IfMatch(first.etag.clone())).await.unwrap_err().kind(),
        Kind::Precondition
    );
    assert_eq!(lab.text("c").await, "2");
    lab.store.delete(&lab.bucket, &key("c"), &DeleteOptions::default()).await.unwrap();
    let gone = lab.put("c", "x", PutMode::IfMatch(second.etag)).await.unwrap_err().kind();
    assert!(matches!(gone, Kind::NotFound | Kind::Precondition), "{gone:?}");
    lab.put("c", "3", PutMode::CreateOnly).await.unwrap();
}

pub async fn a_delete_is_decided_by_its_etag(lab: Lab) {
    let written = lab.put("d", "1", PutMode::Overwrite).await.unwrap();
    let delete = async |if_match| {
        let conditions = DeleteConditions { if_match: Some(if_match), ..Default::default() };
        let options = DeleteOptions { conditions, ..DeleteOptions::default() };
        lab.store.delete(&lab.bucket, &key("d"), &options).await
    };
    let other = TagCondition::Tag("00000000000000000000000000000000".into());
    assert_eq!(delete(other).await.unwrap_err().kind(), Kind::Precondition);
    assert_eq!(lab.text("d").await, "1");
    delete(TagCondition::Tag(written.etag.clone())).await.unwrap();
    assert_eq!(lab.get("d", GetRange::Head).await.unwrap_err().kind(), Kind::NotFound);
    let gone = delete(TagCondition::Tag(written.etag)).await.unwrap_err().kind();
    assert!(matches!(gone, Kind::NotFound | Kind::Precondition), "{gone:?}");
    lab.put("d", "2", PutMode::Overwrite).await.unwrap();
    delete(TagCondition::Any).await.unwrap();
    assert_eq!(lab.get("d", GetRange::Head).await.unwrap_err().kind(), Kind::NotFound);
    assert_eq!(delete(TagCondition::Any).await.unwrap_err().kind(), Kind::Precondition);
}

pub async fn an_unknown_version_is_neither_read_nor_deleted(lab: Lab) {
    lab.put("v", "1", PutMode::Overwrite).await.unwrap();
    let version = Some("0123456789abcdef0123456789abcdef".to_owned());
    for read in [GetRange::Head, GetRange::Whole] {
        let options = GetOptions { version: version.clone(), ..GetOptions::default() };
        let kind = lab.store.get(&lab.bucket, &key("v"), read, options).await.unwrap_err().kind();
        assert_eq!(kind, Kind::NoSuchVersion, "{read:?}");
    }
    let options = DeleteOptions { version, ..DeleteOptions::default() };
    let kind = lab.store.delete(&lab.bucket, &key("v"), &options).await.unwrap_err().kind();
    assert_eq!(kind, Kind::NoSuchVersion);
    assert_eq!(lab.text("v").await, "1");
    let null = || Some("null".to_owned());
    let options = GetOptions { version: null(), ..GetOptions::default() };
    assert!(lab.store.get(&lab.bucket, &key("v"), GetRange::Whole, options).await.is_ok());
    let options = DeleteOptions { version: null(), ..DeleteOptions::default() };
    lab.store.delete(&lab.bucket, &key("v"), &options).await.unwrap();
    assert_eq!(lab.get("v", GetRange::Head).await.unwrap_err().kind(), Kind::NotFound);
}

pub async fn conditions_decide_reads(lab: Lab) {
    let written = lab.put("c", "1", PutMode::Overwrite).await.unwrap();
    let name = key("c");
    let get = |options| lab.store.get(&lab.bucket, &name, GetRange::Whole, options);
    let same = GetOptions { if_none_match: Some(written.etag.clone()), ..GetOptions::default() };
    assert_eq!(get(same.clone()).await.unwrap_err().kind(), Kind::NotModified);
    let matching = GetOptions { if_match: Some(written.etag), ..GetOptions::default() };
    assert!(get(matching.clone()).await.is_ok());
    lab.put("c", "2", PutMode::Overwrite).await.unwrap();
    assert_eq!(get(matching).await.unwrap_err().kind(), Kind::Precondition);
    assert!(get(same).await.is_ok());
}

pub async fn listings_are_paged_in_byte_order(lab: Lab) {
    let keys = vec!["a", "a/1", "a/2", "a0", "b/1/x", "b/1/y", "b/2", "c", "é", "zz/1"];
    for name in &keys {
        lab.put(name, name, PutMode::Overwrite).await.unwrap();
    }
    let mut sorted = keys;
    sorted.sort_unstable();
    for limit in [1, 2, 3, 100] {
        let mut found = Vec::new();
        let mut options = ListOptions { limit, ..ListOptions::default() };
        loop {
            let page = lab.store.list(&lab.bucket, &options).await.unwrap();
            assert!(page.objects.len() <= limit);
            found.extend(page.objects.into_iter().map(|object| object.key.to_string()));
            let Some(next) = page.next else { break };
            options.continue_at(next);
        }
        assert_eq!(found, sorted, "pages of {limit}");
    }
    let options = ListOptions { prefix: "a/".into(), ..ListOptions::default() };
    let page = lab.store.list(&lab.bucket, &options).await.unwrap();
    assert_eq!(page.objects.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["a/1", "a/2"]);
    assert_eq!(page.objects[0].size_bytes, 3);
}

pub async fn a_delimiter_groups_keys_into_common_prefixes(lab: Lab) {
    for name in ["a", "b/1/x", "b/1/y", "b/2", "b/3", "c/1", "d"] {
        lab.put(name, "", PutMode::Overwrite).await.unwrap();
    }
    for limit in [1, 2, 100] {
        let mut options =
            ListOptions { delimiter: Some("/".into()), limit, ..ListOptions::default() };
        let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
        loop {
            let page = lab.store.list(&lab.bucket, &options).await.unwrap();
            objects.extend(page.objects.into_iter().map(|object| object.key.to_string()));
            prefixes.extend(page.prefixes);
            let Some(next) = page.next else { break };
            options.continue_at(next);
        }
        assert_eq!(
            (objects, prefixes),
            (vec!["a".into(), "d".into()], vec!["b/".into(), "c/".to_owned()]),
            "{limit}"
        );
    }
    let options =
        ListOptions { prefix: "b/".into(), delimiter: Some("/".into()), ..ListOptions::default() };
    let page = lab.store.list(&lab.bucket, &options).await.unwrap();
    assert_eq!(page.prefixes, ["b/1/"]);
    assert_eq!(page.objects.len(), 2);
}

pub async fn a_truncated_or_wrong_body_leaves_the_old_object(lab: Lab) {
    let (old, new) = (pattern(300 << 10, 1), pattern(2 << 20, 2));
    lab.store.put(&lab.bucket, &key("k"), old.clone().into(), PutOptions::default()).await.unwrap();
    for (sent, ends_in_error) in
        [(0, true), (1 << 20, true), (1 << 20, false), ((2 << 20) - 1, false)]
    {
        let put = lab
            .store
            .put(
                &lab.bucket,
                &key("k"),
                truncated_body(&new, sent, ends_in_error),
                PutOptions::default(),
            )
            .await;
        let kind = put.unwrap_err().kind();
        assert!(matches!(kind, Kind::Body | Kind::Unavailable), "{sent} {ends_in_error} {kind:?}");
        assert_eq!(lab.get("k", GetRange::Whole).await.unwrap().1, old, "{sent} {ends_in_error}");
    }
    let wrong = PutOptions { sha256: Some(Sha256::of(b"other")), ..PutOptions::default() };
    for body in [new.clone(), pattern(100, 3)] {
        let put = lab.store.put(&lab.bucket, &key("k"), body.into(), wrong.clone()).await;
        assert_eq!(put.unwrap_err().kind(), Kind::Checksum);
    }
    assert_eq!(lab.get("k", GetRange::Whole).await.unwrap().1, old);
    lab.store.put(&lab.bucket, &key("k"), new.clone().into(), PutOptions::default()).await.unwrap();
    assert_eq!(lab.get("k", GetRange::Whole).await.unwrap().1, new);
    let (_, middle) =
        lab.get("k", GetRange::Range { first: 700_000, last: 1_500_000 }).await.unwrap();
    assert_eq!(middle, new.slice(700_000..=1_500_000));
}

pub async fn a_body_may_end_within_its_slack(lab: Lab) {
    // A part of an S3 server has at least 5 MiB.
    for (size, slack) in [(0, 100), (50, 100), (300 << 10, 64 << 10), (5 << 20, 0), (6 << 20, 9)] {
        let bytes = pattern(size, 7);
        for extra in [0, slack] {
            let frames = bytes.chunks(100_000).map(|frame| Ok(Bytes::copy_from_slice(frame)));
            let frames: Vec<Result<Bytes, BodyError>> = frames.collect();
            let body = Body::new((size + extra) as u64, stream::iter(frames));
            let body = body.with_slack(slack as u64);
            let options = PutOptions {
                attributes: Attributes {
                    content_type: Some("text/x-test".into()),
                    ..Attributes::default()
                },
                ..PutOptions::default()
            };
            let written = lab.store.put(&lab.bucket, &key("k"), body, options).await.unwrap();
            let (head, found) = lab.get("k", GetRange::Whole).await.unwrap();
            assert!(found == bytes, "{size} bytes of {}", size + extra);
            assert_eq!((head.size_bytes, &head.etag), (size as u64, &written.etag));
            assert_eq!(head.attributes.content_type.as_deref(), Some("text/x-test"));
        }
    }
    let (old, new) = (lab.get("k", GetRange::Whole).await.unwrap().1, pattern(6 << 20, 8));
    for (sent, ends_in_error) in [(5 << 20, false), ((6 << 20) - 50, true)] {
        let body = truncated_body(&new, sent, ends_in_error).with_slack(100);
        let put = lab.store.put(&lab.bucket, &key("k"), body, PutOptions::default()).await;
        let kind = put.unwrap_err().kind();
        assert!(matches!(kind, Kind::Body | Kind::Unavailable), "{sent} {ends_in_error} {kind:?}");
        assert!(lab.get("k", GetRange::Whole).await.unwrap().1 == old, "{sent} {ends_in_error}");
    }
}

pub async fn the_bytes_of_metadata_are_kept(lab: Lab) {
    let value = |bytes: &[u8]| Attributes::text_of(bytes);
    let user = BTreeMap::from([
        ("utf8".to_owned(), value("café".as_bytes())),
        ("latin1".to_owned(), value(b"caf\xe9")),
    ]);
    let attributes = Attributes { user, ..Attributes::default() };
    let options = PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
    lab.store.put(&lab.bucket, &key("k"), Body::empty(), options).await.unwrap();
    let head = lab.store.head(&lab.bucket, &key("k")).await.unwrap();
    assert_eq!(head.attributes.user, attributes.user);
}

super::on_every_store!(
    objects:
    a_body_may_end_within_its_slack,
    the_bytes_of_metadata_are_kept,
    an_object_is_read_with_its_attributes,
    a_checksum_sent_after_the_bytes_is_kept,
    missing_objects_and_buckets_have_their_own_errors,
    buckets_are_created_listed_and_deleted,
    ranges_end_at_the_end_of_the_object,
    an_empty_object_exists,
    conditions_decide_writes,
    conditions_decide_reads,
    a_delete_is_decided_by_its_etag,
    an_unknown_version_is_neither_read_nor_deleted,
    listings_are_paged_in_byte_order,
    a_delimiter_groups_keys_into_common_prefixes,
    a_truncated_or_wrong_body_leaves_the_old_object,
);
