//! Copies within the store: of objects, and of ranges into parts.

use std::collections::BTreeMap;

use bytes::Bytes;
use ratchet::names::Bucket;
use ratchet::store::{
    Attributes, ByteSpan, ChosenPart, Completion, CopiedPart, CopyOptions, CopySource,
    DeleteOptions, ETag, Error, GetRange, Kind, PartNumber, PartTarget, PutMode, PutOptions,
    UploadTarget, Written,
};

use crate::support::lab::{Lab, key, pattern};

const FULL: usize = 5 << 20;

fn attributes(tag: &str) -> Attributes {
    Attributes {
        content_type: Some(format!("text/x-{tag}")),
        headers: BTreeMap::from([("cache-control".to_owned(), format!("max-age={}", tag.len()))]),
        user: BTreeMap::from([(format!("only-{tag}"), tag.to_owned())]),
        ..Attributes::default()
    }
}

async fn put(lab: &Lab, name: &str, bytes: &Bytes) -> ETag {
    let options = PutOptions { attributes: attributes("source"), ..PutOptions::default() };
    lab.store.put(&lab.bucket, &key(name), bytes.clone().into(), options).await.unwrap().etag
}

/// Puts an object of these parts.
async fn put_parts(lab: &Lab, name: &str, parts: &[Bytes]) -> ETag {
    let (key, attributes) = (key(name), attributes("source"));
    let id = lab.store.create_upload(&lab.bucket, &key, &attributes).await.unwrap();
    let upload = UploadTarget { bucket: &lab.bucket, key: &key, upload: &id };
    let mut chosen = Vec::new();
    for (number, bytes) in (1..).zip(parts) {
        let number = PartNumber::new(number).unwrap();
        let part = PartTarget { upload, number };
        let written = lab.store.put_part(part, bytes.clone().into(), None.into()).await.unwrap();
        chosen.push(ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) });
    }
    let size = parts.iter().map(Bytes::len).sum::<usize>() as u64;
    lab.store.complete(upload, &chosen, &Completion::of(size)).await.unwrap();
    lab.store.head(&lab.bucket, &key).await.unwrap().etag
}

async fn copy(
    lab: &Lab,
    (bucket, from, etag): (&Bucket, &str, &ETag),
    to: &str,
    mode: PutMode,
) -> Result<Option<Written>, Error> {
    let from = key(from);
    let source = CopySource { bucket, key: &from, version: None, etag, part_etag: None };
    let options =
        CopyOptions { mode, attributes: attributes("copy"), account: Some("home".into()) };
    lab.store.copy(source, &lab.bucket, &key(to), options).await
}

pub async fn a_copy_has_the_bytes_of_its_source_and_attributes_of_its_own(lab: Lab) {
    let (one, two) = (pattern(FULL, 1), pattern(70_001, 2));
    let whole = Bytes::from([one.as_ref(), &two].concat());
    let etag = put_parts(&lab, "b/parts ä+?", &[one, two]).await;
    let small = pattern(9, 3);
    let sources = [
        ("b/parts ä+?", etag, whole),
        ("small", put(&lab, "small", &small).await, small),
        ("empty", put(&lab, "empty", &Bytes::new()).await, Bytes::new()),
    ];
    for (from, etag, bytes) in &sources {
        // Twice: the second copy replaces the first.
        for _ in 0..2 {
            let copied = copy(&lab, (&lab.bucket, from, etag), "a copy", PutMode::Overwrite).await;
            let copied = copied.unwrap().unwrap();
            let (head, found) = lab.get("a copy", GetRange::Whole).await.unwrap();
            assert!(found == *bytes, "{from}");
            assert_eq!((head.etag, head.attributes), (copied.etag, attributes("copy")), "{from}");
        }
        // Onto itself, which replaces the attributes.
        copy(&lab, (&lab.bucket, from, etag), from, PutMode::Overwrite).await.unwrap().unwrap();
        let (head, found) = lab.get(from, GetRange::Whole).await.unwrap();
        assert!(found == *bytes && head.attributes == attributes("copy"), "{from}");
        lab.store.delete(&lab.bucket, &key(from), &DeleteOptions::default()).await.unwrap();
        assert!(lab.get("a copy", GetRange::Whole).await.unwrap().1 == *bytes, "{from} is gone");
    }
}

