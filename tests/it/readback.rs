//! A whole-file SHA-256 of chunks that were sent through two gateways. No running hash has seen all
//! of them, so the object has to be read back (docs/architecture.md#read-back-of-sha256). On each
//! real store, with and without versioning.

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::digest::{Expected, Kind, Sha256};
use ratchet::store::{Body, GetRange, PutMode};
use ratchet::upload::{self, Admission, NewBackup, Session};

use crate::support::lab::{self, Lab, pattern};
use crate::support::request::{payload_of, signed_head};
use crate::support::response::try_exchange;

const CHUNK: usize = 5 << 20;
const KEY: &str = "key";

async fn put(session: &Session, index: u64, chunk: Bytes) {
    match session.admit(index, Sha256::of(&chunk), chunk.len() as u64).await.unwrap() {
        Admission::Known => panic!("chunk {index} is new"),
        Admission::Wanted(permit) => permit.store(Body::from(chunk)).await.unwrap(),
    };
}

/// Sends the two chunks of a file through two gateways and finalizes with this digest.
async fn upload_and_finalize(
    lab: &Lab,
    file: &Bytes,
    expected: Sha256,
) -> upload::Result<upload::Finished> {
    let new = NewBackup {
        bucket: lab.bucket.clone(),
        key: KEY.into(),
        chunk_size: CHUNK as u64,
        size: Some(file.len() as u64),
        file_id: Clock::system().random_id(),
        ..NewBackup::default()
    };
    let (_, first) = lab.gateway().await.create(&"home".into(), new.clone()).await.unwrap();
    let (_, second) = lab.gateway().await.create(&"home".into(), new).await.unwrap();
    put(&first, 0, file.slice(..CHUNK)).await;
    put(&second, 1, file.slice(CHUNK..)).await;
    second.finalize(Some(Expected { kind: Kind::Sha256, hex: expected.hex() })).await
}

/// Sends `PutBucketVersioning`, which the trait `Store` does not have.
async fn enable_versioning(lab: &Lab, endpoint: &str) {
    let env = |name: &str| std::env::var(name).unwrap();
    let (id, secret) = (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"));
    let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status>\
                </VersioningConfiguration>";
    let host = endpoint.strip_prefix("http://").unwrap();
    let target = format!("/{}?versioning=", lab.bucket);
    let (payload, len_bytes) = (payload_of(body.as_bytes()), body.len());
    let head = signed_head(host, (&id, &secret), ("PUT", &target), &[], payload, len_bytes);
    let response = try_exchange(host, &head, body.as_bytes()).await.unwrap();
    assert_eq!(response.status, 200, "{response:?}");
}

/// Checks that the right digest creates the object, and a wrong one leaves the older object.
async fn check_read_back(lab: &Lab) {
    let file = pattern(CHUNK + 1000, 1);
    let made = upload_and_finalize(lab, &file, Sha256::of(&file)).await.unwrap();
    assert_eq!(made.size_bytes, file.len() as u64);
    assert!(lab.get(KEY, GetRange::Whole).await.unwrap().1 == file);
    let other = pattern(CHUNK + 1000, 2);
    let error = upload_and_finalize(lab, &other, Sha256::of(&file)).await.unwrap_err();
    assert_eq!(error.kind(), upload::Kind::DigestMismatch, "{error}");
    assert!(
        lab.get(KEY, GetRange::Whole).await.unwrap().1 == file,
        "a failed finalize replaced the older object"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_reads_the_parts_before_it_completes() {
    check_read_back(&lab::dir().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_in_a_bucket_with_versioning_is_read_back() {
    let Some(lab) = lab::s3().await else { return };
    enable_versioning(&lab, &std::env::var("RATCHET_TEST_S3").unwrap()).await;
    check_read_back(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_versioning_the_finalize_is_refused_before_it_replaces_anything() {
    let Some(lab) = lab::s3().await else { return };
    lab.put(KEY, "older", PutMode::Overwrite).await.unwrap();
    let file = pattern(CHUNK + 1000, 3);
    let error = upload_and_finalize(&lab, &file, Sha256::of(&file)).await.unwrap_err();
    assert_eq!(error.kind(), upload::Kind::DigestUnavailable, "{error}");
    assert!(error.to_string().contains("keeps versions"), "{error}");
    assert_eq!(lab.text(KEY).await, "older");
}
