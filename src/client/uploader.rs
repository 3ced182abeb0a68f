//! Backs one file, or stdin, up.
//!
//! Guarantees: only what is not recorded is sent; every local chunk is compared with its record,
//! and at a difference a fresh backup is begun, once; it is done only when the gateway confirmed
//! the digest of what was read here, and the file is as it was. What is missing is sent while what
//! is recorded is compared: neither waits for the other. At most `jobs` chunks are in memory.

mod pass;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use tokio::io::AsyncReadExt;

use self::pass::{Put, Remote};
use super::chunker::{Chunker, chunk_size_for};
use super::transport::{Call, encoded};
use super::{Error, Progress, Result, Target, Transport};
use crate::api::{BackupList, CreateBackup, Finalize, Finalized, Manifest, ProblemType, Summary};
use crate::digest::{Kind, RunningSha256, Whole};

/// How often chunks that finalize found missing are sent again.
const MENDS: usize = 3;

/// The terms of a backup.
#[derive(Clone, Debug)]
pub struct Options {
    pub jobs: usize,
    /// Bytes; doubled until the file fits 10,000 parts.
    pub chunk_size: u64,
    /// The whole-file digest that the gateway must confirm.
    pub digest: Kind,
    /// None: from size, first and last chunk.
    pub file_id: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            jobs: 4,
            chunk_size: 8 << 20,
            digest: Kind::Sha256Chunks,
            file_id: None,
            metadata: BTreeMap::new(),
        }
    }
}

impl Options {
    /// Chunks of one file at the same time. A whole-file SHA-256 is free for the gateway only while
    /// chunks come in order; else the object has to be read back, which not every bucket allows.
    fn at_a_time(&self) -> usize {
        match self.digest {
            Kind::Sha256 => 1,
            Kind::Blake3 | Kind::Crc64Nvme | Kind::Sha256Chunks => self.jobs.max(1),
        }
    }
}

/// A backup that is complete.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backed {
    pub backup_id: String,
    pub bucket: String,
    pub key: String,
    #[serde(flatten)]
    pub object: Finalized,
    pub bytes_sent: u64,
    pub bytes_skipped: u64,
}

/// One backup under way.
struct Upload<'a> {
    transport: &'a Transport,
    progress: &'a Progress,
    options: &'a Options,
    target: &'a Target,
    chunk_size: u64,
    size: Option<u64>,
    file_id: String,
}

/// Backs a file up. **Errors**: `Changed`, `Problem`, `Unreachable`; running it again goes on where
/// it ended.
pub async fn backup_file(
    transport: &Transport,
    path: &Path,
    target: &Target,
    options: &Options,
    progress: &Progress,
) -> Result<Backed> {
    let chunker = Chunker::open(path, options.chunk_size)?;
    let file_id = match &options.file_id {
        Some(id) => id.clone(),
        None => chunker.file_id().await?,
    };
    let mut upload = Upload {
        transport,
        progress,
        options,
        target,
        chunk_size: chunker.chunk_size,
        size: Some(chunker.size()),
        file_id,
    };
    progress.expect(chunker.size());
    if let Some(done) = upload.already_complete(Some(&chunker)).await? {
        return Ok(done);
    }
    for fresh in [false, true] {
        if fresh {
            upload.begin_afresh("what is recorded is another file, or the backup was ended");
        }
        let remote = upload.open().await?;
        match upload.send_file(&chunker, &remote, 0..chunker.chunks()).await? {
            Put::Differs => continue,
            Put::Ended | Put::Done => {}
        }
        match upload.finish(&remote, Some(&chunker)).await {
            Err(error) if error.is(ProblemType::NotOpen) && !fresh => {}
            other => return other,
        }
    }
    Err(Error::NotDone(format!(
        "{target} was changed by another client twice; see who else writes there"
    )))
}

/// Backs up what has no bytes but metadata: a directory. Its file id must tell one state of it from
/// another.
pub(super) async fn backup_empty(
    transport: &Transport,
    target: &Target,
    options: &Options,
    progress: &Progress,
) -> Result<Backed> {
    let upload = Upload {
        transport,
        progress,
        options,
        target,
        chunk_size: options.chunk_size,
        size: Some(0),
        file_id: options.file_id.clone().unwrap_or_default(),
    };
    if let Some(done) = upload.already_complete(None).await? {
        return Ok(done);
    }
    let remote = upload.open().await?;
    upload.finish(&remote, None).await
}

