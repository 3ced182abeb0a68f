//! Restores a backup in order, to stdout or to what cannot be replaced by a file.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::byte_range::{bytes_to_restore, clip};
use super::destination::open_stream;
use super::{RestoreOptions, RestoreReport};
use crate::api::Summary;
use crate::client::{
    Error, Progress, Result, Target, Transport,
    attributes::Kept,
    remote::{CompleteBackup, no_complete_backup},
};

/// Where the bytes go: stdout, or what has this path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sink<'a> {
    Stdout,
    Path(&'a Path),
}

/// Writes the first of these backups whose object still exists.
pub(super) async fn restore_in_order(
    transport: &Transport,
    (target, backups): (&Target, &[Summary]),
    sink: Sink<'_>,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    for listed in backups {
        let backup = CompleteBackup::load(transport, listed).await?;
        match write(transport, &backup, sink, options, progress).await {
            // An older backup can replace this one only while nothing of this one was written.
            Err(error) if error.is_object_changed() && progress.transferred() == 0 => {}
            Err(error) => return Err(error),
            Ok(()) => {
                return Ok(RestoreReport {
                    backup_id: backup.id().to_owned(),
                    bytes_read: progress.transferred(),
                    bytes_kept: 0,
                    kept: Kept::default(),
                });
            }
        }
    }
    Err(no_complete_backup(target))
}

async fn write(
    transport: &Transport,
    backup: &CompleteBackup,
    sink: Sink<'_>,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<()> {
    let chunking = backup.chunking();
    let range = bytes_to_restore(options.range, chunking.size())?;
    let len = range.end - range.start;
    let (file, path) = sink.open(len, progress).await?;
    progress.add_expected(len);
    let range = &range;
    let fetches = stream::iter(chunking.chunks_of(range)).map(|index| async move {
        let chunk = backup.fetch(transport, index).await?;
        Ok::<_, Error>(clip(&chunk, chunking.offset_of(index), range))
    });
    let mut fetches = fetches.buffered(options.max_concurrent_chunks());
    while let Some(bytes) = fetches.try_next().await? {
        let (file, len) = (Arc::clone(&file), bytes.len() as u64);
        let written = tokio::task::spawn_blocking(move || (&*file).write_all(&bytes)).await;
        let written = written.map_err(std::io::Error::other).flatten();
        written.map_err(Error::io(&path, "cannot be written"))?;
        progress.add_transferred(len);
    }
    if matches!(sink, Sink::Stdout) {
        return Ok(());
    }
    match file.sync_all() {
        // Pipes and most character devices keep nothing that could be synced.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        synced => synced.map_err(Error::io(&path, "cannot be synced")),
    }
}

impl Sink<'_> {
    async fn open(self, len: u64, progress: &Progress) -> Result<(Arc<File>, PathBuf)> {
        match self {
            Self::Stdout => {
                let path = PathBuf::from("-");
                let stdout = std::io::stdout().as_fd().try_clone_to_owned();
                let stdout = stdout.map_err(Error::io(&path, "cannot be written"))?;
                Ok((Arc::new(File::from(stdout)), path))
            }
            // On this thread: opening a FIFO waits for its reader, and there is nothing else to do.
            Self::Path(path) => {
                let file = tokio::task::block_in_place(|| open_stream(path, len, progress))?;
                Ok((Arc::new(file), path.to_owned()))
            }
        }
    }
}
