//! Assembles staged chunks into parts.
//!
//! Guarantees: staged chunks are removed only after the part that contains them is recorded, so
//! after a crash there is the one or the other; two gateways that assemble the same group store the
//! same bytes, and both ETags are recorded; bytes that were damaged on their way from the store
//! become no part. It streams from the staged objects to the part and holds one frame. Source:
//! docs/architecture.md#staged-chunks, docs/architecture.md#parts-that-a-refused-put-overwrote.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::digest::Sha256;
use crate::names::Key;
use crate::store::{
    self, Body, BodyError, ETag, GetOptions, GetRange, PartNumber, PartOptions, PartTarget,
};

use super::super::error::{Error, Result};
use super::super::manifest::{Change, Record};
use super::super::plan::{self, ChunkIndex, Slot};
use super::super::session::{Session, upload_of};
use super::body;

impl Session {
    /// Starts to assemble a group in the background if this chunk completed it. Finalize assembles
    /// the groups that are missed here.
    pub(in crate::upload) fn assemble_if_complete(&self, index: ChunkIndex) {
        let root = self.root();
        let Some(slot) = root.plan.slot(index).filter(|slot| slot.chunks > 1) else { return };
        // Without a size it is not known before finalize whether a group that is not full is the
        // last one.
        let end = slot.end(root.plan.chunks().unwrap_or(u64::MAX));
        if !self.looks_complete(slot, end) || !self.0.assembling.insert(slot.number) {
            return;
        }
        let session = self.clone();
        tokio::spawn(async move {
            let assembled = async {
                let shared = std::sync::Arc::clone(&session.0.shared);
                let _permit = shared.assembly_turns.acquire().await;
                if session.current_group(slot).await?.is_none() {
                    session.assemble(slot, end).await?;
                }
                Ok::<(), Error>(())
            };
            if let Err(error) = assembled.await {
                let part = slot.number;
                tracing::warn!(backup = session.root().backup_id.as_str(), part, %error, "a part is not assembled before finalize");
            }
            session.0.assembling.remove(&slot.number);
        });
    }

    /// Whether the cached segments show every chunk of the group. Cheap; a false negative leaves
    /// the group to finalize.
    fn looks_complete(&self, slot: Slot, end: u64) -> bool {
        let last = u32::try_from(end - 1).unwrap_or(u32::MAX);
        (plan::segment_of(slot.first_chunk)..=plan::segment_of(last)).all(|number| {
            let Some(doc) = self.known_segment(number) else { return false };
            let first = slot.first_chunk.max(number * plan::SEGMENT);
            let last = last.min(number * plan::SEGMENT + (plan::SEGMENT - 1));
            doc.value.chunks.range(first..=last).filter(|(_, record)| !record.invalidated).count()
                as u64
                == u64::from(last - first) + 1
        })
    }

    /// The ETag of the group's part, if it is recorded.
    async fn current_group(&self, slot: Slot) -> Result<Option<ETag>> {
        let doc = self.current_segment(plan::segment_of(slot.first_chunk)).await?;
        let group = doc.and_then(|doc| doc.value.groups.get(&slot.number).cloned());
        Ok(group.and_then(|group| group.etags.first().cloned()))
    }

