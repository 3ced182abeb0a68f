//! Tags of objects: set with the object, read, counted, replaced.

use bytes::Bytes;
use ratchet::store::{
    Attributes, Body, ChosenPart, GetRange, Kind, PartNumber, PartOptions, PartTarget, PutMode,
    PutOptions, Tags, UploadTarget,
};

use crate::support::lab::{Lab, key};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    Tags(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

pub async fn tags_are_replaced_and_the_object_stays(lab: Lab) {
    let first = tags(&[("a b", "1+/ü"), ("empty", "")]);
    let attributes = Attributes { tags: first.clone(), ..Attributes::default() };
    let options = PutOptions { attributes, ..PutOptions::default() };
    let body = Body::from(b"hello".to_vec());
    lab.store.put(&lab.bucket, &key("dir/k"), body, options).await.unwrap();
    let read = async || lab.store.tags(&lab.bucket, &key("dir/k"), None).await.unwrap();
    assert_eq!(read().await, first);
    let (before, _) = lab.get("dir/k", GetRange::Whole).await.unwrap();
    assert_eq!(before.tag_count, 2);
    for next in [tags(&[("c", "2")]), Tags::default(), tags(&[("d", "3")])] {
        lab.store.set_tags(&lab.bucket, &key("dir/k"), &next).await.unwrap();
        assert_eq!(read().await, next);
    }
    let (after, bytes) = lab.get("dir/k", GetRange::Whole).await.unwrap();
    assert_eq!((&bytes[..], after.tag_count), (&b"hello"[..], 1));
    assert_eq!((after.etag, after.modified), (before.etag, before.modified));
    lab.put("dir/k", "other", PutMode::Overwrite).await.unwrap();
    assert_eq!(read().await, Tags::default(), "a new object has the tags of its own put");
}

pub async fn tags_of_an_upload_become_those_of_its_object(lab: Lab) {
    let wanted = tags(&[("project", "x")]);
    let attributes = Attributes { tags: wanted.clone(), ..Attributes::default() };
    let name = key("parts");
    let id = lab.store.create_upload(&lab.bucket, &name, &attributes).await.unwrap();
    let upload = UploadTarget { bucket: &lab.bucket, key: &name, upload: &id };
    let number = PartNumber::new(1).unwrap();
    let body = Bytes::from_static(b"bytes").into();
    let part = PartTarget { upload, number };
    let written = lab.store.put_part(part, body, PartOptions::default()).await.unwrap();
    let chosen = ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) };
    lab.store.complete(upload, &[chosen], &ratchet::store::Completion::of(5)).await.unwrap();
    assert_eq!(lab.store.tags(&lab.bucket, &name, None).await.unwrap(), wanted);
    assert_eq!(lab.store.head(&lab.bucket, &name).await.unwrap().tag_count, 1);
}

pub async fn an_absent_object_has_no_tags(lab: Lab) {
    let missing = key("missing");
    let read = lab.store.tags(&lab.bucket, &missing, None).await.unwrap_err();
    assert_eq!(read.kind(), Kind::NotFound);
    let written = lab.store.set_tags(&lab.bucket, &missing, &tags(&[("a", "b")])).await;
    assert_eq!(written.unwrap_err().kind(), Kind::NotFound);
}

super::on_every_store!(
    tags:
    tags_are_replaced_and_the_object_stays,
    tags_of_an_upload_become_those_of_its_object,
    an_absent_object_has_no_tags,
);
