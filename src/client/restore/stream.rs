//! Restores an object in order, to stdout or to what cannot be replaced by a file.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::byte_range::{bytes_to_restore, clip};
use super::destination::open_stream;
use super::{RestoreOptions, RestoreReport};
use crate::client::{
    Error, Progress, Result, Transport,
    attributes::Kept,
    remote::{Current, MAX_LOOKS, Readable},
};

/// Where the bytes go: stdout, or what has this path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sink<'a> {
    Stdout,
    Path(&'a Path),
}

/// Writes the object.
pub(super) async fn restore_in_order(
    transport: &Transport,
    mut current: Current,
    sink: Sink<'_>,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<RestoreReport> {
    let mut looks = 1;
    loop {
        let readable = current.open(transport).await?;
        match write(transport, &readable, sink, options, progress).await {
            // Another object can take its place only while nothing of this one was written.
            Err(error)
                if error.is_object_changed()
                    && progress.transferred() == 0
                    && looks < MAX_LOOKS =>
            {
                looks += 1;
                current = Current::find(transport, &current.target).await?;
            }
            Err(error) => return Err(error),
            Ok(()) => {
                return Ok(RestoreReport {
                    backup_id: readable.backup_id(),
                    checked_by: readable.checked_by(),
                    unchecked: readable.is_unchecked(),
                    bytes_read: progress.transferred(),
                    bytes_kept: 0,
                    kept: Kept::default(),
                });
            }
        }
    }
}

async fn write(
    transport: &Transport,
    readable: &Readable,
    sink: Sink<'_>,
    options: RestoreOptions,
    progress: &Progress,
) -> Result<()> {
    let chunking = readable.chunking();
    let range = bytes_to_restore(options.range, chunking.size())?;
    let len = range.end - range.start;
    let (file, path) = sink.open(len, progress).await?;
    progress.add_expected(len);
    let plain = readable.plain().filter(|_| options.range.is_none());
    let mut checking = plain.map(|plain| plain.check().start());
    let range = &range;
    let fetches = stream::iter(chunking.chunks_of(range)).map(|index| async move {
        let chunk = readable.fetch(transport, index).await?;
        Ok::<_, Error>(clip(&chunk, chunking.offset_of(index), range))
    });
    let mut fetches = fetches.buffered(options.max_concurrent_chunks());
    while let Some(bytes) = fetches.try_next().await? {
        let (file, len, mut running) = (Arc::clone(&file), bytes.len() as u64, checking.take());
        let written = tokio::task::spawn_blocking(move || {
            if let Some(running) = &mut running {
                running.update(&bytes);
            }
            (&*file).write_all(&bytes).map(|()| running)
        });
        let written = written.await.map_err(std::io::Error::other).flatten();
        checking = written.map_err(Error::io(&path, "cannot be written"))?;
        progress.add_transferred(len);
    }
    if let (Some(plain), Some(checking)) = (plain, checking) {
        plain.require(checking)?;
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
