//! One suite for every store: what the trait promises, tried on memory, on a directory and on a
//! real S3 server.
//!
//! Each case gets a bucket of its own, so that all run in parallel on one server. What a server
//! cannot do is declared in `Lab`, with the source in BACKENDS.md, and not silently passed over.

mod objects;
mod races;
pub mod stores;
mod uploads;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use ratchet::clock::Clock;
use ratchet::store::{
    Body, BodyError, Bucket, Error, GetOptions, GetRange, Head, Key, PutMode, PutOptions, Store,
    Written,
};
use ratchet::upload::{Settings, Uploads};

/// A store under test, and what is known of it.
#[derive(Clone)]
pub struct Lab {
    pub store: Arc<dyn Store>,
    pub bucket: Bucket,
    /// Complete refuses a part's tag that was overwritten since (SeaweedFS takes it, with the old
    /// bytes).
    pub refuses_stale_tags: bool,
    /// Complete refuses small parts in the middle (SeaweedFS takes them).
    pub refuses_small_parts: bool,
    /// A key can be a prefix of others and still be paged over (SeaweedFS skips what is below it).
    pub lists_keys_below_keys: bool,
    /// Listing the parts of an aborted upload is an error (others list none).
    pub forgets_aborted: bool,
    /// Keeps the directories or servers alive that the store needs.
    pub _keep: Arc<dyn std::any::Any + Send + Sync>,
}

impl Lab {
    /// A gateway on the store, one of any number.
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

/// Bytes that no two positions near each other share.
pub fn pattern(len: usize, salt: u8) -> Bytes {
    Bytes::from((0..len).map(|at| (at % 251) as u8 ^ (at >> 10) as u8 ^ salt).collect::<Vec<u8>>())
}

/// A body in frames of 64 KiB that ends after `sent` bytes, whatever it promised, in an error if
/// `torn`.
pub fn broken(bytes: &Bytes, sent: usize, torn: bool) -> Body {
    let mut frames: Vec<Result<Bytes, BodyError>> = bytes
        .slice(..sent)
        .chunks(64 << 10)
        .map(|frame| Ok(Bytes::copy_from_slice(frame)))
        .collect();
    if torn {
        frames.push(Err("the connection broke".into()));
    }
    Body::new(bytes.len() as u64, stream::iter(frames))
}

/// Makes one test for each case on each store.
macro_rules! on_every_store {
    ($room:ident: $($case:ident),* $(,)?) => {
        mod memory { $( $crate::conformance::case!($room, $case, memory); )* }
        mod dir { $( $crate::conformance::case!($room, $case, dir); )* }
        mod s3 { $( $crate::conformance::case!($room, $case, s3); )* }
    };
}

macro_rules! case {
    ($room:ident, $case:ident, $store:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            if let Some(lab) = $crate::conformance::stores::$store().await {
                $crate::conformance::$room::$case(lab).await;
            }
        }
    };
}

pub(crate) use {case, on_every_store};
