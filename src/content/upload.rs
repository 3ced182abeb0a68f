//! Multipart uploads whose parts are blobs: create, list, abort.
//!
//! Guarantees: an upload exists as long as its marker. The state bucket's listing of it is the list
//! of its parts; an entry of a part that another upload sent names the blob, its length and its
//! ETag.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::Content;
use super::names::{
    Attempt, Blob, BlobsEntry, ContentUpload, Id, PartName, after_part, blobs_entry,
};
use super::pointer::METADATA_BYTES;
use crate::names::{AccountName, Bucket, Key};
use crate::store::{
    Attributes, ETag, Error, Kind, ListOptions, Listed, Next, PartNumber, PartPage, Result,
    StoredPart, Tags, UploadId,
};

/// What S3 allows for the metadata of an object.
const MAX_METADATA_BYTES: usize = 2048;

/// Entries that are removed at once.
const REMOVALS_AT_ONCE: usize = 16;

/// What the marker of an upload contains: what its object will be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Marker {
    pub bucket: Bucket,
    pub key: Key,
    content_type: Option<String>,
    headers: BTreeMap<String, String>,
    user: BTreeMap<String, String>,
    tags: Tags,
}

impl Marker {
    pub fn attributes(&self) -> Attributes {
        Attributes {
            content_type: self.content_type.clone(),
            headers: self.headers.clone(),
            user: self.user.clone(),
            tags: self.tags.clone(),
        }
    }
}

/// A part that an upload has.
#[derive(Clone, Debug)]
pub(super) struct UploadedPart {
    pub number: PartNumber,
    pub blob: Blob,
    pub size_bytes: u64,
    pub etag: ETag,
}

/// What the listing of an upload shows.
#[derive(Debug, Default)]
pub(super) struct UploadListing {
    /// By number; a number can occur several times.
    pub parts: Vec<UploadedPart>,
    /// The attempts to complete it.
    pub attempts: Vec<Attempt>,
    keys: Vec<Key>,
}

impl Content {
    /// None if an object of these attributes cannot have this layout: an S3 server would apply
    /// headers such as those for encryption to the pointer only. **Errors**: `NoSuchBucket`.
    pub(super) async fn begin(
        &self,
        account: &AccountName,
        (bucket, key): (&Bucket, &Key),
        attributes: &Attributes,
    ) -> Result<Option<ContentUpload>> {
        let metadata: usize = attributes.user.iter().map(|(k, v)| k.len() + v.len()).sum();
        let fits = metadata + METADATA_BYTES <= MAX_METADATA_BYTES;
        if !fits || attributes.server_side().next().is_some() {
            return Ok(None);
        }
        self.store.list(bucket, &ListOptions { limit: 1, ..ListOptions::default() }).await?;
        let upload = ContentUpload { account: account.clone(), id: self.random() };
        let Attributes { content_type, headers, user, tags } = attributes.clone();
        let (bucket, key) = (bucket.clone(), key.clone());
        let marker = Marker { bucket, key, content_type, headers, user, tags };
        self.put_document(upload.marker(), &marker).await?;
        Ok(Some(upload))
    }

    /// **Errors**: `NoSuchUpload`.
    pub(super) async fn marker(&self, upload: &ContentUpload) -> Result<Marker> {
        let marker = self.document(&upload.marker()).await?;
        marker.ok_or_else(|| no_such_upload(&upload.upload_id()))
    }

    /// **Errors**: `NoSuchUpload`.
    pub(super) async fn require_open(&self, upload: &ContentUpload) -> Result<()> {
        let open = self.exists(&upload.marker()).await?;
        open.then_some(()).ok_or_else(|| no_such_upload(&upload.upload_id()))
    }

