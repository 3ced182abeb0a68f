//! Reads a chunk of a complete backup.
//!
//! Guarantees: the bytes are those of the object that the backup's finalize made.

use crate::names::BackupId;
use crate::store::{self, Body, GetOptions, GetRange};
use crate::upload::{self, Record, Root, SEGMENT, Session, Shape, Status};

use super::Objects;

/// A recorded chunk and its bytes.
#[derive(Debug)]
pub struct ChunkRead {
    /// Its checksum and length.
    pub record: Record,
    pub body: Body,
}

impl Objects {
    /// A chunk of a complete backup. **Errors**: `NotOpen` (it is not complete, or its records do
    /// not show where the chunk lies), `NoSuchChunk`, `ObjectChanged`, `Store…`. The
    /// body can fail before its end.
    pub async fn read_chunk(&self, session: &Session, index: u64) -> upload::Result<ChunkRead> {
        let root = session.root();
        let Status::Complete { object, .. } = &root.status else {
            return Err(unreadable(&root, format!("{}, not complete", root.status.word())));
        };
        let absent = || upload::Error::NoSuchChunk(index);
        let chunk = u32::try_from(index).map_err(|_| absent())?;
        let segment = session.segment(chunk / SEGMENT).await?;
        let record = segment.stored(chunk).ok_or_else(absent)?.clone();
        if record.unhashed {
            let status = "complete, but the store copied this part, and nobody hashed it";
            return Err(unreadable(&root, status.to_owned()));
        }
        let first = match root.plan.shape {
            Shape::Chunks => root.plan.offset_of(index).ok_or_else(absent)?,
            Shape::Parts => part_offset(session, &root, index).await?,
        };
        let read = match record.digests.len_bytes {
            0 => GetRange::Head,
            len => GetRange::Range { first, last: first + (len - 1) },
        };
        let options = GetOptions { if_match: Some(object.etag.clone()), ..GetOptions::default() };
        let (bucket, key) = (root.bucket.clone(), root.key.clone());
        let found = self.store.get(&bucket, &key, read, options).await;
        let (_, body) = found.map_err(|error| chunk_error(error, &root.backup_id))?;
        Ok(ChunkRead { record, body })
    }
}

/// Where a part of an S3 upload lies in the object: parts are as long as their client chose, so the
/// lengths of those before it add up. **Errors**: `NotOpen` where the recorded parts are not those
/// of the object.
async fn part_offset(session: &Session, root: &Root, index: u64) -> upload::Result<u64> {
    let number = u16::try_from(index + 1).unwrap_or(u16::MAX);
    session.completed_part_offset(number).await?.ok_or_else(|| {
        let status = "complete, but its object was made of other parts than the recorded ones";
        unreadable(root, status.to_owned())
    })
}

fn unreadable(root: &Root, status: String) -> upload::Error {
    upload::Error::NotOpen { id: root.backup_id.clone(), status }
}

fn chunk_error(error: store::Error, id: &BackupId) -> upload::Error {
    match error.kind() {
        store::Kind::Precondition
        | store::Kind::NotFound
        | store::Kind::NoSuchVersion
        | store::Kind::DeleteMarker
        | store::Kind::NoSuchBucket
        | store::Kind::Range => upload::Error::ObjectChanged(id.clone()),
        store::Kind::NoSuchUpload
        | store::Kind::BucketExists
        | store::Kind::BucketNotEmpty
        | store::Kind::Conflict
        | store::Kind::NotModified
        | store::Kind::InvalidPart
        | store::Kind::Unsupported
        | store::Kind::TooSmall
        | store::Kind::Checksum
        | store::Kind::Body
        | store::Kind::Denied
        | store::Kind::Invalid
        | store::Kind::Full
        | store::Kind::SlowDown
        | store::Kind::Unavailable => upload::Error::own("reading the chunk", error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::store::{Limits, PartNumber, Store, memory::Memory};
    use crate::upload::{ChosenEntry, NewUpload, PartAdmission, PartClaim, Settings, Uploads};

    /// A completed upload with parts of these numbers and bytes, of which Complete names the first
    /// `named`.
    async fn completed(parts: &[(u32, &'static [u8])], named: usize) -> (Objects, Session) {
        let clock = Clock::seeded(1);
        let limits = Limits { min_part_bytes: 1, ..Limits::S3 };
        let store: Arc<dyn Store> = Arc::new(Memory::with_limits(limits, clock.clone()));
        let settings = Settings::default();
        let uploads = Uploads::new(Arc::clone(&store), clock, settings);
        let objects = Objects::new(store, uploads.clone());
        uploads.prepare().await.unwrap();
        uploads.make_bucket(&"b".into()).await.unwrap();
        let new = NewUpload { bucket: "b".into(), key: "k".into(), ..NewUpload::default() };
        let session = uploads.create_upload(&"home".into(), new).await.unwrap();
        let mut entries = Vec::new();
        for (number, bytes) in parts {
            let number = PartNumber::new(*number).unwrap();
            let claim = PartClaim { len_bytes: bytes.len() as u64, ..PartClaim::default() };
            let PartAdmission::Wanted(permit) = session.admit_part(number, claim).await.unwrap()
            else {
                panic!("part {number} is known already");
            };
            let stored = permit.store_part(bytes.to_vec().into(), || None).await.unwrap();
            entries.push(ChosenEntry { number, etag: stored.etag.unwrap(), checksum: None });
        }
        session.complete_parts(&entries[..named]).await.unwrap();
        (objects, session)
    }

    #[tokio::test]
    async fn a_chunk_is_read_where_its_part_lies() {
        let parts: [(u32, &'static [u8]); 4] =
            [(1, b"abc"), (2, b"defgh"), (4, b"i"), (5, b"jklmno")];
        let (objects, session) = completed(&parts, parts.len()).await;
        for (number, bytes) in parts {
            let read = objects.read_chunk(&session, u64::from(number) - 1).await.unwrap();
            assert_eq!(read.body.collect(64).await.unwrap(), bytes, "part {number}");
        }
        let missing = objects.read_chunk(&session, 2).await.unwrap_err();
        assert_eq!(missing.kind(), upload::Kind::NoSuchChunk);
    }

    #[tokio::test]
    async fn a_chunk_whose_place_is_not_known_is_refused() {
        let (objects, session) = completed(&[(1, b"abc"), (2, b"de")], 1).await;
        let refused = objects.read_chunk(&session, 0).await.unwrap_err();
        assert_eq!(refused.kind(), upload::Kind::NotOpen, "{refused}");
    }
}
