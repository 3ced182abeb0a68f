//! The tables of files: those that objects and parts consist of, and those to be removed.
//!
//! Guarantees: a file is either in use or garbage; it becomes garbage with the last reference to
//! it.

use redb::{ReadableTable, TableDefinition};

use super::super::super::Result;
use super::rows::FileRef;
use super::{Tables, index_error};

/// Ids of the files that an object or part consists of.
pub(in super::super) const FILES: TableDefinition<&str, ()> = TableDefinition::new("files");
/// Id of a file → how many references there are to it beyond the first; a file without a row has
/// one. An index of an older version has no rows, as it has no copies.
pub(in super::super) const SHARED: TableDefinition<&str, u64> = TableDefinition::new("shared");
/// Ids of the files that no object or part refers to any more, until they are removed.
pub(in super::super) const GARBAGE: TableDefinition<&str, ()> = TableDefinition::new("garbage");

impl Tables<'_> {
    /// Records one more reference to each of these files: by an object or part.
    pub(super) fn add_files<'a>(
        &mut self,
        files: impl IntoIterator<Item = &'a FileRef>,
    ) -> Result<()> {
        for file in files {
            if self.files.insert(file.id.as_str(), ())? {
                let more = self.more_references(&file.id)? + 1;
                self.shared.insert(file.id.as_str(), more)?;
            }
        }
        Ok(())
    }

    fn more_references(&self, id: &str) -> Result<u64> {
        Ok(self.shared.get(id).map_err(index_error)?.map_or(0, |row| row.value()))
    }

    /// Records one reference less to each of these files. A file without any becomes garbage.
    pub(super) fn release_files<'a>(
        &mut self,
        files: impl IntoIterator<Item = &'a FileRef>,
    ) -> Result<()> {
        for file in files {
            match self.more_references(&file.id)? {
                0 => {}
                1 => {
                    self.shared.remove(file.id.as_str())?;
                    continue;
                }
                more => {
                    self.shared.insert(file.id.as_str(), more - 1)?;
                    continue;
                }
            }
            self.files.remove(file.id.as_str())?;
            self.garbage.insert(file.id.as_str(), ())?;
            self.releases_files = true;
        }
        Ok(())
    }

    /// Deletes the records of garbage files that are removed from the disk.
    pub fn delete_garbage_records(&mut self, ids: &[String]) -> Result<()> {
        for id in ids {
            self.garbage.remove(id.as_str())?;
        }
        Ok(())
    }
}
