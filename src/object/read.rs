//! Reading an object as the S3 front needs it: by range or part number, with its checksum.
//!
//! Guarantees: the parts and the checksum of an object that was made of parts are those that the
//! records of its upload say, found by the tag in its metadata, so they are never those of an older
//! object of the same key. The conditions are decided before a range or part that does not exist
//! is refused. Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.

use crate::digest::Algorithm;
use crate::names::{AccountName, Bucket, Key};
use crate::store::{Body, GetOptions, GetRange, Kind, PartNumber};
use crate::upload::{self, ChecksumKind, ObjectChecksum, PartEntry, S3Terms, Session};

use super::{Conditions, IfRange, Objects, ReadError, Stored, Unmet};

/// An object, and the account that reads it.
#[derive(Clone, Copy, Debug)]
pub struct ObjectName<'a> {
    pub account: &'a AccountName,
    pub bucket: &'a Bucket,
    pub key: &'a Key,
    /// None: the current one.
    pub version: Option<&'a str>,
}

impl ObjectName<'_> {
    fn version(&self) -> Option<String> {
        self.version.map(str::to_owned)
    }
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
    /// Whether the checksum of the object, or of the selected part, is to be found; never for a
    /// range.
    pub checksum: bool,
    pub conditions: Conditions,
    /// Where it does not hold, the whole object is read instead of a range.
    pub if_range: Option<IfRange>,
}

impl ReadRequest {
    fn check(&self, stored: &Stored) -> Result<(), ReadError> {
        self.conditions.check(&stored.head).map_err(|unmet| match unmet {
            Unmet::Precondition => ReadError::Precondition,
            Unmet::NotModified => ReadError::NotModified(Box::new(stored.clone())),
        })
    }
}

/// The bytes that a selection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    Whole,
    /// The whole object, as its only part.
    WholePart,
    Of(GetRange),
    /// Those of an empty part, which begins here.
    NoneAt(u64),
}

/// What became of a read.
enum Selected {
    Read(Box<ObjectRead>),
    /// The object is no longer the one that `If-Range` means.
    Changed,
}

/// An object that was read.
#[derive(Debug)]
pub struct ObjectRead {
    pub stored: Stored,
    /// The selected bytes; empty for a read of the head only.
    pub body: Body,
    /// `[first, end)` of the selected bytes, if a range or part was selected; `first == end` for a
    /// part without bytes.
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
    /// In order; empty: not made of parts, or not asked for.
    pub parts: Vec<PartEntry>,
    /// The algorithm of the parts' checksums.
    pub algorithm: Option<Algorithm>,
}

/// A part of an object.
struct FoundPart {
    bytes: Bytes,
    /// How many parts the object was made of, if it was made of parts.
    count: Option<usize>,
    checksum: Option<ObjectChecksum>,
}

impl FoundPart {
    fn without_parts(bytes: Bytes) -> Self {
        Self { bytes, count: None, checksum: None }
    }
}

/// The algorithm and kind of the checksum of the object that an S3 upload made.
fn object_checksum(session: &Session) -> Option<(Algorithm, ChecksumKind)> {
    session.root().s3.as_ref().map(S3Terms::object_checksum)
}

impl Objects {
    /// Reads an object. The body can fail half-way.
    pub async fn read(
        &self,
        name: ObjectName<'_>,
        request: ReadRequest,
    ) -> Result<ObjectRead, ReadError> {
        let whole = || ReadRequest { selection: Selection::Whole, ..request.clone() };
        match self.read_selected(name, &request).await? {
            Selected::Read(read) => Ok(*read),
            // In a box, as all that few reads need: in line, every read would be as large.
            Selected::Changed => match Box::pin(self.read_selected(name, &whole())).await? {
                Selected::Read(read) => Ok(*read),
                // Only a range depends on `If-Range`.
                Selected::Changed => Err(ReadError::Precondition),
            },
        }
    }

