//! The stores that tests run on: memory, a directory, and the S3 server of `RATCHET_TEST_S3`.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use ratchet::clock::Clock;
use ratchet::content::Content;
use ratchet::names::{Bucket, Key};
use ratchet::store::{
    Body, BodyError, Error, GetOptions, GetRange, Head, PutMode, PutOptions, Store, Written,
    aws::{Addressing, Aws, Settings as AwsSettings},
    dir::Dir,
    memory::Memory,
};
use ratchet::upload::{Settings, Uploads};

/// A store under test with a bucket, and what is known about the store.
#[derive(Clone)]
pub struct Lab {
    pub store: Arc<dyn Store>,
    pub bucket: Bucket,
    /// Complete refuses the ETag of a part that was overwritten later (SeaweedFS accepts it, with
    /// the old bytes).
    pub refuses_stale_etags: bool,
    /// Complete refuses small parts in the middle (SeaweedFS accepts them).
    pub refuses_small_parts: bool,
    /// Conditions of Complete are decided together with the object (SeaweedFS lets several win).
    pub decides_completes: bool,
    /// Listing the parts of an aborted upload is an error (other servers return an empty list).
    pub forgets_aborted: bool,
    /// Any range can be copied into a part (a blob is copied whole or not at all).
    pub copies_ranges: bool,
    /// Keeps the directory of the store.
    pub _keep: Arc<dyn std::any::Any + Send + Sync>,
}

impl Lab {
    /// Another gateway on the store.
    pub async fn gateway(&self) -> Uploads {
        let uploads = Uploads::new(Arc::clone(&self.store), Clock::system(), Settings::default());
        uploads.prepare().await.unwrap();
        uploads
    }

    pub async fn put(&self, key: &str, text: &str, mode: PutMode) -> Result<Written, Error> {
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store
            .put(
                &self.bucket,
                &key.into(),
                Body::from(Bytes::copy_from_slice(text.as_bytes())),
                options,
            )
            .await
    }

    pub async fn get(&self, key: &str, read: GetRange) -> Result<(Head, Bytes), Error> {
        let (head, body) =
            self.store.get(&self.bucket, &key.into(), read, GetOptions::default()).await?;
        Ok((head, body.collect(64 << 20).await?))
    }

    pub async fn text(&self, key: &str) -> String {
        String::from_utf8(self.get(key, GetRange::Whole).await.unwrap().1.to_vec()).unwrap()
    }
}

pub fn key(text: &str) -> Key {
    text.into()
}

/// Bytes that differ at neighbouring positions.
pub fn pattern(len: usize, salt: u8) -> Bytes {
    Bytes::from((0..len).map(|at| (at % 251) as u8 ^ (at >> 10) as u8 ^ salt).collect::<Vec<u8>>())
}

/// A body that declares all of `bytes` and ends after `sent` bytes, with an error if
/// `ends_in_error`. Its
/// frames have 64 KiB.
pub fn truncated_body(bytes: &Bytes, sent: usize, ends_in_error: bool) -> Body {
    let mut frames: Vec<Result<Bytes, BodyError>> = bytes
        .slice(..sent)
        .chunks(64 << 10)
        .map(|frame| Ok(Bytes::copy_from_slice(frame)))
        .collect();
    if ends_in_error {
        frames.push(Err("the connection broke".into()));
    }
    Body::new(bytes.len() as u64, stream::iter(frames))
}

async fn lab(store: Arc<dyn Store>, keep: Arc<dyn std::any::Any + Send + Sync>) -> Lab {
    let bucket = Bucket::from(format!("conformance-{}", Clock::system().random_id()));
    store.create_bucket(&bucket).await.unwrap();
    Lab {
        store,
        bucket,
        refuses_stale_etags: true,
        refuses_small_parts: true,
        decides_completes: true,
        forgets_aborted: true,
        copies_ranges: true,
        _keep: keep,
    }
}

pub async fn memory() -> Option<Lab> {
    Some(lab(Arc::new(Memory::new(Clock::system())), Arc::new(())).await)
}

pub async fn dir() -> Option<Lab> {
    let home = tempfile::tempdir().unwrap();
    let store = Dir::open(home.path(), Clock::system()).unwrap();
    Some(lab(Arc::new(store), Arc::new(home)).await)
}

/// The server of `RATCHET_TEST_S3`. Rules that SeaweedFS breaks are not checked on any server
/// (docs/backends.md#seaweedfs-in-the-conformance-suite).
pub async fn s3() -> Option<Lab> {
    let Ok(endpoint) = std::env::var("RATCHET_TEST_S3") else {
        println!(
            "SKIP s3: RATCHET_TEST_S3 names no server; `scripts/s3-server.sh start` starts one"
        );
        return None;
    };
    let settings =
        AwsSettings { endpoint: Some(endpoint), region: None, addressing: Addressing::Path };
    let store = Aws::connect(&settings, Clock::system()).await.unwrap();
    let lab = lab(Arc::new(store), Arc::new(())).await;
    Some(Lab {
        refuses_stale_etags: false,
        refuses_small_parts: false,
        decides_completes: false,
        forgets_aborted: false,
        ..lab
    })
}

/// A store in memory, with all uploads in blobs.
pub async fn content() -> Option<Lab> {
    in_blobs(memory().await?).await
}

/// As `s3`, with all uploads in blobs.
pub async fn content_on_s3() -> Option<Lab> {
    in_blobs(s3().await?).await
}

async fn in_blobs(lab: Lab) -> Option<Lab> {
    let state = Bucket::from(format!("blobs-{}", Clock::system().random_id()));
    lab.store.create_bucket(&state).await.unwrap();
    let content = Content::new(lab.store, state, Clock::system()).for_every_upload("home".into());
    Some(Lab {
        store: Arc::new(content),
        // What an upload is, and when its object is there, is not left to the server. Each ETag of
        // a part stands for the bytes that had it, until the upload ends.
        refuses_stale_etags: false,
        refuses_small_parts: true,
        decides_completes: true,
        forgets_aborted: true,
        copies_ranges: false,
        ..lab
    })
}
