//! Rows of an older index in a new one.
//!
//! Guarantees: the tables of files follow from the rows of objects and parts, whatever the older
//! index had; a row's bucket exists.

use redb::ReadableTable;

use super::super::super::Result;
use super::object_row::ObjectRow;
use super::rows::PartRow;
use super::{Tables, index_error};

impl Tables<'_> {
    /// Takes a bucket over; keeps the time of one that is there.
    pub fn restore_bucket(&mut self, name: &str, created_ms: u64) -> Result<()> {
        if self.buckets.get(name).map_err(index_error)?.is_none() {
            self.buckets.insert(name, created_ms)?;
        }
        Ok(())
    }

    pub fn restore_object(&mut self, row_key: &str, row: &ObjectRow) -> Result<()> {
        let bucket = row_key.split_once('/').map_or(row_key, |(bucket, _)| bucket);
        self.restore_bucket(bucket, row.modified_ms)?;
        self.objects.insert(row_key, row.encode().as_slice())?;
        self.restore_packed(row_key, row)?;
        self.add_files(row.files())
    }

    /// Takes an upload over; its bucket must be there.
    pub fn restore_upload(&mut self, upload: &str, row: &[u8]) -> Result<()> {
        self.uploads.insert(upload, row)?;
        Ok(())
    }

    pub fn restore_part(&mut self, key: (&str, u16), row: &PartRow) -> Result<()> {
        self.parts.insert(key, super::rows::to_json(row).as_slice())?;
        self.add_files(row.files())
    }

    /// Takes garbage over, unless a row refers to the file.
    pub fn restore_garbage(&mut self, id: &str) -> Result<()> {
        if self.files.get(id).map_err(index_error)?.is_none() {
            self.garbage.insert(id, ())?;
        }
        Ok(())
    }
}
