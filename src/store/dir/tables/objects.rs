//! The table of objects.
//!
//! Guarantees: the condition of a put or delete is decided against the change before it.

use redb::{ReadableTable, TableDefinition};

use super::super::super::conditions::require_null_version;
use super::super::super::{Bucket, DeleteOptions, Error, Key, Kind, PutMode, Result, Tags};
use super::object_row::ObjectRow;
use super::{Tables, index_error};

/// `<bucket>/<key>` → `ObjectRow`. No bucket name contains a `/`, so the keys of one bucket are
/// adjacent, in byte order.
pub(in super::super) const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");

/// The key of an object's row.
pub(in super::super) fn object_key(bucket: &Bucket, key: &str) -> String {
    format!("{bucket}/{key}")
}

impl Tables<'_> {
    pub(super) fn object(&self, row_key: &str) -> Result<Option<ObjectRow>> {
        let row = self.objects.get(row_key).map_err(index_error)?;
        row.map(|row| ObjectRow::decode(row.value())).transpose()
    }

    /// Stores an object if its condition holds; a body that is not small is moved from the row into
    /// a pack. **Errors**: `NoSuchBucket`, `Precondition`,
    /// `NotFound`.
    pub fn put(
        &mut self,
        bucket: &Bucket,
        key: &Key,
        mode: &PutMode,
        mut row: ObjectRow,
    ) -> Result<()> {
        self.require_bucket(bucket)?;
        let row_key = object_key(bucket, key.as_str());
        let old = self.object(&row_key)?;
        mode.check(old.as_ref().map(|old| &old.etag), key)?;
        self.pack(&row_key, &mut row);
        // Before the old ones are released: a copy may share them.
        self.add_files(row.files())?;
        self.replace(&row_key, old.as_ref(), &row)
    }

    /// Writes an object's row, whose files are recorded, and releases the content of the object
    /// that it replaces.
    pub(super) fn replace(
        &mut self,
        row_key: &str,
        old: Option<&ObjectRow>,
        row: &ObjectRow,
    ) -> Result<()> {
        self.objects.insert(row_key, row.encode().as_slice())?;
        old.map_or(Ok(()), |old| self.release(row_key, old))
    }

    /// Replaces the tags in an object's row. **Errors**: `NoSuchBucket`, `NotFound`.
    pub fn set_tags(&mut self, bucket: &Bucket, key: &Key, tags: Tags) -> Result<()> {
        self.require_bucket(bucket)?;
        let row_key = object_key(bucket, key.as_str());
        let missing = || Error::new(Kind::NotFound, format!("no object {key}"));
        let mut row = self.object(&row_key)?.ok_or_else(missing)?;
        row.attributes.tags = tags;
        // Not `replace`: the files stay the object's.
        self.objects.insert(row_key.as_str(), row.encode().as_slice())?;
        Ok(())
    }

    /// Removes an object if the conditions hold; success if there is none. **Errors**:
    /// `NoSuchBucket`, `NoSuchVersion`, and those of the conditions.
    pub fn delete(&mut self, bucket: &Bucket, key: &Key, options: &DeleteOptions) -> Result<()> {
        self.require_bucket(bucket)?;
        require_null_version(options.version.as_deref(), key)?;
        let row_key = object_key(bucket, key.as_str());
        let old = self.object(&row_key)?;
        options.conditions.check(old.as_ref().map(ObjectRow::as_existing), key)?;
        let Some(old) = old else { return Ok(()) };
        self.objects.remove(row_key.as_str())?;
        self.release(&row_key, &old)
    }
}