/// Backs stdin up: the chunks are numbered as they come. **Errors**: as `backup_file`; what was
/// read cannot be read again, so a difference to what is recorded is final.
pub async fn backup_stdin(
    transport: &Transport,
    target: &Target,
    options: &Options,
    progress: &Progress,
) -> Result<Backed> {
    let upload = Upload {
        transport,
        progress,
        options,
        target,
        chunk_size: chunk_size_for(0, options.chunk_size),
        size: None,
        file_id: options.file_id.clone().unwrap_or_else(|| "stdin".to_owned()),
    };
    let remote = upload.open().await?;
    let chunk_size = usize::try_from(upload.chunk_size)
        .map_err(|_| Error::WrongUse("the chunks are too large".into()))?;
    let stdin = (tokio::io::stdin(), 0_u64);
    let chunks = stream::try_unfold(stdin, |(mut stdin, index)| async move {
        let mut bytes = Vec::with_capacity(chunk_size.min(1 << 20));
        let read = (&mut stdin).take(chunk_size as u64).read_to_end(&mut bytes).await;
        let read = read.map_err(Error::io(Path::new("-"), "cannot be read"))?;
        Ok::<_, Error>((read > 0).then(|| ((index, Bytes::from(bytes)), (stdin, index + 1))))
    });
    let puts = chunks.map(|chunk| async {
        let (index, bytes) = chunk?;
        progress.expect(bytes.len() as u64);
        upload.put(&remote, index, bytes).await
    });
    let mut puts = Box::pin(puts.buffer_unordered(options.at_a_time()));
    while let Some(put) = puts.try_next().await? {
        if matches!(put, Put::Differs | Put::Ended) {
            let what = "another backup of this target is under way with other bytes; give this one a --file-id of its own";
            return Err(Error::NotDone(what.to_owned()));
        }
    }
    drop(puts);
    upload.finish(&remote, None).await
}

