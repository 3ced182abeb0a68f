//! A store for tests: in a temporary directory, with one bucket.

use super::super::{Bucket, Limits, Store};
use super::Dir;
use crate::clock::Clock;

/// S3's limits, but parts of any size.
pub const SMALL_PARTS: Limits = Limits { min_part_bytes: 1, ..Limits::S3 };

/// The directory, the store and the bucket.
pub async fn with_bucket(limits: Limits) -> (tempfile::TempDir, Dir, Bucket) {
    let directory = tempfile::tempdir().unwrap();
    let store = Dir::with_limits(directory.path(), limits, Clock::system()).unwrap();
    let bucket = Bucket::from("bucket");
    store.create_bucket(&bucket).await.unwrap();
    (directory, store, bucket)
}
