//! The object that a key names now, and the backup that made it.
//!
//! Guarantees: a backup counts as the object's only if its ETag and length are the object's. An
//! object without a backup is read as it is.

use super::object::{ListedObject, ObjectHead, object_head};
use super::plain::PlainObject;
use super::{CompleteBackup, Readable, complete_backups, no_object, single_newest};
use crate::api::Summary;
use crate::client::{
    Result, Target, Transport,
    attributes::{AttributeEntries, Attributes},
};

/// How often an object is looked at again that is replaced while it is read.
pub(in crate::client) const MAX_LOOKS: usize = 4;

#[derive(Clone)]
pub(in crate::client) struct Current {
    pub target: Target,
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// None if no backup made the object.
    pub backup: Option<Summary>,
    /// Whether no other backup of the key was completed in the same second, or later.
    pub is_newest: bool,
}

impl Current {
    /// **Errors**: `NotDone` if there is no object.
    pub async fn find(transport: &Transport, target: &Target) -> Result<Self> {
        match Self::look(transport, target).await? {
            Some(current) => Ok(current),
            None => Err(no_object(transport, target).await),
        }
    }

    /// None if there is no object.
    pub async fn look(transport: &Transport, target: &Target) -> Result<Option<Self>> {
        let Some(head) = object_head(transport, target).await? else { return Ok(None) };
        let backups = complete_backups(transport, target).await?;
        Ok(Some(Self::of(target, (head.etag, head.size), &backups)))
    }

    /// `backups` are those of the key, the newest first.
    pub fn of_listed(target: Target, object: ListedObject, backups: &[Summary]) -> Self {
        Self::of(&target, (object.etag, object.size), backups)
    }

    fn of(target: &Target, (etag, size): (String, u64), backups: &[Summary]) -> Self {
        let backup = backup_of((&etag, size), backups).cloned();
        let newest = single_newest(backups).map(|newest| &newest.backup_id);
        let is_newest = backup.as_ref().is_some_and(|backup| Some(&backup.backup_id) == newest);
        Self { target: target.clone(), etag, size, backup, is_newest }
    }

    /// **Errors**: `NotDone` if there is no object any more.
    pub async fn open(&self, transport: &Transport) -> Result<Readable> {
        if let Some(backup) = &self.backup
            && let Some(backup) = CompleteBackup::open(transport, backup).await?
        {
            return Ok(Readable::Backup(Box::new(backup)));
        }
        let head = self.head(transport).await?;
        let plain = PlainObject::open(transport, &self.target, head).await?;
        Ok(Readable::Plain(Box::new(plain)))
    }

    /// What is kept of the file besides its bytes.
    pub async fn attributes(
        &self,
        transport: &Transport,
        entries: &AttributeEntries,
    ) -> Result<Attributes> {
        match &self.backup {
            Some(backup) => entries.attributes_of(transport, backup).await,
            None => {
                let head = self.head(transport).await?;
                Ok(Attributes::from_metadata(&head.metadata, &self.target.key))
            }
        }
    }

    async fn head(&self, transport: &Transport) -> Result<ObjectHead> {
        match object_head(transport, &self.target).await? {
            Some(head) => Ok(head),
            None => Err(no_object(transport, &self.target).await),
        }
    }
}

/// The newest of these complete backups that made the object with this ETag and length.
fn backup_of<'a>((etag, size): (&str, u64), newest_first: &'a [Summary]) -> Option<&'a Summary> {
    newest_first.iter().find(|backup| {
        backup.object.as_ref().is_some_and(|object| object.etag == etag && object.size == size)
    })
}
