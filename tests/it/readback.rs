//! A whole-file SHA-256 of chunks that came through two gateways: no running hash has seen them
//! all, so the object has to be read back (DESIGN §12.5). On each real store, with and without
//! versions.

use bytes::Bytes;
use ratchet::clock::Clock;
use ratchet::digest::{Expected, Kind, Sha256};
use ratchet::sigv4::{Credentials, Payload, sign};
use ratchet::store::{Body, GetRange, PutMode};
use ratchet::upload::{self, Admission, NewBackup, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::lab::{self, Lab, pattern};

const CHUNK: usize = 5 << 20;
const KEY: &str = "key";

async fn put(session: &Session, index: u64, chunk: Bytes) {
    match session.admit(index, Sha256::of(&chunk), chunk.len() as u64).await.unwrap() {
        Admission::Known => panic!("chunk {index} is new"),
        Admission::Wanted(ticket) => ticket.store(Body::from(chunk)).await.unwrap(),
    };
}

/// Both chunks of a file, each through another gateway; then its finalize with this digest.
async fn finalized(lab: &Lab, file: &Bytes, expected: Sha256) -> upload::Result<upload::Finished> {
    let new = NewBackup {
        bucket: lab.bucket.to_string(),
        key: KEY.to_owned(),
        chunk_size: CHUNK as u64,
        size: Some(file.len() as u64),
        file_id: Clock::system().random_id(),
        ..NewBackup::default()
    };
    let (_, first) = lab.gateway().await.create("home", new.clone()).await.unwrap();
    let (_, second) = lab.gateway().await.create("home", new).await.unwrap();
    put(&first, 0, file.slice(..CHUNK)).await;
    put(&second, 1, file.slice(CHUNK..)).await;
    second.finalize(Some(Expected { kind: Kind::Sha256, hex: expected.hex() })).await
}

/// `PutBucketVersioning`, which is no business of the store trait.
async fn keep_versions(lab: &Lab, endpoint: &str) {
    let env = |name: &str| std::env::var(name).unwrap();
    let credentials =
        Credentials::new(&env("AWS_ACCESS_KEY_ID"), &env("AWS_SECRET_ACCESS_KEY"), None);
    let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status>\
                </VersioningConfiguration>";
    let uri = format!("{endpoint}/{}?versioning=", lab.bucket);
    let (mut head, ()) = http::Request::put(uri).body(()).unwrap().into_parts();
    let payload = Payload::Sha256(Sha256::of(body.as_bytes()).0);
    sign(&mut head, &credentials, "us-east-1", payload, Clock::system().wall()).unwrap();
    let mut text = format!(
        "PUT {} HTTP/1.1\r\ncontent-length: {}\r\nconnection: close\r\n",
        head.uri.path_and_query().unwrap(),
        body.len()
    );
    let host = endpoint.strip_prefix("http://").unwrap();
    if !head.headers.contains_key("host") {
        text.push_str(&format!("host: {host}\r\n"));
    }
    for (name, value) in &head.headers {
        text.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
    socket.write_all(format!("{text}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// The right digest makes the object; a wrong one leaves the older object as it was.
async fn read_back(lab: &Lab) {
    let file = pattern(CHUNK + 1000, 1);
    let made = finalized(lab, &file, Sha256::of(&file)).await.unwrap();
    assert_eq!(made.size_bytes, file.len() as u64);
    assert!(lab.get(KEY, GetRange::Whole).await.unwrap().1 == file);
    let other = pattern(CHUNK + 1000, 2);
    let error = finalized(lab, &other, Sha256::of(&file)).await.unwrap_err();
    assert_eq!(error.kind(), upload::Kind::DigestMismatch, "{error}");
    assert!(
        lab.get(KEY, GetRange::Whole).await.unwrap().1 == file,
        "a failed finalize cost the older object"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_reads_the_parts_before_it_completes() {
    read_back(&lab::dir().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_s3_bucket_with_versions_is_read_back() {
    let Some(lab) = lab::s3().await else { return };
    keep_versions(&lab, &std::env::var("RATCHET_TEST_S3").unwrap()).await;
    read_back(&lab).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_versions_it_is_refused_before_anything_is_replaced() {
    let Some(lab) = lab::s3().await else { return };
    lab.put(KEY, "older", PutMode::Overwrite).await.unwrap();
    let file = pattern(CHUNK + 1000, 3);
    let error = finalized(&lab, &file, Sha256::of(&file)).await.unwrap_err();
    assert_eq!(error.kind(), upload::Kind::BadRequest, "{error}");
    assert!(error.to_string().contains("keeps versions"), "{error}");
    assert_eq!(lab.text(KEY).await, "older");
}
