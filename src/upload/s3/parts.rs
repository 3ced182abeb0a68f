//! S3 multipart uploads as sessions: create, and their parts.
//!
//! Guarantees: a part is known only if its declared SHA-256 and length equal those of recorded
//! bytes that the store holds; Complete takes exactly the parts that its client lists, and only as
//! they are recorded. A session of the chunk API accepts parts too, if each of its chunks is a part
//! of its own. Source: docs/architecture.md#complete-takes-the-listed-parts,
//! docs/architecture.md#chunk-size-of-an-s3-session,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;

use super::super::PutPermit;
use super::super::create::upload_not_created;
use super::super::error::{Error, Result};
use super::super::known::Wanted;
use super::super::layout::Layout;
use super::super::list::ListQuery;
use super::super::manifest::{Destination, Policy, Record, Root, S3Terms, Status};
use super::super::object_checksum::ChecksumKind;
use super::super::placement::ObjectLayout;
use super::super::plan::{self, ChunkIndex, Plan, Shape};
use super::super::session::Session;
use super::super::session_cache::SessionName;
use super::super::uploads::{TAG, Uploads};
use super::alias::Standing;
use super::entries::{PartClaim, PartEntry};
use crate::digest::Algorithm;
use crate::names::{AccountName, BackupId, Bucket, Key};
use crate::records::{Stamp, SwapOutcome};
use crate::store::{Attributes, PartNumber, Tags};

/// How long the first parts of an upload wait until the known parts are loaded: a client that waits
/// for `100 Continue` soon sends its body all the same.
const KNOWN_LOAD_LIMIT: Duration = Duration::from_millis(400);

/// The parameters of a `CreateMultipartUpload`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewUpload {
    pub bucket: Bucket,
    pub key: Key,
    pub content_type: Option<String>,
    pub headers: BTreeMap<String, String>,
    pub metadata: BTreeMap<String, String>,
    pub tags: Tags,
    pub checksum: Option<(Algorithm, ChecksumKind)>,
}

impl NewUpload {
    pub(in crate::upload) fn terms(&self) -> S3Terms {
        S3Terms {
            checksum: self.checksum,
            headers: self.headers.clone(),
            tags: self.tags.clone(),
            ..S3Terms::default()
        }
    }
}

/// Whether the body of a part must be sent.
#[derive(Debug)]
pub enum PartAdmission {
    Known(PartEntry),
    Wanted(PutPermit),
}

impl Uploads {
    /// Creates an upload. Its first parts decide whether it takes over an abandoned one of the same
    /// target. **Errors**: `NoSuchBucket`, `QuotaExceeded`.
    pub async fn create_upload(&self, account: &AccountName, new: NewUpload) -> Result<Session> {
        let _reservation = self.reserve(account).await?;
        let documents = self.documents();
        let upload_tag = documents.clock.random_id();
        let mut attributes = Attributes {
            content_type: new.content_type.clone(),
            headers: new.headers.clone(),
            user: new.metadata.clone(),
            tags: new.tags.clone(),
        };
        attributes.user.insert(TAG.to_owned(), upload_tag.clone());
        let (bucket, key) = (new.bucket.clone(), new.key.clone());
        let wanted = self.shared.settings.content_targets.layout_of(&bucket, &key);
        let created = self.begin_store_upload(account, (&bucket, &key), &attributes, wanted).await;
        let (store_upload, kept) =
            created.map_err(|error| upload_not_created(&new.bucket, error))?;
        // After the store upload: an upload that was begun before this one is seen.
        let predecessors = self.possible_predecessors(account, &new).await?;
        let terms = S3Terms { predecessors, ..new.terms() };
        let destination = Destination::Parts(store_upload);
        self.write_upload(account, &new, terms, (destination, upload_tag, kept)).await
    }

    /// Writes the documents of a new S3 session: the entry of the index first, the root last.
    pub(in crate::upload) async fn write_upload(
        &self,
        account: &AccountName,
        new: &NewUpload,
        terms: S3Terms,
        (destination, upload_tag, kept): (Destination, String, ObjectLayout),
    ) -> Result<Session> {
        let documents = self.documents();
        let id = BackupId::from(documents.clock.random_id());
        let layout = Layout::new(account, &id);
        let root = Root {
            stamp: Stamp::default().next(&documents.clock.random_id()),
            backup_id: id.clone(),
            account: account.clone(),
            bucket: new.bucket.clone(),
            key: new.key.clone(),
            file_id: String::new(),
            plan: Plan::of_parts(documents.store.limits()),
            policy: Policy::LastWins,
            digest: None,
            metadata: new.metadata.clone(),
            content_type: new.content_type.clone(),
            layout: kept,
            s3: Some(terms),
            destination,
            upload_tag,
            created_at: documents.clock.unix_seconds(),
            status: Status::InProgress,
        };
        documents.put_marker(&root.index_entry()).await?;
        match documents.create(&layout.root(), root).await? {
            SwapOutcome::Won(root) => {
                self.shared.quota.session_opened(account);
                Ok(self.cache(SessionName { account: account.clone(), id }, layout, root))
            }
            // The id is random, so no other create uses it.
            SwapOutcome::Lost(_) => Err(Error::NoSuchBackup(id)),
        }
    }

