//! The settings of buckets that the gateway keeps itself, in one document for each bucket that has
//! any.
//!
//! Guarantees: a change is a compare-and-swap, so that none is lost; a bucket that is created has
//! none of the settings of a removed one of its name. In front of an S3 server these are the CORS
//! rules only; the others are for the embedded store. **Layout**:
//! `v1/bucket_settings/<bucket>.json` in the state bucket; no account's name has a `_`.
//! **Errors**: the store's. Source: docs/architecture.md#settings-of-buckets.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::{Bucket, Key};
use crate::records::{self, ChangeOutcome, Document, Snapshot, Stamp, SwapOutcome, frame};
use crate::store::{Error, Kind, Result, Tags};

use super::cors::CorsRule;
use super::{Objects, cors_cache};

/// The most attempts of a change while others create and remove the document.
const MAX_ATTEMPTS: usize = 32;

/// The settings of one bucket; the default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BucketSettings {
    #[serde(flatten)]
    stamp: Stamp,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cors: Vec<CorsRule>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// Whether a client removed the ownership `BucketOwnerEnforced`, with which a bucket begins.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ownership_removed: bool,
    /// Which of the four blocks of public access are on, by S3's names. None: not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_block: Option<BTreeSet<String>>,
}

impl BucketSettings {
    fn is_empty(&self) -> bool {
        *self == Self { stamp: self.stamp.clone(), ..Self::default() }
    }
}

impl Document for BucketSettings {
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn set_stamp(&mut self, stamp: Stamp) {
        self.stamp = stamp;
    }

    fn encode(&self) -> Vec<u8> {
        frame::encode(self)
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        frame::decode(bytes)
    }
}

impl Objects {
    /// The settings of a bucket; the default also for a bucket that does not exist.
    pub async fn bucket_settings(&self, bucket: &Bucket) -> Result<Arc<BucketSettings>> {
        self.require_visible(bucket)?;
        Ok(self.found_settings(bucket).await?.map_or_else(Arc::default, |found| found.value))
    }

    async fn found_settings(&self, bucket: &Bucket) -> Result<Option<Snapshot<BucketSettings>>> {
        self.uploads.documents().read(&document_key(bucket)).await.map_err(of_record)
    }

    /// Changes the settings of a bucket; `change` may be called more than once. **Durability**: on
    /// return.
    pub async fn change_bucket_settings(
        &self,
        bucket: &Bucket,
        change: impl Fn(&mut BucketSettings) + Send + Sync,
    ) -> Result<()> {
        self.require_visible(bucket)?;
        let (documents, key) = (self.uploads.documents(), document_key(bucket));
        let mut known = self.found_settings(bucket).await?;
        for _ in 0..MAX_ATTEMPTS {
            let Some(snapshot) = known else {
                let mut first = BucketSettings::default();
                change(&mut first);
                if first.is_empty() {
                    return Ok(());
                }
                first.stamp = Stamp::default().next(&documents.clock.random_id());
                match documents.create(&key, first).await.map_err(of_record)? {
                    SwapOutcome::Won(_) => {
                        self.cors.forget(bucket);
                        return Ok(());
                    }
                    SwapOutcome::Lost(now) => known = now,
                }
                continue;
            };
            let changes = |settings: &mut BucketSettings| {
                let before = settings.clone();
                change(settings);
                *settings != before
            };
            let changed = documents.change(&key, snapshot, changes, |_, _| ()).await;
            match changed.map_err(of_record)? {
                ChangeOutcome::Changed { .. } | ChangeOutcome::Refused(_) => {
                    self.cors.forget(bucket);
                    return Ok(());
                }
                ChangeOutcome::Absent => known = None,
            }
        }
        let what = format!("the settings of the bucket {bucket} are created and removed at once");
        Err(Error::new(Kind::Unavailable, what))
    }

