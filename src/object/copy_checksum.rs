//! What is known of the bytes of a copy's source without reading them, and what must be read.
//!
//! Guarantees: a checksum is that of exactly the bytes that are copied: it is stored with the
//! source, or in the records of the upload that made it, found by the tag in its metadata; else it
//! is computed. Source: docs/architecture.md#copies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;

use crate::digest::{Algorithm, Checksum, ChecksumHasher, Sha256, combined};
use crate::names::{AccountName, BackupId};
use crate::store::{Body, ByteSpan, Error, GetRange};
use crate::upload::{self, ChecksumKind, Session};

use super::copy::{CopyFrom, range_of, unread};
use super::{CopyError, ObjectName, Objects, Stored};

/// How many uploads are remembered by the tag of their object.
const MAX_REMEMBERED: usize = 16;

/// The ids of completed uploads by account and tag, the latest last: a tag is of one upload only.
#[derive(Clone, Debug, Default)]
pub(super) struct UploadsByTag(Arc<Mutex<VecDeque<(AccountName, String, BackupId)>>>);

impl UploadsByTag {
    fn find(&self, account: &AccountName, tag: &str) -> Option<BackupId> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(owner, known, _)| owner == account && known == tag);
        found.map(|(_, _, id)| id.clone())
    }

    fn remember(&self, account: &AccountName, tag: &str, id: &BackupId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_back((account.clone(), tag.to_owned(), id.clone()));
        if known.len() > MAX_REMEMBERED {
            known.pop_front();
        }
    }
}

/// What is known of bytes that are to be copied.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownBytes {
    pub sha256: Option<Sha256>,
    /// In the algorithm of the upload.
    pub checksum: Option<Checksum>,
}

impl Objects {
    /// The checksum of the whole source: what is stored with it, or combined from those of its
    /// parts; its bytes are read only for an algorithm in which neither is known. None where none
    /// is asked for and the source has none.
    pub(super) async fn whole_checksum(
        &self,
        from: &CopyFrom<'_>,
        seen: &Stored,
        algorithm: Option<Algorithm>,
    ) -> Result<Option<Checksum>, CopyError> {
        let is_wanted = |found: Algorithm| algorithm.is_none_or(|wanted| wanted == found);
        if let Some(stored) = &seen.checksum
            && is_wanted(stored.algorithm())
        {
            return Ok(Some(stored.clone()));
        }
        let mut of_source = seen.checksum.as_ref().map(Checksum::algorithm);
        if let Some(session) = self.session_by_tag(from, seen).await? {
            let object = session.root().finished().and_then(|object| object.checksum.clone());
            of_source = of_source.or(object.as_ref().map(|checksum| checksum.algorithm));
            let whole = object.filter(|checksum| {
                checksum.kind == ChecksumKind::FullObject && is_wanted(checksum.algorithm)
            });
            let whole = whole
                .and_then(|checksum| Checksum::from_base64(checksum.algorithm, &checksum.value));
            if whole.is_some() {
                return Ok(whole);
            }
            if of_source.is_some_and(is_wanted) {
                let parts = session.completed_parts().await?;
                let sums = parts
                    .into_iter()
                    .map(|part| Some((part.record.checksum(of_source?)?, part.size_bytes)));
                let sums: Option<Vec<_>> = sums.collect();
                let whole = sums.and_then(combined).filter(|sum| is_wanted(sum.algorithm()));
                if whole.is_some() {
                    return Ok(whole);
                }
            }
        }
        let Some(algorithm) = algorithm.or(of_source) else { return Ok(None) };
        let body = self.read_seen(from, seen, GetRange::Whole).await?;
        Ok(Some(hash(body, algorithm, None).await?))
    }

    /// What is known of the bytes of a span: from the record of the part that they were in the
    /// source, or from the checksum of the whole source. They are read only if a checksum algorithm
    /// was named for the upload, and their checksum is not known.
    pub(super) async fn known_bytes(
        &self,
        from: &CopyFrom<'_>,
        seen: &Stored,
        span: ByteSpan,
        session: &Session,
    ) -> Result<KnownBytes, CopyError> {
        let whole = span == ByteSpan { first: 0, end: seen.head.size_bytes };
        let terms = session.root().s3.clone().unwrap_or_default();
        let algorithm = terms.object_checksum().0;
        let mut known = KnownBytes::default();
        if let Some(made_by) = self.session_by_tag(from, seen).await?
            && let Some(record) = made_by.completed_part_at(span.first).await?
            && record.digests.len_bytes == span.len_bytes()
        {
            known = KnownBytes { sha256: record.sha256(), checksum: record.checksum(algorithm) };
        } else if let Some(checksum) = seen.checksum.as_ref().filter(|_| whole) {
            known = KnownBytes { sha256: checksum.sha256(), checksum: Some(checksum.clone()) };
        }
        known.checksum = known.checksum.filter(|found| found.algorithm() == algorithm);
        if terms.checksum.is_none() {
            return Ok(known);
        }
        if known.checksum.is_none() && span.len_bytes() == 0 {
            known.checksum = Some(ChecksumHasher::new(algorithm).finish());
        }
        if known.checksum.is_none() {
            let body = self.read_seen(from, seen, range_of(span, whole)).await?;
            // In the same pass: it costs no byte more.
            let mut sha256 = ChecksumHasher::new(Algorithm::Sha256);
            known.checksum = Some(hash(body, algorithm, Some(&mut sha256)).await?);
            known.sha256 = sha256.finish().sha256();
        }
        Ok(known)
    }

    /// The completed upload that made the source, if it is one of the account.
    async fn session_by_tag(
        &self,
        from: &CopyFrom<'_>,
        seen: &Stored,
    ) -> upload::Result<Option<Session>> {
        let Some(tag) = &seen.upload_tag else { return Ok(None) };
        let ObjectName { account, bucket, key, .. } = from.name;
        if let Some(id) = self.uploads_by_tag.find(account, tag)
            // Where it cannot be opened, the listing says why.
            && let Ok(session) = self.uploads.open(account, &id).await
        {
            return Ok(Some(session));
        }
        let found = self.uploads.completed_with_tag(account, bucket, key, tag).await?;
        if let Some(session) = &found {
            self.uploads_by_tag.remember(account, tag, &session.root().backup_id);
        }
        Ok(found)
    }
}

/// Reads a body to its end. **Errors**: `Unavailable` where it ends early.
async fn hash(
    mut body: Body,
    algorithm: Algorithm,
    mut also: Option<&mut ChecksumHasher>,
) -> Result<Checksum, Error> {
    let (mut hasher, mut missing) = (ChecksumHasher::new(algorithm), body.len_bytes());
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(unread)?;
        hasher.update(&frame);
        also.iter_mut().for_each(|also| also.update(&frame));
        missing = missing.saturating_sub(frame.len() as u64);
        // Frames of the embedded store are always ready: without a yield no other task of this
        // thread would run.
        tokio::task::yield_now().await;
    }
    if missing > 0 {
        return Err(unread(format!("{missing} bytes are missing")));
    }
    Ok(hasher.finish())
}
