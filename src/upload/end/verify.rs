//! Compares what the store holds with the records: parts with their records, an object with its
//! digest.
//!
//! Guarantees: a part agrees if any of the store's entries for its number does
//! (docs/architecture.md#a-part-agrees-if-any-entry-does); the record of a part that does not agree
//! is invalidated, and the part is reported missing and never served; an object with a wrong
//! SHA-256 is removed by its version, so that the older object stays.

use std::collections::HashMap;

use futures_util::StreamExt;

use crate::digest::{Expected, Kind as DigestKind, RunningSha256, Sha256};
use crate::names::{Bucket, Key};
use crate::store::{
    self, Body, ChosenPart, DeleteOptions, GetOptions, GetRange, PartNumber, PartTarget,
    StoredPart, Written,
};

use super::super::error::{Error, Result};
use super::super::manifest::{Change, Checks, Destination, Root, Status};
use super::super::plan::{self, ChunkIndex, ChunkRange, Slot};
use super::super::session::{Session, upload_of};
use super::inventory::{Inventory, PartRow};

impl Session {
    /// The parts that Complete is to name, as the store lists them. None: the store upload is gone.
    /// **Errors**: `Incomplete` with the chunks whose bytes the store does not hold as recorded.
    pub(in crate::upload) async fn verified_parts(
        &self,
        root: &Root,
        inventory: &Inventory,
        recorder: &Self,
    ) -> Result<Option<Vec<ChosenPart>>> {
        if inventory.rows.is_empty() && root.destination != Destination::Whole {
            return self.empty_part(root).await;
        }
        let Some(listed) = self.listed_parts(root).await? else { return Ok(None) };
        let mut chosen = Vec::with_capacity(inventory.rows.len());
        let mut missing = Vec::new();
        for row in &inventory.rows {
            match listed
                .get(&row.slot.number)
                .and_then(|entries| entries.iter().rfind(|part| matches_record(row, part)))
            {
                Some(part) => {
                    let sha256 = row.sha256.or(part.sha256);
                    chosen.push(ChosenPart {
                        number: part.number,
                        etag: part.etag.clone(),
                        sha256,
                    });
                }
                None => missing.extend(recorder.invalidate(row).await?),
            }
        }
        if !missing.is_empty() {
            return Err(Error::Incomplete { missing });
        }
        if chosen.len() < inventory.rows.len() {
            // The part of a group is not as recorded, but its chunks are still staged: assemble it
            // again.
            return Box::pin(self.reassemble(root)).await;
        }
        Ok(Some(chosen))
    }

    async fn reassemble(&self, root: &Root) -> Result<Option<Vec<ChosenPart>>> {
        let inventory = self.inventory(&Checks::default()).await?;
        for row in inventory.rows.iter().filter(|row| row.etags.is_empty()) {
            self.assemble(row.slot, row.end).await?;
        }
        let inventory = self.inventory(&Checks::default()).await?;
        self.verified_parts(root, &inventory, self).await
    }

    /// Stores one empty part for a file that turned out to be empty: S3 completes no upload without
    /// parts.
    async fn empty_part(&self, root: &Root) -> Result<Option<Vec<ChosenPart>>> {
        let target = root.target();
        let number = PartNumber::new(1).expect("1 is a part number");
        let part = PartTarget { upload: upload_of(root, &target)?, number };
        let sha256 = Sha256::of(b"");
        match self.0.shared.documents.store.put_part(part, Body::empty(), Some(sha256).into()).await
        {
            Ok(written) => {
                Ok(Some(vec![ChosenPart { number, etag: written.etag, sha256: Some(sha256) }]))
            }
            Err(error) if error.kind() == store::Kind::NoSuchUpload => Ok(None),
            Err(error) => Err(Error::store("storing the empty part of an empty file", error)),
        }
    }

    /// Every part that the store lists, by number. None: the store upload is gone.
    pub(in crate::upload) async fn listed_parts(
        &self,
        root: &Root,
    ) -> Result<Option<HashMap<u16, Vec<StoredPart>>>> {
        let documents = &self.0.shared.documents;
        let target = root.target();
        let Some(upload) = root.upload_at(&target) else { return Ok(Some(HashMap::new())) };
        let mut parts: HashMap<u16, Vec<StoredPart>> = HashMap::new();
        let mut after = None;
        let mut backoff = documents.backoff();
        loop {
            match documents.store.list_parts(upload, after).await {
                Ok(page) => {
                    for part in page.parts {
                        parts.entry(part.number.get()).or_default().push(part);
                    }
                    if page.next.is_none() {
                        return Ok(Some(parts));
                    }
                    after = page.next;
                }
                Err(error) if error.kind() == store::Kind::NoSuchUpload => return Ok(None),
                Err(error) => {
                    documents.pause(&mut backoff, Error::own("listing the parts", error)).await?
                }
            }
        }
    }