pub async fn a_copy_is_made_of_the_object_that_was_seen_or_fails(lab: Lab) {
    let (old, new) = (pattern(80_000, 1), pattern(80_000, 2));
    let seen = put(&lab, "source", &old).await;
    put(&lab, "source", &new).await;
    put(&lab, "target", &old).await;
    let refused = copy(&lab, (&lab.bucket, "source", &seen), "target", PutMode::Overwrite).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Precondition);
    let absent = copy(&lab, (&lab.bucket, "nothing", &seen), "target", PutMode::Overwrite).await;
    assert_eq!(absent.unwrap_err().kind(), Kind::NotFound);
    assert!(lab.get("target", GetRange::Whole).await.unwrap().1 == old);
}

pub async fn the_condition_on_the_target_of_a_copy_is_decided_or_left_to_the_caller(lab: Lab) {
    let (old, new) = (pattern(80_000, 1), pattern(80_000, 2));
    let there = put(&lab, "target", &old).await;
    let etag = put(&lab, "source", &new).await;
    for mode in [PutMode::CreateOnly, PutMode::IfMatch("other".into())] {
        match copy(&lab, (&lab.bucket, "source", &etag), "target", mode.clone()).await {
            Ok(None) => {}
            Ok(Some(_)) => panic!("{mode:?} does not hold"),
            Err(error) => assert_eq!(error.kind(), Kind::Precondition, "{mode:?}"),
        }
        assert!(lab.get("target", GetRange::Whole).await.unwrap().1 == old, "{mode:?}");
    }
    let mode = PutMode::IfMatch(there);
    let copied = copy(&lab, (&lab.bucket, "source", &etag), "target", mode).await.unwrap();
    let expected = if copied.is_some() { new } else { old };
    assert!(lab.get("target", GetRange::Whole).await.unwrap().1 == expected);
}

pub async fn ranges_become_parts(lab: Lab) {
    let parts = [pattern(FULL, 1), pattern(FULL + 9, 2), pattern(70_001, 3)];
    let whole: Bytes = parts.concat().into();
    let etag = put_parts(&lab, "source", &parts).await;
    let (from, to) = (key("source"), key("target"));
    let id = lab.store.create_upload(&lab.bucket, &to, &attributes("copy")).await.unwrap();
    let upload = UploadTarget { bucket: &lab.bucket, key: &to, upload: &id };
    let source =
        CopySource { bucket: &lab.bucket, key: &from, version: None, etag: &etag, part_etag: None };
    let (mut chosen, mut expected) = (Vec::new(), Vec::new());
    // Part 1 is replaced; part 4 is not chosen.
    let spans = [
        (1, Some((0, 3))),
        (1, Some((FULL - 5, 2 * FULL + 3))),
        (2, None),
        (3, Some((7, 8))),
        (4, Some((0, FULL))),
    ];
    for (number, span) in spans {
        let number = PartNumber::new(number).unwrap();
        let (first, end) = span.unwrap_or((0, whole.len()));
        let span = span.map(|(first, end)| ByteSpan { first: first as u64, end: end as u64 });
        let copied = lab.store.copy_part(source, span, PartTarget { upload, number }).await;
        let part = PartTarget { upload, number };
        let CopiedPart { etag, sha256 } = match copied.unwrap() {
            None if !lab.copies_ranges => {
                let bytes = whole.slice(first..end);
                let put = lab.store.put_part(part, bytes.into(), None.into()).await.unwrap();
                CopiedPart { etag: put.etag, sha256: Some(put.sha256) }
            }
            copied => copied.unwrap(),
        };
        chosen.retain(|part: &ChosenPart| part.number != number);
        if number.get() < 4 {
            chosen.push(ChosenPart { number, etag, sha256 });
            if end > 3 {
                expected.extend_from_slice(&whole[first..end]);
            }
        }
    }
    let gone = ETag::from("other");
    let changed = CopySource { etag: &gone, ..source };
    let part = PartTarget { upload, number: PartNumber::new(5).unwrap() };
    let refused = lab.store.copy_part(changed, None, part).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Precondition);
    lab.store.delete(&lab.bucket, &from, &DeleteOptions::default()).await.unwrap();
    lab.store.complete(upload, &chosen, &Completion::of(expected.len() as u64)).await.unwrap();
    let (head, found) = lab.get("target", GetRange::Whole).await.unwrap();
    assert!(found == expected);
    assert_eq!(head.attributes, attributes("copy"));
}

super::on_every_store!(
    copies:
    a_copy_has_the_bytes_of_its_source_and_attributes_of_its_own,
    a_copy_is_made_of_the_object_that_was_seen_or_fails,
    the_condition_on_the_target_of_a_copy_is_decided_or_left_to_the_caller,
    ranges_become_parts,
);
