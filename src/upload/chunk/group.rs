//! Parts made of several staged chunks.
//!
//! Guarantees: staged chunks go only once the part that holds them is recorded, so a crash anywhere
//! leaves either; two gateways that assemble one group at once put the same bytes, and both tags
//! are recorded; bytes that turned over on their way from the store make no part. It streams from
//! staged object to part and holds one frame. Source: DESIGN §4, §12.7.

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::digest::Sha256;
use crate::store::{
    self, Body, BodyError, ETag, GetOptions, GetRange, Key, PartNumber, PartOptions, PartTarget,
};

use super::super::error::{Error, Result};
use super::super::manifest::{Change, Record};
use super::super::plan::{self, ChunkIndex, Slot};
use super::super::session::{Session, upload_of};
use super::body;

impl Session {
    /// Starts to put a group together in the background if this chunk made it whole. A group that
    /// is missed here is put together by finalize.
    pub(in crate::upload) fn assemble_when_whole(&self, index: ChunkIndex) {
        let root = self.root();
        let Some(slot) = root.plan.slot(index).filter(|slot| slot.chunks > 1) else { return };
        // Without a size nobody knows whether a group that is not full is the last: finalize will.
        let end = slot.end(root.plan.chunks().unwrap_or(u64::MAX));
        if !self.looks_whole(slot, end) || !self.0.assembling.insert(slot.number) {
            return;
        }
        let session = self.clone();
        tokio::spawn(async move {
            let assembled = async {
                let shared = std::sync::Arc::clone(&session.0.shared);
                let _turn = shared.assembly_turns.acquire().await;
                if session.current_group(slot).await?.is_none() {
                    session.assemble(slot, end).await?;
                }
                Ok::<(), Error>(())
            };
            if let Err(error) = assembled.await {
                let part = slot.number;
                tracing::warn!(backup = session.root().backup_id, part, %error, "a part waits for finalize");
            }
            session.0.assembling.remove(&slot.number);
        });
    }

    /// Whether the cached segments show every chunk of the group; cheap, and wrong only to the safe
    /// side.
    fn looks_whole(&self, slot: Slot, end: u64) -> bool {
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

    /// The tag of the group's part, if it is recorded.
    async fn current_group(&self, slot: Slot) -> Result<Option<ETag>> {
        let doc = self.current_segment(plan::segment_of(slot.first_chunk)).await?;
        let group = doc.and_then(|doc| doc.value.groups.get(&slot.number).cloned());
        Ok(group.and_then(|group| group.etags.first().cloned()))
    }

    /// Puts the chunks `[slot.first_chunk, end)` together as a part, records it, and removes what
    /// was staged.
    /// **Errors**: `Incomplete` with the chunks whose staged bytes are gone: they are struck, and
    /// wanted again.
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
        let number =
            PartNumber::new(u32::from(slot.number)).expect("a plan's slots are numbers of parts");
        let part = PartTarget { upload: upload_of(&root, &target)?, number };
        let body = Body::new(size_bytes, Box::pin(bodies).try_flatten());
        let written = match documents.store.put_part(part, body, PartOptions::default()).await {
            Ok(written) => written,
            Err(error) if error.kind() == store::Kind::NoSuchUpload => {
                return Err(self.settle_gone().await);
            }
            Err(error) => {
                let gone = self.unstaged(slot, end).await?;
                // Asked for after that: staged chunks go only once their part is recorded, perhaps
                // by another gateway.
                if self.current_group(slot).await?.is_some() {
                    return Ok(());
                }
                if !gone.is_empty() {
                    // A part was recorded, its chunks removed and the record struck, in that order
                    // by two gateways.
                    return Err(Error::Incomplete {
                        missing: self.invalidate_group(slot, &gone).await?,
                    });
                }
                let what = format!("putting part {} together", slot.number);
                return Err(Error::Store {
                    kind: super::super::Kind::StoreUnavailable,
                    what,
                    source: error,
                });
            }
        };
        let change = Change::Group { number: slot.number, written, size_bytes };
        self.commit(plan::segment_of(slot.first_chunk), change).await?;
        // After the record: a crash before leaves staged chunks, which the session's end removes,
        // never a hole.
        for (key, ..) in staged {
            documents.delete(&key).await?;
        }
        Ok(())
    }

    /// Index, checksum and length of a group's chunks. **Errors**: `Incomplete` where one is
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

    /// Of a group's chunks, those whose staged bytes the store does not hold.
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
                Err(error) => return Err(Error::own(format!("looking for {key}"), error)),
            }
        }
        Ok(gone)
    }
}