    /// The completed session whose object has this upload tag. None where it belongs to another
    /// account, or no upload made the object.
    pub async fn completed_with_tag(
        &self,
        account: &AccountName,
        bucket: &Bucket,
        key: &Key,
        tag: &str,
    ) -> Result<Option<Session>> {
        let query = ListQuery {
            bucket: Some(bucket.clone()),
            key: Some(key.clone()),
            status: Some("complete".to_owned()),
            limit: 1000,
            ..ListQuery::default()
        };
        let page = self.list(account, &query).await?;
        let Some(root) = page.roots.iter().find(|root| root.upload_tag == tag) else {
            return Ok(None);
        };
        let found = self.find(account, &root.backup_id).await?;
        if let Some(session) = &found {
            session.complete_or_current_root().await?;
        }
        Ok(found)
    }

    /// The session of an upload id at its target. **Errors**: `NoSuchBackup`.
    pub async fn open_upload(
        &self,
        account: &AccountName,
        bucket: &Bucket,
        key: &Key,
        id: &BackupId,
    ) -> Result<Session> {
        let session = self.open(account, id).await?;
        let root = session.root();
        if root.bucket == *bucket && root.key == *key && !root.is_given_up() {
            Ok(session)
        } else {
            Err(Error::NoSuchBackup(id.clone()))
        }
    }
}

impl Session {
    /// Decides whether the body of a part is needed. **Errors**: `NotOpen`, `ChunkSizeMismatch`,
    /// `ChecksumConflict` (a session of the chunk API), `BadRequest`.
    pub async fn admit_part(
        &self,
        number: PartNumber,
        mut claim: PartClaim,
    ) -> Result<PartAdmission> {
        claim.md5 = claim.md5.filter(|_| self.0.shared.settings.resume.by_md5);
        let len_bytes = claim.len_bytes;
        let index = u32::from(number.get()) - 1;
        let root = self.fresh_root().await?;
        let standing = self.standing(&root).await?;
        let rule = root.plan.chunk_len(u64::from(index)).filter(|_| root.plan.group == 1);
        let rule =
            rule.ok_or_else(|| Error::BadRequest(format!("this upload takes no part {number}")))?;
        if !rule.allows(len_bytes) {
            let index = u64::from(index);
            return Err(Error::ChunkSizeMismatch {
                index,
                wanted: rule.to_string(),
                offered: len_bytes,
            });
        }
        match standing {
            Standing::Own => {}
            Standing::Alias(successors) => {
                return self.admit_alias_part(&successors, index, &claim).await;
            }
            Standing::Finished(maker) => {
                return self.admit_finished_part(&maker, index, &claim).await;
            }
        }
        let needed = || {
            let permit = self.permit(index, claim.sha256, len_bytes);
            PartAdmission::Wanted(permit.with_checksum_of_client(claim.algorithm))
        };
        if claim.sha256.is_none() && claim.md5.is_none() {
            return Ok(needed());
        }
        let segment = self.segment(plan::segment_of(index)).await?;
        match segment.chunks.get(&index) {
            Some(record) if claim.is_known(record, &root) => {
                self.require_open_after(plan::segment_of(index)).await?;
                Ok(PartAdmission::Known(PartEntry::new(index, record)))
            }
            Some(record) => match claim.sha256.filter(|sha256| record.digests.sha256 != *sha256) {
                Some(offered) if root.policy == Policy::FirstWins => {
                    let (index, stored) = (u64::from(index), record.digests.sha256);
                    Err(Error::ChecksumConflict { index, stored, offered })
                }
                Some(_) | None => Ok(needed()),
            },
            None => {
                let root = match root.is_undecided() {
                    true => self.look_for_predecessor(index, &claim).await?,
                    false => root,
                };
                if let Some(entry) = self.confirm(&root, index, &claim).await? {
                    return Ok(PartAdmission::Known(entry));
                }
                let copied = self.copy_known_part(&root, index, &claim).await;
                Ok(copied.map_or_else(needed, PartAdmission::Known))
            }
        }
    }

    /// Makes the part of the bytes of a complete object, where that saves its client from sending
    /// them.
    async fn copy_known_part(
        &self,
        root: &Root,
        index: ChunkIndex,
        claim: &PartClaim,
    ) -> Option<PartEntry> {
        let sha256 = claim.sha256.filter(|_| claim.waits)?;
        let permit = self.permit(index, Some(sha256), claim.len_bytes);
        let is_summed = &|record: &Record| claim.is_summed(record, root);
        let (len_bytes, reads_bucket) = (claim.len_bytes, claim.reads_bucket);
        let load_limit = KNOWN_LOAD_LIMIT;
        let wanted = Wanted { index, sha256, len_bytes, reads_bucket, is_summed, load_limit };
        let record = self.copy_known(permit, &wanted).await?;
        Some(PartEntry::new(index, &record))
    }