    /// Assembles the chunks `[slot.first_chunk, end)` into a part, records it, and removes the
    /// staged objects. **Errors**: `Incomplete` with the chunks whose staged bytes are gone: their
    /// records are invalidated, and they must be sent again.
    pub(in crate::upload) async fn assemble(&self, slot: Slot, end: u64) -> Result<()> {
        let root = self.root();
        let documents = &self.0.shared.documents;
        let chunks = self.group_chunks(slot, end).await?;
        let size_bytes = chunks.iter().map(|(_, _, len)| len).sum();
        let staged: Vec<(Key, Sha256, u64)> = chunks
            .iter()
            .map(|(index, sha256, len)| (self.0.layout.staged(*index, sha256), *sha256, *len))
            .collect();
        let (store, bucket) = (documents.store.clone(), documents.bucket.clone());
        let bodies = stream::iter(staged.clone()).then(move |(key, sha256, len_bytes)| {
            let (store, bucket) = (store.clone(), bucket.clone());
            async move {
                let opened = store.get(&bucket, &key, GetRange::Whole, GetOptions::default()).await;
                let (_, body) = opened.map_err(BodyError::from)?;
                Ok::<_, BodyError>(body::staged(body, sha256, len_bytes))
            }
        });
        let target = root.target();
        let number = PartNumber::new(u32::from(slot.number))
            .expect("the slots of a plan have valid part numbers");
        let part = PartTarget { upload: upload_of(&root, &target)?, number };
        let body = Body::new(size_bytes, Box::pin(bodies).try_flatten());
        let written = match documents.store.put_part(part, body, PartOptions::default()).await {
            Ok(written) => written,
            Err(error) if error.kind() == store::Kind::NoSuchUpload => {
                return Err(self.missing_upload_error().await);
            }
            Err(error) => {
                let gone = self.unstaged(slot, end).await?;
                // Read after that: staged chunks are removed only once their part is recorded,
                // perhaps by another gateway.
                if self.current_group(slot).await?.is_some() {
                    return Ok(());
                }
                if !gone.is_empty() {
                    // Two gateways recorded the part, removed its chunks and invalidated the
                    // record, in this order.
                    return Err(Error::Incomplete {
                        missing: self.invalidate_group(slot, &gone).await?,
                    });
                }
                let what = format!("assembling part {}", slot.number);
                return Err(Error::Store {
                    kind: super::super::Kind::StoreUnavailable,
                    what,
                    source: error,
                });
            }
        };
        let change = Change::Group { number: slot.number, written, size_bytes };
        self.commit(plan::segment_of(slot.first_chunk), change).await?;
        // After the part is recorded: a crash before leaves staged chunks, which are removed when
        // the session ends, never a missing chunk.
        for (key, ..) in staged {
            documents.delete(&key).await?;
        }
        Ok(())
    }

    /// Index, SHA-256 and length of the chunks of a group. **Errors**: `Incomplete` where one is
    /// missing.
    async fn group_chunks(&self, slot: Slot, end: u64) -> Result<Vec<(ChunkIndex, Sha256, u64)>> {
        let last = u32::try_from(end - 1).unwrap_or(u32::MAX);
        let mut chunks = Vec::new();
        for number in plan::segment_of(slot.first_chunk)..=plan::segment_of(last) {
            let segment = self.segment(number).await?;
            let of_group = segment
                .chunks
                .range(slot.first_chunk..=last)
                .filter(|(_, record)| !record.invalidated);
            chunks.extend(of_group.map(|(index, Record { digests, .. })| {
                (*index, digests.sha256, digests.len_bytes)
            }));
        }
        let mut missing = plan::gaps(
            chunks.iter().map(|(index, ..)| *index - slot.first_chunk),
            end - u64::from(slot.first_chunk),
        );
        for range in &mut missing {
            range.first += u64::from(slot.first_chunk);
            range.last += u64::from(slot.first_chunk);
        }
        if missing.is_empty() { Ok(chunks) } else { Err(Error::Incomplete { missing }) }
    }

    /// The chunks of a group whose staged bytes the store does not hold.
    pub(in crate::upload) async fn unstaged(
        &self,
        slot: Slot,
        end: u64,
    ) -> Result<Vec<ChunkIndex>> {
        let documents = &self.0.shared.documents;
        let mut gone = Vec::new();
        for (index, sha256, len_bytes) in self.group_chunks(slot, end).await? {
            let key = self.0.layout.staged(index, &sha256);
            match documents.store.head(&documents.bucket, &key).await {
                Ok(head) if head.size_bytes == len_bytes => {}
                Ok(_) => gone.push(index),
                Err(error) if error.kind() == store::Kind::NotFound => gone.push(index),
                Err(error) => return Err(Error::own(format!("reading the head of {key}"), error)),
            }
        }
        Ok(gone)
    }
}
