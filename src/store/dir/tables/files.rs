//! The tables of files: those that objects and parts consist of, and those to be removed.
//!
//! Guarantees: a file is in at most one of the two tables.

use redb::TableDefinition;

use super::super::super::Result;
use super::rows::FileRef;
use super::{Tables, index_error};

/// Ids of the files that an object or part consists of.
pub(in super::super) const FILES: TableDefinition<&str, ()> = TableDefinition::new("files");
/// Ids of the files that no object or part refers to any more, until they are removed.
pub(in super::super) const GARBAGE: TableDefinition<&str, ()> = TableDefinition::new("garbage");

impl Tables<'_> {
    /// Records files that an object or part refers to.
    pub(super) fn add_files(&mut self, files: &[FileRef]) -> Result<()> {
        for file in files {
            self.files.insert(file.id.as_str(), ()).map_err(index_error)?;
        }
        Ok(())
    }

    /// Records that nothing refers to these files any more.
    pub(super) fn release_files(&mut self, files: &[FileRef]) -> Result<()> {
        for file in files {
            self.files.remove(file.id.as_str()).map_err(index_error)?;
            self.garbage.insert(file.id.as_str(), ()).map_err(index_error)?;
            self.releases_files = true;
        }
        Ok(())
    }

    /// Deletes the records of garbage files that are removed from the disk.
    pub fn delete_garbage_records(&mut self, ids: &[String]) -> Result<()> {
        for id in ids {
            self.garbage.remove(id.as_str()).map_err(index_error)?;
        }
        Ok(())
    }
}
