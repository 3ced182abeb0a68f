//! Backs up what lies at a path, with its attributes: a file, a directory, a link, a special file.
//!
//! Guarantees: attributes that changed while the bytes did not are kept without sending the bytes
//! again.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::empty::backup_empty;
use super::upload::backup_source;
use super::{BackupOptions, BackupReport, Known};
use crate::client::{
    Error, Progress, Result, Target, Transport,
    attributes::{
        AttributeEntries, Attributes, attributes_of, attributes_of_path, backup_attributes,
        fits_in_metadata, shown,
    },
    remote::{AtTarget, Occupied},
    source::FileSource,
};

/// The key of what is backed up, and what only the directory that it lies in shows.
pub(in crate::client) struct Place<'a> {
    pub target: &'a Target,
    /// What is there already around it.
    pub occupied: &'a Occupied,
    pub hard_link: Option<String>,
    pub name: Option<Vec<u8>>,
}

/// Backs up a file with its attributes. A link is followed. **Errors**: `SourceChanged`, `Problem`,
/// `Unreachable`; running the command again continues where it failed.
pub async fn backup_file(
    transport: &Transport,
    path: &Path,
    target: &Target,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupReport> {
    let progress = &progress.only_file(&shown(path));
    let source = FileSource::open(path, options.chunk_size)?;
    let path = &fs::canonicalize(path).map_err(Error::io(path, "cannot be opened"))?;
    let attributes = attributes_of(path, &source.metadata()?)?;
    let (occupied, options) = (None, options.clone());
    let with_attributes =
        WithAttributes { transport, target, occupied, attributes, options, progress };
    with_attributes.back_up(Some(&source)).await
}

/// Backs up what lies at a path, which is not followed if it is a link.
pub(in crate::client) async fn backup_path(
    transport: &Transport,
    path: &Path,
    place: Place<'_>,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupReport> {
    let named = fs::symlink_metadata(path);
    let named = named.map_err(Error::io(path, "its attributes cannot be read"))?;
    let (source, attributes) = if named.is_file() {
        let source = FileSource::open(path, options.chunk_size)?;
        let attributes = attributes_of(path, &source.metadata()?)?;
        (Some(source), attributes)
    } else if named.is_symlink() {
        let link = fs::read_link(path).map_err(Error::io(path, "cannot be read"))?;
        let source = FileSource::of_bytes(link.as_os_str().as_bytes(), options.chunk_size)?;
        (Some(source), attributes_of_path(path)?)
    } else {
        (None, attributes_of_path(path)?)
    };
    let Place { target, occupied, hard_link, name } = place;
    let attributes = Attributes { hard_link, name, ..attributes };
    let (occupied, options) = (Some(occupied), options.clone());
    let with_attributes =
        WithAttributes { transport, target, occupied, attributes, options, progress };
    with_attributes.back_up(source.as_ref()).await
}

/// Backs up a source whose bytes may be backed up already, with attributes that are known.
pub(in crate::client) async fn backup_again(
    transport: &Transport,
    source: &FileSource,
    target: &Target,
    attributes: Attributes,
    options: &BackupOptions,
    progress: &Progress,
) -> Result<BackupReport> {
    let options = BackupOptions { known: Known::Replace, ..options.clone() };
    let occupied = None;
    let with_attributes =
        WithAttributes { transport, target, occupied, attributes, options, progress };
    with_attributes.back_up(Some(source)).await
}

struct WithAttributes<'a> {
    transport: &'a Transport,
    target: &'a Target,
    /// None: it is asked for.
    occupied: Option<&'a Occupied>,
    attributes: Attributes,
    options: BackupOptions,
    progress: &'a Progress,
}

impl WithAttributes<'_> {
    async fn back_up(&self, source: Option<&FileSource>) -> Result<BackupReport> {
        let Self { transport, target, attributes, progress, .. } = self;
        let wanted = attributes.to_metadata();
        let fits = fits_in_metadata(&wanted);
        let metadata =
            if fits { wanted.clone() } else { attributes.without_xattrs().to_metadata() };
        let options = BackupOptions { metadata, ..self.options.clone() };
        let at_target =
            self.occupied.map_or(AtTarget::Unknown, |occupied| occupied.at(&target.key));
        let report = match source.filter(|source| source.chunking().size() > 0) {
            Some(source) => {
                backup_source(transport, source, target, &options, progress, at_target).await?
            }
            None => backup_empty(transport, target, &options, progress, at_target).await?,
        };
        // An entry that is there counts more than the object, so it must be as wanted too.
        if report.metadata != wanted || self.has_entry(&report.backup_id).await? {
            let of = (report.backup_id.as_str(), attributes);
            backup_attributes(transport, target, of, &options, progress, self.occupied).await?;
        }
        Ok(report)
    }

    async fn has_entry(&self, backup_id: &str) -> Result<bool> {
        match self.occupied {
            Some(occupied) => Ok(occupied.entries.has(backup_id)),
            None => {
                let entries = AttributeEntries::of_key(self.transport, self.target).await?;
                Ok(entries.has(backup_id))
            }
        }
    }
}
