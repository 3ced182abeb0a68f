//! What is read of a key: the chunks of the backup that made its object, or the plain object.
//!
//! Guarantees: what a backup recorded is checked chunk by chunk; a plain object by its own
//! checksum, when all of its bytes were read.

use bytes::Bytes;

use super::plain::{Check, PlainObject};
use super::{CompleteBackup, current_etag};
use crate::client::{Error, Result, Target, Transport, chunking::Chunking};
use crate::digest::Sha256;

pub(in crate::client) enum Readable {
    Backup(Box<CompleteBackup>),
    Plain(Box<PlainObject>),
}

impl Readable {
    /// None for a plain object.
    pub fn backup_id(&self) -> Option<String> {
        match self {
            Self::Backup(backup) => Some(backup.id().to_owned()),
            Self::Plain(_) => None,
        }
    }

    pub fn plain(&self) -> Option<&PlainObject> {
        match self {
            Self::Backup(_) => None,
            Self::Plain(plain) => Some(plain),
        }
    }

    /// What its bytes are checked by, in words.
    pub fn checked_by(&self) -> String {
        match self {
            Self::Backup(_) => "SHA-256 of each chunk".to_owned(),
            Self::Plain(plain) => plain.check().to_string(),
        }
    }

    /// Whether there is no checksum, so that only the length is checked.
    pub fn is_unchecked(&self) -> bool {
        self.plain().is_some_and(|plain| *plain.check() == Check::Length)
    }

    pub fn chunking(&self) -> Chunking {
        match self {
            Self::Backup(backup) => backup.chunking(),
            Self::Plain(plain) => plain.chunking(),
        }
    }

    /// None for a plain object.
    pub fn checksum_of(&self, index: u64) -> Option<&Sha256> {
        match self {
            Self::Backup(backup) => backup.checksum_of(index),
            Self::Plain(_) => None,
        }
    }

    /// Reads one chunk. **Errors**: `CorruptChunk`, `UnreadableChunk`, `ObjectChanged`.
    pub async fn fetch(&self, transport: &Transport, index: u64) -> Result<Bytes> {
        match self {
            Self::Backup(backup) => backup.fetch(transport, index).await,
            Self::Plain(plain) => plain.fetch(transport, index).await,
        }
    }

    /// Reads all chunks. For what is small.
    pub async fn fetch_all(&self, transport: &Transport) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for index in 0..self.chunking().count() {
            bytes.extend_from_slice(&self.fetch(transport, index).await?);
        }
        if let Self::Plain(plain) = self {
            let mut checking = plain.check().start();
            checking.update(&bytes);
            plain.require(checking)?;
        }
        Ok(bytes)
    }

    /// **Errors**: `ObjectChanged` if the target names another object by now, or none.
    pub async fn require_current(&self, transport: &Transport, target: &Target) -> Result<()> {
        match self {
            Self::Backup(backup) => backup.require_current(transport, target).await,
            Self::Plain(plain) => match current_etag(transport, target).await? {
                Some(etag) if etag == plain.head().etag => Ok(()),
                _ => Err(Error::ObjectChanged(target.to_string())),
            },
        }
    }
}
