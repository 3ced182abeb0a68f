//! The table of buckets.
//!
//! Guarantees: a bucket with objects is not removed; with a bucket go its unfinished uploads.

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition};

use super::super::super::{Bucket, Error, Kind, Result, UploadId};
use super::rows::{UploadRow, from_json};
use super::{Tables, index_error, object_key};

/// Name → time of creation, milliseconds since 1970.
pub(in super::super) const BUCKETS: TableDefinition<&str, u64> = TableDefinition::new("buckets");

impl Tables<'_> {
    /// **Errors**: `BucketExists`.
    pub fn create_bucket(&mut self, bucket: &Bucket, now_ms: u64) -> Result<()> {
        if self.buckets.get(bucket.as_str()).map_err(index_error)?.is_some() {
            return Err(Error::new(Kind::BucketExists, format!("bucket {bucket} exists")));
        }
        self.buckets.insert(bucket.as_str(), now_ms)?;
        Ok(())
    }

    /// **Errors**: `NoSuchBucket`, `BucketNotEmpty`.
    pub fn delete_bucket(&mut self, bucket: &Bucket) -> Result<()> {
        self.require_bucket(bucket)?;
        let root = object_key(bucket, "");
        let first = self
            .objects
            .range(root.as_str()..)
            .map_err(index_error)?
            .next()
            .transpose()
            .map_err(index_error)?;
        if first.is_some_and(|(key, _)| key.value().starts_with(&root)) {
            return Err(Error::new(Kind::BucketNotEmpty, format!("bucket {bucket} is not empty")));
        }
        for upload in self.uploads_in(bucket)? {
            self.remove_upload(&upload, |_| false)?;
        }
        self.buckets.remove(bucket.as_str())?;
        Ok(())
    }

    fn uploads_in(&self, bucket: &Bucket) -> Result<Vec<UploadId>> {
        let count = usize::try_from(self.uploads.len().map_err(index_error)?).unwrap_or(0);
        let mut uploads = Vec::with_capacity(count.min(1024));
        for row in self.uploads.iter().map_err(index_error)? {
            let (id, row) = row.map_err(index_error)?;
            let row: UploadRow = from_json(row.value())?;
            if row.bucket == bucket.as_str() {
                uploads.push(UploadId(id.value().to_owned()));
            }
        }
        Ok(uploads)
    }

    /// **Errors**: `NoSuchBucket`.
    pub(super) fn require_bucket(&self, bucket: &Bucket) -> Result<()> {
        if self.buckets.get(bucket.as_str()).map_err(index_error)?.is_some() {
            Ok(())
        } else {
            Err(Error::new(Kind::NoSuchBucket, format!("no bucket {bucket}")))
        }
    }
}