    /// `with_lock`: objects in it can be locked. A crash may leave the bucket without its tags; the
    /// client has no answer then. **Errors**: `BucketExists`; `Denied` for the state bucket;
    /// `Unsupported` where the store has no locks, and for tags in front of an S3 server, whose
    /// buckets have tags of its own.
    pub async fn create_bucket(&self, bucket: &Bucket, with_lock: bool, tags: Tags) -> Result<()> {
        self.require_visible(bucket)
            .map_err(|_| Error::new(Kind::Denied, format!("{bucket} is the gateway's own")))?;
        if !tags.is_empty() && self.store.is_server() {
            let what = "Tags of a new bucket is not implemented in front of an S3 server";
            return Err(Error::new(Kind::Unsupported, what));
        }
        if with_lock {
            self.require_locks()?;
        }
        // A crash between the removal of a bucket and that of its settings leaves them behind.
        let stale = self.found_settings(bucket).await?;
        if with_lock {
            self.store.create_bucket_with_lock(bucket).await?;
        } else {
            self.store.create_bucket(bucket).await?;
        }
        if let Some(stale) = stale.filter(|stale| !stale.value.is_empty()) {
            let documents = self.uploads.documents();
            let stamp = stale.value.stamp.next(&documents.clock.random_id());
            let empty = BucketSettings { stamp, ..BucketSettings::default() };
            // Lost: somebody has set the new bucket's own settings already.
            documents.swap(&document_key(bucket), Some(&stale), empty).await.map_err(of_record)?;
        }
        if !tags.is_empty() {
            self.change_bucket_settings(bucket, |settings| settings.tags.clone_from(&tags)).await?;
        }
        self.cors.forget(bucket);
        Ok(())
    }

    /// **Errors**: `BucketNotEmpty`, `NoSuchBucket`.
    pub async fn delete_bucket(&self, bucket: &Bucket) -> Result<()> {
        self.require_visible(bucket)?;
        let deleted = self.store.delete_bucket(bucket).await;
        let is_gone = match &deleted {
            Ok(()) => true,
            // Perhaps an earlier attempt whose response was lost.
            Err(error) => error.kind() == Kind::NoSuchBucket,
        };
        if is_gone {
            let key = document_key(bucket);
            self.uploads.documents().delete(&key).await.map_err(of_record)?;
            self.cors.forget(bucket);
        }
        deleted
    }

    /// The CORS rules of a bucket, not older than a few seconds; none for a bucket that does not
    /// exist.
    pub async fn cors_rules(&self, bucket: &Bucket) -> Result<cors_cache::Rules> {
        if self.require_visible(bucket).is_err() {
            return Ok(cors_cache::Rules::default());
        }
        let clock = &self.uploads.documents().clock;
        if let Some(known) = self.cors.get(bucket, clock.monotonic()) {
            return Ok(known);
        }
        let _turn = self.cors.turn().await;
        if let Some(known) = self.cors.get(bucket, clock.monotonic()) {
            return Ok(known);
        }
        let asked_at = clock.monotonic();
        let generation = self.cors.generation();
        let rules: cors_cache::Rules =
            self.bucket_settings(bucket).await?.cors.iter().cloned().collect();
        self.cors.insert(bucket, asked_at, generation, &rules);
        Ok(rules)
    }

    /// Whether there is a bucket whose `cors_rules` were asked for, not older than these.
    pub async fn has_bucket_without_rules(&self, bucket: &Bucket) -> Result<bool> {
        let clock = &self.uploads.documents().clock;
        if let Some(known) = self.cors.exists(bucket, clock.monotonic()) {
            return Ok(known);
        }
        let _turn = self.cors.turn().await;
        if let Some(known) = self.cors.exists(bucket, clock.monotonic()) {
            return Ok(known);
        }
        let generation = self.cors.generation();
        let exists = match self.find_bucket(bucket).await {
            Ok(()) => true,
            Err(error) if error.kind() == Kind::NoSuchBucket => false,
            Err(error) => return Err(error),
        };
        self.cors.note_existence(bucket, generation, exists);
        Ok(exists)
    }
}

fn document_key(bucket: &Bucket) -> Key {
    Key::from(format!("v1/bucket_settings/{bucket}.json"))
}

/// The store's error. What is wrong with the state bucket or with a document is never about the
/// client's bucket.
fn of_record(error: records::Error) -> Error {
    let kind = match error.kind() {
        records::Kind::Denied => Kind::Denied,
        records::Kind::StoreFull => Kind::Full,
        records::Kind::SlowDown => Kind::SlowDown,
        records::Kind::NoSuchBucket | records::Kind::Corrupt | records::Kind::Unavailable => {
            Kind::Unavailable
        }
    };
    Error::new(kind, "the settings of the bucket cannot be read or written").because(error)
}
