//! A chunk of a complete backup.

use crate::store::{self, Body, GetOptions, GetRange};
use crate::upload::{self, Record, SEGMENT, Session, Shape, Status};

use super::Objects;

/// A chunk on its way to a client.
#[derive(Debug)]
pub struct ChunkRead {
    /// Its checksum and length.
    pub record: Record,
    pub body: Body,
}

impl Objects {
    /// A chunk of a complete backup. **Errors**: `NotOpen` (it is not complete), `BadRequest` (no
    /// such chunk), `ObjectChanged`, `Store…`. The body can fail half-way.
    pub async fn read_chunk(&self, session: &Session, index: u64) -> upload::Result<ChunkRead> {
        let root = session.root();
        let Status::Complete { object, .. } = &root.status else {
            return Err(upload::Error::NotOpen {
                id: root.backup_id.clone(),
                status: format!("{}, not complete", root.status.word()),
            });
        };
        let absent = || upload::Error::BadRequest(format!("the backup has no chunk {index}"));
        let chunk = u32::try_from(index).map_err(|_| absent())?;
        let segment = session.segment(chunk / SEGMENT).await?;
        let record = segment.stored(chunk).ok_or_else(absent)?.clone();
        let first = match root.plan.shape {
            Shape::Chunks => root.plan.offset_of(index).ok_or_else(absent)?,
            Shape::Parts => index.checked_mul(session.chunk_size().await?).ok_or_else(absent)?,
        };
        let read = match record.digests.len_bytes {
            0 => GetRange::Head,
            len => GetRange::Range { first, last: first + (len - 1) },
        };
        let options = GetOptions { if_match: Some(object.etag.clone()), ..GetOptions::default() };
        let (bucket, key) = (root.bucket.as_str().into(), root.key.as_str().into());
        let found = self.store.get(&bucket, &key, read, options).await;
        let (_, body) = found.map_err(|error| changed_or(error, &root.backup_id))?;
        Ok(ChunkRead { record, body })
    }
}

fn changed_or(error: store::Error, id: &str) -> upload::Error {
    match error.kind() {
        store::Kind::Precondition
        | store::Kind::NotFound
        | store::Kind::NoSuchBucket
        | store::Kind::Range => upload::Error::ObjectChanged(id.to_owned()),
        store::Kind::NoSuchUpload
        | store::Kind::BucketExists
        | store::Kind::BucketNotEmpty
        | store::Kind::Conflict
        | store::Kind::NotModified
        | store::Kind::InvalidPart
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