impl Upload<'_> {
    fn begin_afresh(&mut self, why: &str) {
        self.file_id = format!("{}-{}", self.file_id, self.transport.clock().random_id());
        self.progress.say(&format!("{why}: beginning a fresh backup of {}", self.target));
    }

    /// The same content is complete at the target already: nothing to do. Without a chunker there
    /// is no content.
    async fn already_complete(&self, chunker: Option<&Chunker>) -> Result<Option<Backed>> {
        let Target { bucket, key } = self.target;
        let (key, id) = (encoded(key), encoded(&self.file_id));
        let path =
            format!("/backups?bucket={}&key={key}&fileId={id}&status=complete", encoded(bucket));
        let list: BackupList = match self.transport.ask(&Call::get(path)).await {
            Ok(list) => list,
            // Not there yet, or not ours to look at: creating it will say so better.
            Err(error)
                if error.is(ProblemType::NoSuchBucket) || error.is(ProblemType::Forbidden) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let same =
            |summary: &&Summary| summary.size == self.size && summary.chunk_size == self.chunk_size;
        let Some(found) =
            list.backups.iter().filter(same).max_by_key(|summary| summary.completed_at)
        else {
            return Ok(None);
        };
        if let Some(chunker) = chunker
            && !self.holds_all(&found.backup_id, chunker).await?
        {
            return Ok(None);
        }
        let Some(object) = found.object.clone() else { return Ok(None) };
        self.progress.was_there(self.size.unwrap_or(0));
        Ok(Some(self.backed(&found.backup_id, object)))
    }

    /// Whether a complete backup holds every chunk of the file, and its object is still there.
    async fn holds_all(&self, id: &str, chunker: &Chunker) -> Result<bool> {
        let remote = self.look(id).await?;
        if !(0..chunker.chunks()).all(|index| remote.recorded.contains_key(&index)) {
            return Ok(false);
        }
        let comparisons =
            stream::iter(0..chunker.chunks()).map(|index| self.compare(&remote, chunker, index));
        let mut comparisons = comparisons.buffer_unordered(self.options.at_a_time());
        while let Some(same) = comparisons.try_next().await? {
            if same.is_none() {
                return Ok(false);
            }
        }
        drop(comparisons);
        chunker.require_unchanged()?;
        let Some(last) = chunker.chunks().checked_sub(1) else { return Ok(true) };
        // The object may have been replaced since by other means.
        let last = Call::get(format!("/backups/{id}/chunks/{last}"));
        match self.transport.send(&last, usize::MAX).await {
            Ok(_) => Ok(true),
            Err(error) if error.is(ProblemType::ObjectChanged) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn open(&self) -> Result<Remote> {
        let wanted = CreateBackup {
            bucket: self.target.bucket.clone(),
            key: self.target.key.clone(),
            chunk_size: self.chunk_size,
            size: self.size,
            file_id: self.file_id.clone(),
            digest: Some(self.options.digest.name().to_owned()),
            metadata: self.options.metadata.clone(),
            content_type: None,
        };
        let created: Summary =
            self.transport.ask(&Call::json(Method::POST, "/backups".to_owned(), &wanted)).await?;
        self.look(&created.backup_id).await
    }

    async fn look(&self, id: &str) -> Result<Remote> {
        let manifest: Manifest = self.transport.ask(&Call::get(format!("/backups/{id}"))).await?;
        let recorded = manifest
            .chunks
            .iter()
            .filter_map(|(index, sum)| Some((index.parse().ok()?, sum.parse().ok()?)));
        Ok(Remote { id: id.to_owned(), recorded: recorded.collect(), digests: Mutex::default() })
    }

    /// Finalizes; sends again what the gateway finds missing.
    async fn finish(&self, remote: &Remote, chunker: Option<&Chunker>) -> Result<Backed> {
        for mend in 0..=MENDS {
            if let Some(chunker) = chunker {
                chunker.require_unchanged()?;
            }
            let expected = self.expected(remote, chunker).await?;
            let wanted = Finalize { expected_digest: Some(expected) };
            let call =
                Call::json(Method::POST, format!("/backups/{}/finalize", remote.id), &wanted);
            let error = match self.transport.ask::<Finalized>(&call).await {
                Ok(object) => return Ok(self.backed(&remote.id, object)),
                Err(error) => error,
            };
            let (Some(chunker), Error::Problem(problem)) = (chunker, &error) else {
                return Err(error);
            };
            if problem.word() != Some(ProblemType::Incomplete) || mend == MENDS {
                return Err(error);
            }
            let missing: Vec<u64> =
                problem.missing.iter().flat_map(|[first, last]| *first..=*last).collect();
            self.progress.expect(missing.len() as u64 * self.chunk_size);
            let remote = Remote {
                id: remote.id.clone(),
                recorded: BTreeMap::new(),
                digests: Mutex::default(),
            };
            self.send_file(chunker, &remote, missing).await?;
        }
        Err(Error::NotDone(format!("{} does not become whole", self.target)))
    }

    /// The digest of what was read here.
    async fn expected(&self, remote: &Remote, chunker: Option<&Chunker>) -> Result<String> {
        let Some(mut whole) = Whole::new(self.options.digest) else {
            let chunker = chunker.ok_or_else(|| {
                Error::WrongUse("stdin cannot be read twice for sha256".to_owned())
            })?;
            let mut running = RunningSha256::default();
            for index in 0..chunker.chunks() {
                running.update(&chunker.read(index).await?);
            }
            return Ok(running.finish().to_string());
        };
        for chunk in remote.digests.lock().unwrap_or_else(PoisonError::into_inner).values() {
            whole.add(chunk).map_err(|error| Error::NotDone(error.to_string()))?;
        }
        Ok(whole.finish().to_string())
    }

    fn backed(&self, id: &str, object: Finalized) -> Backed {
        Backed {
            backup_id: id.to_owned(),
            bucket: self.target.bucket.clone(),
            key: self.target.key.clone(),
            object,
            bytes_sent: self.progress.sent(),
            bytes_skipped: self.progress.skipped(),
        }
    }
}