    /// Records a part of a predecessor for this session, if it has the declared bytes.
    async fn confirm(
        &self,
        root: &Root,
        index: ChunkIndex,
        claim: &PartClaim,
    ) -> Result<Option<PartEntry>> {
        let Some(uploads) = Uploads::of(self) else { return Ok(None) };
        for id in root.s3.iter().flat_map(|s3| &s3.candidates) {
            let Some(session) = uploads.find(&root.account, id).await? else { continue };
            let segment = session.segment(plan::segment_of(index)).await?;
            // The newest record of a part number says what the store holds: it overwrote the part
            // of an older one.
            let Some(record) = segment.chunks.get(&index) else { continue };
            if record.etags.is_empty() || !claim.is_known(record, root) {
                return Ok(None);
            }
            return self.acknowledge(index, record).await.map(Some);
        }
        Ok(None)
    }

    /// The recorded parts, ascending.
    pub async fn part_entries(&self) -> Result<Vec<PartEntry>> {
        let root = self.current_root().await?.value;
        if root.plan.group != 1 {
            return Ok(Vec::new());
        }
        let segments = self.all_segments().await?;
        type Numbered = (u32, Arc<super::super::Segment>);
        let of_segment = |mut all: Vec<PartEntry>, (_, segment): Numbered| async move {
            let stored = segment.chunks.iter().filter(|(_, record)| !record.invalidated);
            all.extend(stored.map(|(index, record)| PartEntry::new(*index, record)));
            Ok(all)
        };
        segments.try_fold(Vec::new(), of_segment).await
    }

    /// The session whose records the object was made by.
    async fn maker(&self) -> Self {
        match self.standing(&self.root()).await {
            Ok(Standing::Finished(maker)) => maker,
            Ok(Standing::Own | Standing::Alias(_)) | Err(_) => self.clone(),
        }
    }

    /// The root, which is read again unless it is complete: where another gateway completed the
    /// session a moment ago, the root that is known here can still be an open one that counts as
    /// fresh.
    pub(in crate::upload) async fn complete_or_current_root(&self) -> Result<Arc<Root>> {
        let root = self.root();
        match root.finished() {
            Some(_) => Ok(root),
            None => Ok(self.current_root().await?.value),
        }
    }

    /// The parts that the object was made of; empty where the records do not show them.
    pub async fn completed_parts(&self) -> Result<Vec<PartEntry>> {
        let entries = self.maker().await.part_entries().await?;
        let size: u64 = entries.iter().map(|entry| entry.size_bytes).sum();
        let whole = self.root().finished().is_some_and(|object| object.size_bytes == size);
        Ok(if whole { entries } else { Vec::new() })
    }

    /// Where a part begins in the completed object; None where the records do not show it. The
    /// segments are read for the first part only: the object of a complete session stays as it is.
    pub async fn completed_part_offset(&self, number: u16) -> Result<Option<u64>> {
        let found = |offsets: &[(u16, u64)]| {
            let at = offsets.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            Some(offsets[at].1)
        };
        if let Some(offsets) = self.0.part_offsets.get() {
            return Ok(found(offsets));
        }
        let (mut offsets, mut end) = (Vec::new(), 0);
        for part in self.completed_parts().await? {
            offsets.push((part.number, end));
            end += part.size_bytes;
        }
        // Not kept where there are none: a listing that was out of date may have hidden segments.
        if offsets.is_empty() {
            return Ok(None);
        }
        Ok(found(self.0.part_offsets.get_or_init(|| offsets)))
    }

    /// The record of the part that begins at this byte of the completed object. None where no part
    /// begins there, or the records do not show it.
    pub async fn completed_part_at(&self, first: u64) -> Result<Option<Record>> {
        // Finds out where the parts begin, once for all calls.
        self.completed_part_offset(1).await?;
        let offsets = self.0.part_offsets.get();
        let found = offsets.and_then(|offsets| {
            let at = offsets.binary_search_by_key(&first, |(_, offset)| *offset).ok()?;
            Some(u32::from(offsets[at].0) - 1)
        });
        let Some(index) = found else { return Ok(None) };
        let segment = self.maker().await.segment(plan::segment_of(index)).await?;
        Ok(segment.stored(index).cloned())
    }

    /// The length of every chunk but the last; 0 where an S3 session has no first part yet.
    /// **Unit**: bytes.
    pub async fn chunk_size(&self) -> Result<u64> {
        let plan = self.root().plan;
        if plan.shape == Shape::Chunks {
            return Ok(plan.chunk_size);
        }
        Ok(self.segment(0).await?.stored(0).map_or(0, |record| record.digests.len_bytes))
    }
}
