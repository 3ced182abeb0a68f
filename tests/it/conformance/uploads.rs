//! Multipart uploads: parts in any order, replaced, truncated, completed, aborted.

use std::collections::BTreeMap;

use bytes::Bytes;
use ratchet::digest::Sha256;
use ratchet::names::Key;
use ratchet::store::{
    Attributes, ChosenPart, Completion, ETag, Error, GetRange, Kind, PartNumber, PartTarget,
    UploadId, UploadTarget,
};

use crate::support::lab::{Lab, key, pattern, truncated_body};

const FULL: usize = 5 << 20;

struct Upload {
    lab: Lab,
    key: Key,
    id: UploadId,
}

impl Upload {
    async fn begin(lab: Lab, name: &str) -> Self {
        let attributes = Attributes {
            content_type: Some("text/x-parts".into()),
            user: BTreeMap::from([("ratchet-upload".to_owned(), "tag-7".to_owned())]),
            ..Attributes::default()
        };
        let id = lab.store.create_upload(&lab.bucket, &key(name), &attributes).await.unwrap();
        Self { lab, key: key(name), id }
    }

    fn target(&self) -> UploadTarget<'_> {
        UploadTarget { bucket: &self.lab.bucket, key: &self.key, upload: &self.id }
    }

    async fn put(
        &self,
        number: u32,
        bytes: &Bytes,
        sha256: Option<Sha256>,
    ) -> Result<ChosenPart, Error> {
        let number = PartNumber::new(number).unwrap();
        let part = PartTarget { upload: self.target(), number };
        let written = self.lab.store.put_part(part, bytes.clone().into(), sha256.into()).await?;
        Ok(ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) })
    }

    async fn complete(&self, parts: &[ChosenPart], size: usize) -> Result<ETag, Error> {
        let completion = Completion::of(size as u64);
        self.lab.store.complete(self.target(), parts, &completion).await.map(|written| written.etag)
    }

    async fn numbers(&self) -> Vec<u16> {
        let page = self.lab.store.list_parts(self.target(), None).await.unwrap();
        page.parts.iter().map(|part| part.number.get()).collect()
    }
}

pub async fn parts_in_any_order_become_the_object(lab: Lab) {
    let upload = Upload::begin(lab.clone(), "big").await;
    let (one, two, three) = (pattern(FULL, 1), pattern(FULL + 9, 2), pattern(77, 3));
    let third = upload.put(3, &three, None).await.unwrap();
    let first = upload.put(1, &one, Some(Sha256::of(&one))).await.unwrap();
    let second = upload.put(2, &two, None).await.unwrap();
    assert_eq!(upload.numbers().await, [1, 2, 3]);
    let listed = lab.store.list_parts(upload.target(), PartNumber::new(1)).await.unwrap().parts;
    let listed: Vec<_> =
        listed.iter().map(|part| (part.number.get(), part.size_bytes, part.etag.clone())).collect();
    assert_eq!(listed, [(2, two.len() as u64, second.etag.clone()), (3, 77, third.etag.clone())]);
    let whole = [one.as_ref(), &two, &three].concat();
    let etag = upload.complete(&[first, second, third], whole.len()).await.unwrap();
    let (head, bytes) = lab.get("big", GetRange::Whole).await.unwrap();
    assert_eq!((head.etag, head.size_bytes), (etag, whole.len() as u64));
    assert!(bytes == whole);
    assert_eq!(head.attributes.user.get("ratchet-upload").map(String::as_str), Some("tag-7"));
    assert_eq!(head.attributes.content_type.as_deref(), Some("text/x-parts"));
    let across = GetRange::Range { first: FULL as u64 - 10, last: FULL as u64 + 20 };
    assert_eq!(lab.get("big", across).await.unwrap().1, whole[FULL - 10..=FULL + 20]);
}

pub async fn a_part_is_replaced_completely_or_not_at_all(lab: Lab) {
    let upload = Upload::begin(lab.clone(), "replaced").await;
    let (old, new) = (pattern(FULL, 1), pattern(FULL, 2));
    let kept = upload.put(1, &old, None).await.unwrap();
    let part = PartTarget { upload: upload.target(), number: kept.number };
    for (sent, ends_in_error) in [(0, true), (FULL / 2, true), (FULL / 2, false), (FULL - 1, true)]
    {
        let kind = lab
            .store
            .put_part(part, truncated_body(&new, sent, ends_in_error), None.into())
            .await
            .unwrap_err()
            .kind();
        assert!(matches!(kind, Kind::Body | Kind::Unavailable), "{kind:?}");
        let declared = Some(Sha256::of(&new));
        let kind = lab
            .store
            .put_part(part, truncated_body(&new, sent, ends_in_error), declared.into())
            .await
            .unwrap_err()
            .kind();
        assert!(matches!(kind, Kind::Body | Kind::Unavailable), "{kind:?}");
    }
    let wrong = upload.put(1, &new, Some(Sha256::of(b"other"))).await.unwrap_err().kind();
    assert_eq!(wrong, Kind::Checksum);
    let listed = lab.store.list_parts(upload.target(), None).await.unwrap().parts;
    assert_eq!(
        listed.iter().map(|part| part.etag.clone()).collect::<Vec<_>>(),
        std::slice::from_ref(&kept.etag)
    );
    upload.complete(&[kept], FULL).await.unwrap();
    assert!(lab.get("replaced", GetRange::Whole).await.unwrap().1 == old);
}