    /// Invalidates the record of a part that the store does not hold as recorded. Returns the
    /// chunks that must be sent again.
    async fn invalidate(&self, row: &PartRow) -> Result<Vec<ChunkRange>> {
        let segment = plan::segment_of(row.slot.first_chunk);
        tracing::warn!(
            backup = self.root().backup_id.as_str(),
            part = row.slot.number,
            "the store does not hold a part as recorded"
        );
        if row.slot.chunks == 1 {
            self.commit(segment, Change::InvalidateChunk { index: row.slot.first_chunk }).await?;
            let index = u64::from(row.slot.first_chunk);
            return Ok(vec![ChunkRange { first: index, last: index }]);
        }
        let gone = self.unstaged(row.slot, row.end).await?;
        self.invalidate_group(row.slot, &gone).await
    }

    /// Invalidates the record of a group's part, and those of its chunks whose bytes are `gone`,
    /// which are returned.
    pub(in crate::upload) async fn invalidate_group(
        &self,
        slot: Slot,
        gone: &[ChunkIndex],
    ) -> Result<Vec<ChunkRange>> {
        let segment = plan::segment_of(slot.first_chunk);
        let mut by_segment: HashMap<u32, Vec<u32>> = HashMap::from([(segment, Vec::new())]);
        for index in gone {
            by_segment.entry(plan::segment_of(*index)).or_default().push(*index);
        }
        for (number, chunks) in by_segment {
            self.commit(number, Change::InvalidateGroup { number: slot.number, chunks }).await?;
        }
        Ok(gone
            .iter()
            .copied()
            .map(u64::from)
            .map(|index| ChunkRange { first: index, last: index })
            .collect())
    }

    /// Reads the object back and compares its digest. The inner error: the digest is another one,
    /// and the object was removed by its version.
    pub(in crate::upload) async fn check_object(
        &self,
        root: &Root,
        written: &Written,
        expected: &Expected,
    ) -> Result<std::result::Result<Expected, Error>> {
        let store = &self.0.shared.documents.store;
        let (bucket, key) = root.target();
        let mut found = self.object_digest((&bucket, &key), written).await?;
        if found != *expected {
            // A removal is final: read it a second time, because a byte may have been damaged on
            // its way to the gateway.
            found = self.object_digest((&bucket, &key), written).await?;
        }
        let Err(mismatch) = super::checks::require_equal(expected, &found) else {
            return Ok(Ok(found));
        };
        if let Some(version) = &written.version {
            let options =
                DeleteOptions { version: Some(version.clone()), ..DeleteOptions::default() };
            let removed = store.delete(&bucket, &key, &options).await;
            removed
                .map_err(|error| Error::store("removing an object with the wrong digest", error))?;
        }
        let aborted = Status::Aborted { reason: mismatch.to_string(), kept: false, freed: false };
        // A lost swap means that another gateway saw the same object.
        self.change_status(Status::is_unfinished, aborted).await?.ok();
        Ok(Err(mismatch))
    }

    async fn object_digest(
        &self,
        (bucket, key): (&Bucket, &Key),
        written: &Written,
    ) -> Result<Expected> {
        let options = GetOptions { version: written.version.clone(), ..GetOptions::default() };
        let opened = self.0.shared.documents.store.get(bucket, key, GetRange::Whole, options).await;
        let (_, body) = opened.map_err(|error| Error::own("reading the object back", error))?;
        Ok(Expected { kind: DigestKind::Sha256, hex: hash(body).await?.hex() })
    }
}

/// Whether an entry of the store is the part in the records.
fn matches_record(row: &PartRow, part: &StoredPart) -> bool {
    let same_sha256 =
        row.sha256.zip(part.sha256).is_none_or(|(recorded, listed)| recorded == listed);
    part.size_bytes == row.size_bytes && row.etags.contains(&part.etag) && same_sha256
}

/// The SHA-256 of a body of the store. **Errors**: `StoreUnavailable` where it ends early.
pub(in crate::upload) async fn hash(mut body: Body) -> Result<Sha256> {
    let mut running = RunningSha256::default();
    let (expected, mut received) = (body.len_bytes(), 0);
    let interrupted = |cause: Option<store::BodyError>| {
        let error =
            store::Error::new(store::Kind::Unavailable, "the response of the store ended early");
        let source = match cause {
            Some(cause) => error.because(cause),
            None => error,
        };
        Error::own("reading bytes back", source)
    };
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|cause| interrupted(Some(cause)))?;
        received += frame.len() as u64;
        running.update(&frame);
        // Frames of the embedded store are always ready: without a yield no other task of this
        // thread would run.
        tokio::task::yield_now().await;
    }
    if received == expected { Ok(running.finish()) } else { Err(interrupted(None)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn other_tasks_run_while_a_body_that_is_always_ready_is_hashed() {
        let has_run = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&has_run);
        tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
        assert_eq!(hash(b"bytes".to_vec().into()).await.unwrap(), Sha256::of(b"bytes"));
        assert!(has_run.load(Ordering::Relaxed));
    }
}
