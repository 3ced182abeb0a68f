//! Restores and verifies complete backups.
//!
//! Guarantees: no byte is written that was not checked against its chunk's SHA-256; a file gets its
//! name only when it is whole and synced; an interrupted restore goes on with what it has. At most
//! `jobs` chunks are in memory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::AsyncWriteExt;

use super::transport::{Call, encoded};
use super::{Error, Progress, Result, Target, Transport};
use crate::api::{BackupList, Manifest, ProblemType, Status, Summary};
use crate::digest::Sha256;

/// How often a chunk is asked for that arrives with another checksum.
const MAX_TRIES: u32 = 3;

/// The bytes `[first, last]` of a file, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    pub first: u64,
    pub last: u64,
}

impl std::str::FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong =
            || format!("{text:?} is no range; write FIRST-LAST, both included, as in 0-1023");
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let (first, last) =
            (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if first <= last { Ok(Self { first, last }) } else { Err(wrong()) }
    }
}

/// What came back.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    pub backup_id: String,
    pub bytes_read: u64,
    pub bytes_kept: u64,
}

/// A complete backup and its chunks.
struct Source {
    summary: Summary,
    size: u64,
    chunks: BTreeMap<u64, Sha256>,
}

/// Restores to a file, by way of `<file>.ratchet-part`. With a range the file holds only those
/// bytes.
pub async fn restore(
    transport: &Transport,
    target: &Target,
    path: &Path,
    terms: (usize, Option<ByteRange>),
    progress: &Progress,
) -> Result<Restored> {
    let (jobs, range) = terms;
    for source in sources(transport, target).await? {
        let source = source.load(transport).await?;
        match restore_from(transport, &source, path, (jobs, range), progress).await {
            Err(error) if error.is(ProblemType::ObjectChanged) => continue,
            Err(error) => return Err(error),
            Ok(()) => {
                return Ok(Restored {
                    backup_id: source.summary.backup_id,
                    bytes_read: progress.sent(),
                    bytes_kept: progress.skipped(),
                });
            }
        }
    }
    Err(none_left(target))
}

/// Restores to stdout, in order.
pub async fn restore_to_stdout(
    transport: &Transport,
    target: &Target,
    terms: (usize, Option<ByteRange>),
    progress: &Progress,
) -> Result<Restored> {
    let (jobs, range) = terms;
    for source in sources(transport, target).await? {
        let source = source.load(transport).await?;
        let span = source.span(range)?;
        progress.expect(span.1 - span.0);
        let source = &source;
        let fetches = stream::iter(source.touched(span)).map(|index| async move {
            let bytes = source.fetch(transport, index).await?;
            Ok::<_, Error>(source.cut(index, &bytes, span))
        });
        let mut fetches = fetches.buffered(jobs.max(1));
        let mut out = tokio::io::stdout();
        let mut written = 0;
        let outcome: Result<()> = async {
            while let Some(bytes) = fetches.try_next().await? {
                out.write_all(&bytes)
                    .await
                    .map_err(Error::io(Path::new("-"), "cannot be written"))?;
                written += bytes.len() as u64;
                progress.moved(bytes.len() as u64);
            }
            out.flush().await.map_err(Error::io(Path::new("-"), "cannot be written"))
        }
        .await;
        match outcome {
            // Only as long as nothing of this one went out.
            Err(error) if error.is(ProblemType::ObjectChanged) && written == 0 => continue,
            Err(error) => return Err(error),
            Ok(()) => {
                let backup_id = source.summary.backup_id.clone();
                return Ok(Restored { backup_id, bytes_read: progress.sent(), bytes_kept: 0 });
            }
        }
    }
    Err(none_left(target))
}

/// Reads every chunk of the newest complete backup again. The chunks that are not as recorded, and
/// how many there are.
pub async fn verify(
    transport: &Transport,
    target: &Target,
    jobs: usize,
    progress: &Progress,
) -> Result<(Vec<u64>, u64)> {
    let source =
        sources(transport, target).await?.into_iter().next().ok_or_else(|| none_left(target))?;
    let source = source.load(transport).await?;
    progress.expect(source.size);
    let source = &source;
    let checks = stream::iter(source.chunks.keys().copied()).map(|index| async move {
        match source.fetch(transport, index).await {
            Ok(bytes) => {
                progress.moved(bytes.len() as u64);
                Ok(None)
            }
            Err(Error::Corrupt { .. }) => Ok(Some(index)),
            Err(error) => Err(error),
        }
    });
    let bad: Vec<Option<u64>> = checks.buffer_unordered(jobs.max(1)).try_collect().await?;
    let mut bad: Vec<u64> = bad.into_iter().flatten().collect();
    bad.sort_unstable();
    Ok((bad, source.chunks.len() as u64))
}

