//! Backs up a file of one chunk, or nothing at all, in one request.
//!
//! Guarantees: it is sent only if the object that is there is not the same; the object that is
//! replaced is the one that was seen, and none that came meanwhile. Source:
//! docs/api.md#back-up-in-one-request.

use bytes::Bytes;

use super::send::hash;
use super::upload::Upload;
use super::{BackupReport, Known};
use crate::api::{ProblemType, Summary};
use crate::client::{
    Result,
    remote::{AtTarget, Current, USER_METADATA},
    source::FileSource,
    transport::{ApiRequest, encoded},
};
use crate::digest::{ChunkDigests, Kind, Sha256, Whole};

impl Upload<'_> {
    /// Whether the options leave everything to the one request.
    pub fn fits_one_request(&self, chunks: u64) -> bool {
        let Self { options, .. } = self;
        chunks == 1 && options.known == Known::Keep && options.digest == Kind::Sha256Chunks
    }

    /// Backs up a source of one chunk. None: it cannot be done in one request.
    pub async fn back_up_in_one_request(
        &mut self,
        source: &FileSource,
        at_target: AtTarget<'_>,
    ) -> Result<Option<BackupReport>> {
        let current = match at_target {
            AtTarget::Listed(current) => current.cloned(),
            AtTarget::Unknown => match Current::look(self.transport, self.target).await {
                Ok(current) => current,
                // Who may write may not be allowed to read.
                Err(error) if error.is_forbidden() => return Ok(None),
                Err(error) => return Err(error),
            },
        };
        let bytes = source.read(0).await?.bytes;
        source.require_unchanged()?;
        let digests = hash(self.options.digest, 0, bytes.clone()).await;
        if let Some(report) = current.as_ref().and_then(|current| self.known(current, &digests)) {
            self.progress.add_known(digests.len_bytes);
            return Ok(Some(report));
        }
        if self.options.file_id.is_none() {
            self.file_id = source.file_id_of_only_chunk(&bytes);
        }
        let report = self.put_whole(bytes, digests.sha256, current.as_ref()).await?;
        if report.is_some() {
            self.progress.add_transferred(digests.len_bytes);
        }
        Ok(report)
    }

    /// The report of the backup that made the current object, if it has this chunk only.
    fn known(&self, current: &Current, digests: &ChunkDigests) -> Option<BackupReport> {
        let backup = current.backup.as_ref()?;
        let object = backup.object.as_ref().filter(|object| object.size == digests.len_bytes)?;
        let mut whole = Whole::new(Kind::Sha256Chunks)?;
        whole.add(digests).ok()?;
        let is_same = object.digests.get(Kind::Sha256Chunks.name())? == &whole.finish().to_string();
        let metadata = backup.metadata.clone();
        is_same.then(|| self.report(&backup.backup_id, object.clone(), metadata))
    }

    /// Puts the whole file, over the object that was seen. None: another object came meanwhile, the
    /// bucket is missing, or the gateway is too old for this request.
    pub async fn put_whole(
        &self,
        bytes: Bytes,
        sha256: Sha256,
        current: Option<&Current>,
    ) -> Result<Option<BackupReport>> {
        let (target, options) = (self.target, self.options);
        let path = format!(
            "/backups/{}/whole?bucket={}&key={}&fileId={}&chunkSize={}",
            self.transport.clock().random_id(),
            encoded(&target.bucket),
            encoded(&target.key),
            encoded(&self.file_id),
            self.chunk_size,
        );
        let mut request = ApiRequest::put(path, bytes, sha256);
        for (name, value) in &options.metadata {
            request = request.with_header([USER_METADATA, name.as_str()].concat(), value);
        }
        request = match current {
            // A directory replaces no bytes, and SeaweedFS lists some that nobody put, with an ETag
            // that it then refuses.
            _ if target.key.ends_with('/') => request,
            Some(current) => request.with_header("if-match", &format!("\"{}\"", current.etag)),
            None => request.with_header("if-none-match", "*"),
        };
        let other_way = [
            ProblemType::ConditionFailed,
            ProblemType::NoSuchBucket,
            ProblemType::NotFound,
            ProblemType::MethodNotAllowed,
        ];
        match self.transport.send_for_json::<Summary>(&request).await {
            Ok(Summary { backup_id, object: Some(object), metadata, .. }) => {
                Ok(Some(self.report(&backup_id, object, metadata)))
            }
            Ok(Summary { object: None, .. }) => Err(self.transport.not_chunk_api(200)),
            Err(error) if other_way.iter().any(|word| error.is_problem(*word)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
