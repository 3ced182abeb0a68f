//! Reading an object as the S3 front needs it: by range or part number, with its checksum.
//!
//! Guarantees: parts and checksums that the store does not know are those that the records of the
//! object's upload say, found by the tag in its metadata, so they are never those of an older
//! object of the same key. A range that the store refuses is an error before any condition is
//! checked. Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.

use crate::names::{AccountName, Bucket, Key};
use crate::store::{Body, GetOptions, GetRange, PartNumber};
use crate::upload::{self, ChecksumKind, ObjectChecksum, PartEntry, Session};

use super::{Conditions, Objects, ReadError, Stored};

/// An object, and the account that reads it.
#[derive(Clone, Copy, Debug)]
pub struct ObjectName<'a> {
    pub account: &'a AccountName,
    pub bucket: &'a Bucket,
    pub key: &'a Key,
}

/// Which bytes of an object are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    Whole,
    /// `GetRange::Range` or `GetRange::Suffix`.
    Range(GetRange),
    /// The bytes of one part of the upload that made the object.
    Part(PartNumber),
}

/// What a read asks for.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    pub selection: Selection,
    /// Whether the bytes themselves are left out.
    pub head_only: bool,
    pub version: Option<String>,
    /// Whether the checksum of the object is to be found; never for a range.
    pub checksum: bool,
    pub conditions: Conditions,
}

/// An object that was read.
#[derive(Debug)]
pub struct ObjectRead {
    pub stored: Stored,
    /// The selected bytes; empty for a read of the head only.
    pub body: Body,
    /// `[first, end)` of the selected bytes, if they are not the whole object.
    pub range: Option<(u64, u64)>,
    /// How many parts the object was made of; only if a part was selected.
    pub parts_count: Option<usize>,
    pub checksum: Option<ObjectChecksum>,
}

/// What is known of an object besides its bytes.
#[derive(Debug)]
pub struct ObjectAttributes {
    pub stored: Stored,
    pub checksum: Option<ObjectChecksum>,
    /// None: not made of parts, or not asked for.
    pub parts_count: Option<usize>,
}

impl Objects {
    /// Reads an object. The body can fail half-way.
    pub async fn read(
        &self,
        name: ObjectName<'_>,
        request: ReadRequest,
    ) -> Result<ObjectRead, ReadError> {
        let (range, parts_count) = match request.selection {
            Selection::Whole => (GetRange::Whole, None),
            Selection::Range(range) => (range, None),
            Selection::Part(number) => self.range_of_part(name, number).await?,
        };
        let is_whole = range == GetRange::Whole;
        let wants_checksum = is_whole && request.checksum;
        let options = GetOptions {
            version: request.version,
            checksum: wants_checksum,
            ..GetOptions::default()
        };
        let bytes = if request.head_only { GetRange::Head } else { range };
        let (bucket, key) = (name.bucket.clone(), name.key.clone());
        let (stored, body) = self.get(&bucket, &key, bytes, options).await?;
        request.conditions.check(&stored.head).map_err(ReadError::Unmet)?;
        let size_bytes = stored.head.size_bytes;
        let range = if is_whole {
            None
        } else {
            Some(range.span(size_bytes).ok_or(ReadError::Range { size_bytes })?)
        };
        let checksum = if wants_checksum { self.checksum_of(name, &stored).await? } else { None };
        Ok(ObjectRead { stored, body, range, parts_count, checksum })
    }

    /// Reads what is known of an object besides its bytes.
    pub async fn attributes(
        &self,
        name: ObjectName<'_>,
        wants_checksum: bool,
        wants_parts: bool,
    ) -> Result<ObjectAttributes, ReadError> {
        let (bucket, key): (Bucket, Key) = (name.bucket.clone(), name.key.clone());
        let options = GetOptions { checksum: true, ..GetOptions::default() };
        let (stored, _) = self.get(&bucket, &key, GetRange::Head, options).await?;
        let checksum = if wants_checksum { self.checksum_of(name, &stored).await? } else { None };
        let parts = if wants_parts { self.parts_of(name, &stored).await? } else { Vec::new() };
        let parts_count = Some(parts.len()).filter(|count| *count > 0);
        Ok(ObjectAttributes { stored, checksum, parts_count })
    }

    /// The bytes of a part, and how many parts there are. An object that was not made of parts is
    /// its own part 1.
    async fn range_of_part(
        &self,
        name: ObjectName<'_>,
        number: PartNumber,
    ) -> Result<(GetRange, Option<usize>), ReadError> {
        let (bucket, key) = (name.bucket.clone(), name.key.clone());
        let (stored, _) = self.get(&bucket, &key, GetRange::Head, GetOptions::default()).await?;
        let parts = self.parts_of(name, &stored).await?;
        let index = usize::from(number.get()) - 1;
        if parts.is_empty() && index == 0 {
            return Ok((GetRange::Whole, None));
        }
        let part = parts.get(index).ok_or(ReadError::NoSuchPart)?;
        let first: u64 = parts[..index].iter().map(|part| part.size_bytes).sum();
        let range = match part.size_bytes {
            0 => GetRange::Whole,
            len => GetRange::Range { first, last: first + (len - 1) },
        };
        Ok((range, Some(parts.len())))
    }

    /// The parts that an object was made of; empty if it was put whole, or not by this gateway.
    async fn parts_of(
        &self,
        name: ObjectName<'_>,
        stored: &Stored,
    ) -> upload::Result<Vec<PartEntry>> {
        match self.session_of(name, stored).await? {
            Some(session) => session.completed_parts().await,
            None => Ok(Vec::new()),
        }
    }

    async fn checksum_of(
        &self,
        name: ObjectName<'_>,
        stored: &Stored,
    ) -> upload::Result<Option<ObjectChecksum>> {
        if let Some(checksum) = &stored.checksum {
            let (algorithm, value) = (checksum.algorithm(), checksum.base64());
            return Ok(Some(ObjectChecksum { algorithm, value, kind: ChecksumKind::FullObject }));
        }
        let session = self.session_of(name, stored).await?;
        Ok(session.and_then(|session| {
            session.root().finished().and_then(|object| object.checksum.clone())
        }))
    }

    /// The completed session that made an object.
    async fn session_of(
        &self,
        name: ObjectName<'_>,
        stored: &Stored,
    ) -> upload::Result<Option<Session>> {
        let Some(tag) = &stored.upload_tag else { return Ok(None) };
        self.uploads.completed_with_tag(name.account, name.bucket, name.key, tag).await
    }
}