/// The complete backups of exactly this key, the newest first.
pub(super) async fn sources(transport: &Transport, target: &Target) -> Result<Vec<Listed>> {
    let mut exact = of_key(transport, target, Some(Status::Complete)).await?;
    exact.sort_by_key(|found| std::cmp::Reverse(found.0.completed_at));
    if exact.is_empty() { Err(none_left(target)) } else { Ok(exact) }
}

/// All backups below a target.
pub(super) async fn listed(
    transport: &Transport,
    target: &Target,
    status: Option<Status>,
) -> Result<Vec<Listed>> {
    pages(transport, target, "prefix", status).await
}

/// All backups of exactly this key.
pub(super) async fn of_key(
    transport: &Transport,
    target: &Target,
    status: Option<Status>,
) -> Result<Vec<Listed>> {
    pages(transport, target, "key", status).await
}

async fn pages(
    transport: &Transport,
    target: &Target,
    by: &str,
    status: Option<Status>,
) -> Result<Vec<Listed>> {
    let mut query =
        format!("/backups?bucket={}&{by}={}", encoded(&target.bucket), encoded(&target.key));
    if status == Some(Status::Complete) {
        query.push_str("&status=complete");
    }
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = after
            .as_ref()
            .map_or_else(|| query.clone(), |after| format!("{query}&after={}", encoded(after)));
        let list: BackupList = transport.ask(&Call::get(page)).await?;
        found.extend(list.backups.into_iter().map(Listed));
        after = list.next;
        if after.is_none() {
            return Ok(found);
        }
    }
}

/// All backups below a target, open ones first.
pub async fn list(transport: &Transport, target: &Target) -> Result<Vec<Summary>> {
    Ok(listed(transport, target, None).await?.into_iter().map(|found| found.0).collect())
}

/// A backup as the list has it.
pub(super) struct Listed(pub Summary);

impl Listed {
    async fn load(self, transport: &Transport) -> Result<Source> {
        let manifest: Manifest =
            transport.ask(&Call::get(format!("/backups/{}", self.0.backup_id))).await?;
        let chunks: BTreeMap<u64, Sha256> = manifest
            .chunks
            .iter()
            .filter_map(|(index, sum)| Some((index.parse().ok()?, sum.parse().ok()?)))
            .collect();
        let size = manifest.summary.object.as_ref().map(|object| object.size);
        let size = size.ok_or_else(|| {
            Error::NotDone(format!("backup {} is not complete", self.0.backup_id))
        })?;
        if chunks.len() as u64 != size.div_ceil(self.0.chunk_size.max(1)) {
            return Err(Error::NotDone(format!(
                "the manifest of {} does not name all its chunks",
                self.0.backup_id
            )));
        }
        Ok(Source { summary: manifest.summary, size, chunks })
    }
}

impl Source {
    /// The bytes `[first, end)` that are wanted.
    fn span(&self, range: Option<ByteRange>) -> Result<(u64, u64)> {
        let Some(range) = range else { return Ok((0, self.size)) };
        if range.first >= self.size {
            return Err(Error::WrongUse(format!(
                "the file has {} bytes, and none of the range",
                self.size
            )));
        }
        Ok((range.first, range.last.saturating_add(1).min(self.size)))
    }

    /// The chunks that hold a byte of the span.
    fn touched(&self, (first, end): (u64, u64)) -> std::ops::Range<u64> {
        first / self.summary.chunk_size..end.div_ceil(self.summary.chunk_size)
    }

    /// The part of a chunk that is within the span.
    fn cut(&self, index: u64, bytes: &Bytes, (first, end): (u64, u64)) -> Bytes {
        let start = index * self.summary.chunk_size;
        let from = first.saturating_sub(start).min(bytes.len() as u64);
        let to = end.saturating_sub(start).min(bytes.len() as u64);
        bytes.slice(from as usize..to as usize)
    }

    fn chunk_len(&self, index: u64) -> u64 {
        self.summary.chunk_size.min(self.size.saturating_sub(index * self.summary.chunk_size))
    }