    pub(super) async fn upload_listing(&self, upload: &ContentUpload) -> Result<UploadListing> {
        let mut listing = UploadListing::default();
        for entry in self.all_below(&upload.prefix()).await? {
            match blobs_entry(&upload.account, &entry.key) {
                Some((id, BlobsEntry::Part(name))) => listing.parts.push(part(id, name, &entry)),
                Some((_, BlobsEntry::Attempt(attempt))) => listing.attempts.push(attempt),
                Some((_, BlobsEntry::Source(_))) => {}
                Some((_, BlobsEntry::Marker)) | None => continue,
            }
            listing.keys.push(entry.key);
        }
        Ok(listing)
    }

    /// **Errors**: `NoSuchUpload`.
    pub(super) async fn part_page(
        &self,
        upload: &ContentUpload,
        after: Option<PartNumber>,
    ) -> Result<PartPage> {
        let start = after.map(|number| Next { after: after_part(upload, number), token: None });
        let is_first = start.is_none();
        let (mut found, mut next) = self.page(&upload.prefix(), start).await?;
        if is_first && found.first().is_none_or(|entry| entry.key != upload.marker()) {
            return Err(no_such_upload(&upload.upload_id()));
        }
        loop {
            let entries =
                found.iter().filter_map(|entry| match blobs_entry(&upload.account, &entry.key)? {
                    (id, BlobsEntry::Part(name)) => Some(part(id, name, entry)),
                    (_, BlobsEntry::Marker | BlobsEntry::Attempt(_) | BlobsEntry::Source(_)) => {
                        None
                    }
                });
            let mut parts: Vec<UploadedPart> = entries.collect();
            let Some(following) = next.take() else {
                return Ok(PartPage { parts: parts.into_iter().map(stored).collect(), next: None });
            };
            // The last number may have more entries on the next page: that page begins with it.
            if let Some(last) = parts.last().map(|part| part.number)
                && let Some(complete) = parts.iter().rev().find(|part| part.number != last)
            {
                let complete = complete.number;
                parts.retain(|part| part.number != last);
                let parts = parts.into_iter().map(stored).collect();
                return Ok(PartPage { parts, next: Some(complete) });
            }
            let (more, following) = self.page(&upload.prefix(), Some(following)).await?;
            found.extend(more);
            next = following;
        }
    }

    /// Removes an upload and what was sent to it; success if there is none. Where it may have been
    /// completed, its blobs are left to the sweep.
    pub(super) async fn abandon(&self, upload: &ContentUpload) -> Result<()> {
        if !self.exists(&upload.marker()).await? {
            return Ok(());
        }
        let listing = self.upload_listing(upload).await?;
        if listing.attempts.is_empty() {
            self.remove_all(&listing.keys).await?;
        }
        self.end(upload).await
    }

    /// Ends an upload that is completed or aborted. What else is left of it is the sweep's: an
    /// entry for each copied part would cost a call each.
    pub(super) async fn end(&self, upload: &ContentUpload) -> Result<()> {
        self.remove(&upload.marker()).await
    }

    pub(super) async fn remove_all(&self, keys: &[Key]) -> Result<()> {
        let removals: Vec<_> = keys.iter().map(|key| self.remove(key)).collect();
        stream::iter(removals).buffer_unordered(REMOVALS_AT_ONCE).try_collect::<()>().await
    }

    pub(super) fn random(&self) -> Id {
        Id::parse(&self.clock.random_id()).expect("a random id has 32 hex digits")
    }
}

fn part(
    upload: Id,
    PartName { number, nonce, refers_to }: PartName,
    entry: &Listed,
) -> UploadedPart {
    match refers_to {
        None => {
            let blob = Blob { upload, number, nonce };
            UploadedPart { number, blob, size_bytes: entry.size_bytes, etag: entry.etag.clone() }
        }
        Some(to) => {
            UploadedPart { number, blob: to.blob, size_bytes: to.size_bytes, etag: to.etag }
        }
    }
}

fn stored(part: UploadedPart) -> StoredPart {
    let UploadedPart { number, size_bytes, etag, .. } = part;
    StoredPart { number, etag, size_bytes, sha256: None }
}

pub(super) fn no_such_upload(upload: &UploadId) -> Error {
    Error::new(Kind::NoSuchUpload, format!("no upload {upload}"))
}