pub async fn a_dropped_put_leaves_the_old_part(lab: Lab) {
    let upload = Upload::begin(lab.clone(), "dropped").await;
    let (old, new) = (pattern(FULL, 1), pattern(FULL, 2));
    let kept = upload.put(1, &old, None).await.unwrap();
    let part = PartTarget { upload: upload.target(), number: kept.number };
    // A body that reports when half of it was read, and then stalls.
    let (half_read_tx, half_read_rx) = tokio::sync::oneshot::channel();
    let mut half_read_tx = Some(half_read_tx);
    let head = new.slice(..FULL / 2);
    let frames = futures_util::stream::poll_fn(move |_| match half_read_tx.take() {
        Some(tx) => {
            tx.send(()).ok();
            std::task::Poll::Ready(Some(Ok(head.clone())))
        }
        None => std::task::Poll::Pending,
    });
    let body = ratchet::store::Body::new(FULL as u64, frames);
    tokio::select! {
        _ = lab.store.put_part(part, body, None.into()) => panic!("the body never ends"),
        _ = half_read_rx => {}
    }
    assert_eq!(upload.numbers().await, [1]);
    upload.complete(&[kept], FULL).await.unwrap();
    assert!(lab.get("dropped", GetRange::Whole).await.unwrap().1 == old);
}

pub async fn complete_accepts_only_current_parts(lab: Lab) {
    let upload = Upload::begin(lab.clone(), "strict").await;
    let stale = upload.put(1, &pattern(FULL, 1), None).await.unwrap();
    let fresh = upload.put(1, &pattern(FULL, 2), None).await.unwrap();
    let absent = ChosenPart { number: PartNumber::new(2).unwrap(), ..fresh.clone() };
    let kind = upload.complete(&[fresh.clone(), absent], 2 * FULL).await.unwrap_err().kind();
    assert_eq!(kind, Kind::InvalidPart);
    if lab.refuses_stale_etags {
        assert_eq!(upload.complete(&[stale], FULL).await.unwrap_err().kind(), Kind::InvalidPart);
    }
    let small = upload.put(1, &pattern(99, 3), None).await.unwrap();
    let last = upload.put(2, &pattern(99, 4), None).await.unwrap();
    if lab.refuses_small_parts {
        assert_eq!(upload.complete(&[small, last], 198).await.unwrap_err().kind(), Kind::TooSmall);
    }
}

pub async fn an_aborted_upload_accepts_nothing(lab: Lab) {
    let upload = Upload::begin(lab.clone(), "ended").await;
    upload.put(1, &pattern(99, 1), None).await.unwrap();
    lab.store.abort(upload.target()).await.unwrap();
    lab.store.abort(upload.target()).await.unwrap();
    let late = upload.put(1, &pattern(99, 1), None).await;
    assert_eq!(late.unwrap_err().kind(), Kind::NoSuchUpload);
    if lab.forgets_aborted {
        let listed = lab.store.list_parts(upload.target(), None).await;
        assert_eq!(listed.unwrap_err().kind(), Kind::NoSuchUpload);
    }
    assert_eq!(lab.get("ended", GetRange::Whole).await.unwrap_err().kind(), Kind::NotFound);
    let unknown = Upload { id: "0123456789abcdef".into(), ..upload };
    assert_eq!(unknown.put(1, &pattern(9, 1), None).await.unwrap_err().kind(), Kind::NoSuchUpload);
}

pub async fn an_empty_part_becomes_an_empty_object(lab: Lab) {
    let upload = Upload::begin(lab.clone(), "nothing").await;
    let part = upload.put(1, &Bytes::new(), Some(Sha256::of(b""))).await.unwrap();
    upload.complete(&[part], 0).await.unwrap();
    let (head, bytes) = lab.get("nothing", GetRange::Whole).await.unwrap();
    assert_eq!((head.size_bytes, bytes.len()), (0, 0));
    assert_eq!(head.attributes.user.get("ratchet-upload").map(String::as_str), Some("tag-7"));
}

super::on_every_store!(
    uploads: parts_in_any_order_become_the_object,
    a_part_is_replaced_completely_or_not_at_all,
    a_dropped_put_leaves_the_old_part,
    complete_accepts_only_current_parts,
    an_aborted_upload_accepts_nothing,
    an_empty_part_becomes_an_empty_object,
);