    async fn read_selected(
        &self,
        name: ObjectName<'_>,
        request: &ReadRequest,
    ) -> Result<Selected, ReadError> {
        let FoundPart { bytes, count: parts_count, checksum: of_part } = match request.selection {
            Selection::Whole => FoundPart::without_parts(Bytes::Whole),
            Selection::Range(range) => FoundPart::without_parts(Bytes::Of(range)),
            Selection::Part(number) => Box::pin(self.find_part(name, number, request)).await?,
        };
        let is_whole = matches!(bytes, Bytes::Whole | Bytes::WholePart);
        let wants_checksum = is_whole && request.checksum;
        let options = GetOptions {
            version: name.version(),
            checksum: wants_checksum,
            ..GetOptions::default()
        };
        let read = match bytes {
            _ if request.head_only => GetRange::Head,
            Bytes::Whole | Bytes::WholePart => GetRange::Whole,
            Bytes::Of(range) => range,
            Bytes::NoneAt(_) => GetRange::Head,
        };
        let (stored, body) = match self.get(name.bucket, name.key, read, options).await {
            // The conditions come first, and they need the object's head.
            Err(error) if error.kind() == Kind::Range => {
                let options = GetOptions { version: name.version(), ..GetOptions::default() };
                self.get(name.bucket, name.key, GetRange::Head, options).await?
            }
            opened => opened?,
        };
        request.check(&stored)?;
        let is_range = matches!(request.selection, Selection::Range(_));
        if is_range && request.if_range.as_ref().is_some_and(|known| !known.holds(&stored.head)) {
            return Ok(Selected::Changed);
        }
        let size_bytes = stored.head.size_bytes;
        let range = match bytes {
            Bytes::Whole => None,
            Bytes::WholePart => Some((0, size_bytes)).filter(|_| size_bytes > 0),
            Bytes::Of(range) => {
                Some(range.span(size_bytes).ok_or(ReadError::Range { size_bytes })?)
            }
            Bytes::NoneAt(first) => Some((first, first)),
        };
        let checksum = if wants_checksum {
            Box::pin(self.checksum_of(name, &stored)).await?
        } else {
            of_part.filter(|_| request.checksum)
        };
        Ok(Selected::Read(Box::new(ObjectRead { stored, body, range, parts_count, checksum })))
    }

    /// Reads what is known of an object besides its bytes.
    pub async fn attributes(
        &self,
        name: ObjectName<'_>,
        wants_checksum: bool,
        wants_parts: bool,
    ) -> Result<ObjectAttributes, ReadError> {
        let options = GetOptions {
            version: name.version(),
            checksum: wants_checksum,
            ..GetOptions::default()
        };
        let (stored, _) = self.get(name.bucket, name.key, GetRange::Head, options).await?;
        let checksum = if wants_checksum { self.checksum_of(name, &stored).await? } else { None };
        let session = if wants_parts { self.session_of(name, &stored).await? } else { None };
        let Some(session) = session else {
            return Ok(ObjectAttributes { stored, checksum, parts: Vec::new(), algorithm: None });
        };
        let algorithm = object_checksum(&session).map(|(algorithm, _)| algorithm);
        let parts = session.completed_parts().await?;
        Ok(ObjectAttributes { stored, checksum, parts, algorithm })
    }

    /// The bytes of a part. An object that was not made of parts is its own part 1.
    async fn find_part(
        &self,
        name: ObjectName<'_>,
        number: PartNumber,
        request: &ReadRequest,
    ) -> Result<FoundPart, ReadError> {
        let options = GetOptions { version: name.version(), ..GetOptions::default() };
        let (stored, _) = self.get(name.bucket, name.key, GetRange::Head, options).await?;
        request.check(&stored)?;
        let session = self.session_of(name, &stored).await?;
        let parts = match &session {
            Some(session) => session.completed_parts().await?,
            None => Vec::new(),
        };
        let index = usize::from(number.get()) - 1;
        if parts.is_empty() && index == 0 {
            return Ok(FoundPart::without_parts(Bytes::WholePart));
        }
        let count = parts.len().max(1);
        let part = parts.get(index).ok_or(ReadError::NoSuchPart { number, count })?;
        let first: u64 = parts[..index].iter().map(|part| part.size_bytes).sum();
        let bytes = match part.size_bytes {
            0 => Bytes::NoneAt(first),
            len => Bytes::Of(GetRange::Range { first, last: first + (len - 1) }),
        };
        let checksum = session.as_ref().and_then(object_checksum).and_then(|(algorithm, kind)| {
            let value = part.record.checksum(algorithm)?.base64();
            Some(ObjectChecksum { algorithm, value, kind })
        });
        Ok(FoundPart { bytes, count: Some(parts.len()), checksum })
    }

    async fn checksum_of(
        &self,
        name: ObjectName<'_>,
        stored: &Stored,
    ) -> upload::Result<Option<ObjectChecksum>> {
        let session = self.session_of(name, stored).await?;
        let of_upload = session.and_then(|session| session.root().finished()?.checksum.clone());
        // A store may have a checksum of its own for an object that is made of parts.
        Ok(of_upload.or_else(|| {
            let checksum = stored.checksum.as_ref()?;
            let (algorithm, value) = (checksum.algorithm(), checksum.base64());
            Some(ObjectChecksum { algorithm, value, kind: ChecksumKind::FullObject })
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
