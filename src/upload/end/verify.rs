//! Reading bytes back out of the store to compare them: parts against their records, an object
//! against its digest.
//!
//! Guarantees: a part agrees if any of the store's entries for its number does (DESIGN §12.3); one
//! that does not is struck from the records and reported missing, never served; an object whose
//! SHA-256 is wrong is removed by its version, so that the older object stays.

use std::collections::HashMap;

use futures_util::StreamExt;

use crate::digest::{Expected, Kind as DigestKind, RunningSha256, Sha256};
use crate::store::{
    self, Body, Bucket, ChosenPart, GetOptions, GetRange, Key, PartNumber, PartTarget, StoredPart,
    Written,
};

use super::super::error::{Error, Result};
use super::super::manifest::{Change, Checks, Destination, Root, Status};
use super::super::plan::{self, ChunkIndex, ChunkRange, Slot};
use super::super::session::{Session, upload_of};
use super::inventory::{Inventory, PartRow};

impl Session {
    /// The store's parts as Complete is to name them; None: the upload is gone. **Errors**:
    /// `Incomplete` with the chunks whose bytes the store does not have as recorded.
    pub(in crate::upload) async fn verified_parts(
        &self,
        root: &Root,
        survey: &Inventory,
    ) -> Result<Option<Vec<ChosenPart>>> {
        if survey.rows.is_empty() && root.destination != Destination::EmptyObject {
            return self.empty_part(root).await;
        }
        let Some(listed) = self.listed_parts(root).await? else { return Ok(None) };
        let mut chosen = Vec::with_capacity(survey.rows.len());
        let mut missing = Vec::new();
        for row in &survey.rows {
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
                None => missing.extend(self.invalidate(row).await?),
            }
        }
        if !missing.is_empty() {
            return Err(Error::Incomplete { missing });
        }
        if chosen.len() < survey.rows.len() {
            // A group's part was not as recorded but its chunks are still staged: put it together
            // again.
            return Box::pin(self.reassembled(root)).await;
        }
        Ok(Some(chosen))
    }

    async fn reassembled(&self, root: &Root) -> Result<Option<Vec<ChosenPart>>> {
        let survey = self.inventory(&Checks::default()).await?;
        for row in survey.rows.iter().filter(|row| row.etags.is_empty()) {
            self.assemble(row.slot, row.end).await?;
        }
        let survey = self.inventory(&Checks::default()).await?;
        self.verified_parts(root, &survey).await
    }

    /// S3 completes no upload without parts: a file that turned out to be empty is one empty part.
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

    /// Every part that the store lists, by number; None: the upload is gone.
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

    /// Takes back the record of a part that the store does not have as recorded; returns the chunks
    /// to send again.
    async fn invalidate(&self, row: &PartRow) -> Result<Vec<ChunkRange>> {
        let segment = plan::segment_of(row.slot.first_chunk);
        tracing::warn!(
            backup = self.root().backup_id,
            part = row.slot.number,
            "a part is not as recorded"
        );
        if row.slot.chunks == 1 {
            self.commit(segment, Change::InvalidateChunk { index: row.slot.first_chunk }).await?;
            let index = u64::from(row.slot.first_chunk);
            return Ok(vec![ChunkRange { first: index, last: index }]);
        }
        let gone = self.unstaged(row.slot, row.end).await?;
        self.invalidate_group(row.slot, &gone).await
    }

    /// Takes back the record of a group's part, and of those of its chunks whose bytes are gone:
    /// they are returned.
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

    /// Reads the object back. The inner error: it has another digest, and was removed by its
    /// version.
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
            // Removing it is for good: a byte that turned over on its way here is right the second
            // time.
            found = self.object_digest((&bucket, &key), written).await?;
        }
        let Err(mismatch) = super::finalize::same(expected, &found) else { return Ok(Ok(found)) };
        if let Some(version) = &written.version {
            let removed = store.delete(&bucket, &key, Some(version)).await;
            removed
                .map_err(|error| Error::store("removing an object with the wrong digest", error))?;
        }
        let aborted = Status::Aborted { reason: mismatch.to_string(), kept: false, freed: false };
        // Whoever was first has seen the same object.
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

/// Whether the store's entry is the part that the records speak of.
fn matches_record(row: &PartRow, part: &StoredPart) -> bool {
    let same_sha256 = row.sha256.zip(part.sha256).is_none_or(|(ours, theirs)| ours == theirs);
    part.size_bytes == row.size_bytes && row.etags.contains(&part.etag) && same_sha256
}

/// The SHA-256 of a body that comes from the store. **Errors**: `StoreUnavailable` where it breaks
/// off.
pub(in crate::upload) async fn hash(mut body: Body) -> Result<Sha256> {
    let mut running = RunningSha256::default();
    let (wanted, mut seen) = (body.len_bytes(), 0);
    let broke = |cause: Option<store::BodyError>| {
        let error = store::Error::new(store::Kind::Unavailable, "the store's answer broke off");
        let source = match cause {
            Some(cause) => error.because(cause),
            None => error,
        };
        Error::own("reading bytes back", source)
    };
    while let Some(frame) = body.next().await {
        let frame = frame.map_err(|cause| broke(Some(cause)))?;
        seen += frame.len() as u64;
        running.update(&frame);
        // The embedded store's frames are always ready: without a pause nobody else on this thread
        // gets a turn.
        tokio::task::yield_now().await;
    }
    if seen == wanted { Ok(running.finish()) } else { Err(broke(None)) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn others_have_their_turn_while_a_body_that_is_there_is_hashed() {
        let had_its_turn = Arc::new(AtomicBool::new(false));
        let other = Arc::clone(&had_its_turn);
        tokio::spawn(async move { other.store(true, Ordering::Relaxed) });
        assert_eq!(hash(b"bytes".to_vec().into()).await.unwrap(), Sha256::of(b"bytes"));
        assert!(had_its_turn.load(Ordering::Relaxed));
    }
}