    /// Fails with `object-changed` where the object is another backup's by now: two can have ended
    /// in one second.
    async fn require_current(&self, transport: &Transport) -> Result<()> {
        match self.chunks.keys().next_back() {
            Some(last) => self.fetch(transport, *last).await.map(drop),
            None => Ok(()),
        }
    }

    /// One chunk, checked; asked for again where it differs, as a byte may have turned over on its
    /// way. **Errors**: `Corrupt`.
    async fn fetch(&self, transport: &Transport, index: u64) -> Result<Bytes> {
        let call = Call::get(format!("/backups/{}/chunks/{index}", self.summary.backup_id));
        let most = usize::try_from(self.chunk_len(index)).unwrap_or(usize::MAX);
        let wanted = self.chunks.get(&index);
        let mut tries = 1;
        loop {
            let bytes = transport.send(&call, most).await?.body;
            let found = Sha256::of(&bytes);
            if wanted == Some(&found) {
                return Ok(bytes);
            }
            if tries == MAX_TRIES || wanted.is_none() {
                let wanted = wanted.map_or_else(|| "no such chunk".to_owned(), ToString::to_string);
                return Err(Error::Corrupt { index, found: found.to_string(), wanted });
            }
            tries += 1;
        }
    }
}

async fn restore_from(
    transport: &Transport,
    source: &Source,
    path: &Path,
    (jobs, range): (usize, Option<ByteRange>),
    progress: &Progress,
) -> Result<()> {
    let span = source.span(range)?;
    progress.expect(span.1 - span.0);
    if range.is_none() && is_there(path, source).await {
        source.require_current(transport).await?;
        progress.was_there(source.size);
        return Ok(());
    }
    let part = part_name(path);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part);
    let file = Arc::new(file.map_err(Error::io(&part, "cannot be opened"))?);
    // What an earlier try of another length left behind must not become the file's end.
    file.set_len(span.1 - span.0).map_err(Error::io(&part, "cannot be sized"))?;
    let whole = range.is_none();
    let (file, part) = (&file, &part);
    let writes = stream::iter(source.touched(span)).map(|index| async move {
        let at = (index * source.summary.chunk_size).max(span.0) - span.0;
        if whole && holds(file, at, source.chunk_len(index), source.chunks.get(&index)).await {
            progress.was_there(source.chunk_len(index));
            return Ok(());
        }
        let bytes = source.cut(index, &source.fetch(transport, index).await?, span);
        progress.moved(bytes.len() as u64);
        let writer = Arc::clone(file);
        let written = tokio::task::spawn_blocking(move || writer.write_all_at(&bytes, at)).await;
        written
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(Error::io(part, "cannot be written"))
    });
    writes.buffer_unordered(jobs.max(1)).try_collect::<Vec<()>>().await?;
    file.sync_all().map_err(Error::io(part, "cannot be synced"))?;
    std::fs::rename(part, path).map_err(Error::io(path, "cannot be put in place"))
}

/// Whether an earlier restore has finished this very file.
async fn is_there(path: &Path, source: &Source) -> bool {
    let Ok(file) = File::open(path) else { return false };
    if !file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == source.size) {
        return false;
    }
    let file = Arc::new(file);
    for (index, wanted) in &source.chunks {
        if !holds(&file, index * source.summary.chunk_size, source.chunk_len(*index), Some(wanted))
            .await
        {
            return false;
        }
    }
    true
}

/// Whether the file has the chunk already, from an earlier try.
async fn holds(file: &Arc<File>, at: u64, len: u64, wanted: Option<&Sha256>) -> bool {
    let (file, wanted) = (Arc::clone(file), wanted.copied());
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        file.read_exact_at(&mut bytes, at).ok()?;
        Some(Sha256::of(&bytes))
    });
    matches!((read.await, wanted), (Ok(Some(found)), Some(wanted)) if found == wanted)
}

fn part_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".ratchet-part");
    name.into()
}

fn none_left(target: &Target) -> Error {
    Error::NotDone(format!("there is no complete backup of {target} whose object is still there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_inclusive() {
        assert_eq!("0-9".parse(), Ok(ByteRange { first: 0, last: 9 }));
        for bad in ["", "5", "9-1", "a-b", "-5"] {
            assert!(bad.parse::<ByteRange>().is_err(), "{bad}");
        }
    }
}
