//! Makes a part of the bytes of a complete object that has it.
//!
//! Guarantees: the part is recorded only after its bytes were copied and hashed; None in every
//! other case, and its bytes are asked for. A hint that led to nothing is not followed again,
//! unless the store failed.

use std::sync::Arc;
use std::time::Duration;

use super::super::PutPermit;
use super::super::chunk::{PartCopied, PartSource};
use super::super::error::Result;
use super::super::manifest::{Record, Root};
use super::super::plan::{self, ChunkIndex};
use super::super::session::Session;
use super::super::uploads::Uploads;
use super::index::Place;
use crate::digest::Sha256;
use crate::store::ByteSpan;

/// Fewer bytes are sent sooner than copied; a store that takes smaller parts, as tests do, copies
/// them too.
const MIN_PART_BYTES: u64 = 64 << 10;

/// A part that is wanted, and what its record must have.
pub(in crate::upload) struct Wanted<'a> {
    pub index: ChunkIndex,
    pub sha256: Sha256,
    pub len_bytes: u64,
    /// Whether the client may read all of the bucket, so that other accounts' objects count too.
    pub reads_bucket: bool,
    /// Whether a record of these bytes has the checksums that the part needs.
    pub is_summed: &'a (dyn Fn(&Record) -> bool + Sync),
    /// How long it may wait until the known parts are loaded.
    pub load_limit: Duration,
}

impl Session {
    /// The record of the part, made of the bytes of a complete object; None: its bytes are needed.
    pub(in crate::upload) async fn copy_known(
        &self,
        permit: PutPermit,
        wanted: &Wanted<'_>,
    ) -> Option<Record> {
        let root = self.root();
        let known = &self.0.shared.known;
        let min_bytes = MIN_PART_BYTES.min(self.0.shared.documents.store.limits().min_part_bytes);
        let is_wanted = wanted.len_bytes >= min_bytes && root.takes_known_parts();
        if !known.is_enabled() || !is_wanted {
            return None;
        }
        let uploads = Uploads::of(self)?;
        self.known_parts_loaded(&uploads, wanted).await;
        let mut accounts = vec![root.account.clone()];
        if wanted.reads_bucket {
            accounts.extend(known.other_accounts(&root.account, &root.bucket));
        }
        let mut has_failed = false;
        let found =
            accounts.iter().flat_map(|account| known.find(account, &root.bucket, &wanted.sha256));
        for place in found {
            match self.copy_from(&uploads, &place, &permit, wanted).await {
                Ok(Some(record)) => return Some(record),
                Ok(None) => {}
                Err(error) => {
                    has_failed = true;
                    let (backup, chunk) = (root.backup_id.as_str(), wanted.index);
                    tracing::debug!(backup, chunk, %error, "a known part was not copied");
                }
            }
        }
        if !has_failed {
            let remove = |account| known.remove(account, &root.bucket, &wanted.sha256);
            accounts.iter().for_each(remove);
        }
        None
    }

    /// None: the bytes are not there any more, or the store cannot copy them.
    async fn copy_from(
        &self,
        uploads: &Uploads,
        place: &Place,
        permit: &PutPermit,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Record>> {
        let Some(source) = uploads.source_at(&self.root(), place, wanted).await? else {
            return Ok(None);
        };
        let turn = Arc::clone(&self.0.shared.known.turns).acquire_owned().await.ok();
        match permit.copy_part_in_turn(source, turn).await? {
            PartCopied::Recorded(_) => {}
            PartCopied::NeedsBytes | PartCopied::SourceChanged(_) => return Ok(None),
        }
        let segment = self.segment(plan::segment_of(wanted.index)).await?;
        let record = segment.stored(wanted.index);
        Ok(record.filter(|record| record.is_of(&wanted.sha256)).cloned())
    }
}

impl Uploads {
    /// Where the wanted bytes are, if the records of a complete object still say so.
    async fn source_at(
        &self,
        root: &Root,
        place: &Place,
        wanted: &Wanted<'_>,
    ) -> Result<Option<PartSource>> {
        let Place { session, chunk } = place;
        let Some(found) = self.find(&session.account, &session.id).await? else { return Ok(None) };
        let source = found.complete_or_current_root().await?;
        let Some(object) = source.finished().filter(|_| source.bucket == root.bucket) else {
            return Ok(None);
        };
        let number = u16::try_from(chunk + 1).unwrap_or(u16::MAX);
        let Some(first) = found.completed_part_offset(number).await? else { return Ok(None) };
        let record = found.completed_part_at(first).await?.filter(|record| {
            let is_same = record.is_of(&wanted.sha256);
            is_same && record.digests.len_bytes == wanted.len_bytes && (wanted.is_summed)(record)
        });
        let Some(record) = record else { return Ok(None) };
        let span = ByteSpan { first, end: first + wanted.len_bytes };
        Ok(Some(PartSource {
            bucket: source.bucket.clone(),
            key: source.key.clone(),
            version: object.version.clone(),
            etag: object.etag.clone(),
            span: (span.len_bytes() < object.size_bytes).then_some(span),
            sha256: Some(wanted.sha256),
            part_etag: record.etags.first().cloned(),
            checksums: record.part.checksums,
            is_hashed_again: true,
        }))
    }
}
