//! Finalizes a backup: the gateway makes the object and confirms its digest.
//!
//! Guarantees: the expected digest is always that of the bytes that were read here. Chunks that the
//! gateway reports as missing are sent again.

use super::BackupReport;
use super::send::LocalDigests;
use super::upload::Upload;
use crate::api::{Finalize, Finalized, ProblemType};
use crate::client::{
    Error, Result, remote::RemoteBackup, source::FileSource, transport::ApiRequest,
};
use crate::digest::{RunningSha256, Whole};

/// How often chunks that the gateway reports as missing are sent again.
const MAX_RESENDS: usize = 3;

impl Upload<'_> {
    /// Finalizes the backup. Without a source, missing chunks cannot be sent again.
    pub async fn finalize(
        &self,
        remote: &RemoteBackup,
        local: &LocalDigests,
        source: Option<&FileSource>,
    ) -> Result<BackupReport> {
        let id = remote.id();
        let mut resends = 0;
        loop {
            if let Some(source) = source {
                source.require_unchanged()?;
            }
            let expected = self.expected_digest(local, source).await?;
            let finalize = Finalize { expected_digest: Some(expected) };
            let request = ApiRequest::post(&format!("/backups/{id}/finalize"), &finalize);
            let error = match self.transport.send_for_json::<Finalized>(&request).await {
                Ok(object) => return Ok(self.report(id, object, remote.summary.metadata.clone())),
                Err(error) => error,
            };
            let (Some(source), Error::Problem(problem)) = (source, &error) else {
                return Err(error);
            };
            let is_incomplete = problem.problem_type() == Some(ProblemType::Incomplete);
            if !is_incomplete || resends == MAX_RESENDS {
                return Err(error);
            }
            resends += 1;
            let missing: Vec<u64> =
                problem.missing.iter().flat_map(|[first, last]| *first..=*last).collect();
            self.progress.add_expected(missing.len() as u64 * self.chunk_size);
            let remote = remote.with_nothing_recorded();
            self.send_missing(source, &remote, &LocalDigests::default(), missing).await?;
        }
    }

    /// The digest of the whole file as it was read here, `<kind>:<hex>`.
    async fn expected_digest(
        &self,
        local: &LocalDigests,
        source: Option<&FileSource>,
    ) -> Result<String> {
        if let Some(mut whole) = Whole::new(self.options.digest) {
            local.add_to(&mut whole)?;
            return Ok(whole.finish().to_string());
        }
        // A whole-file SHA-256 cannot be combined from chunks: the file is read again.
        let mut running = RunningSha256::default();
        if let Some(source) = source {
            for index in 0..source.chunking().count() {
                running.update(&source.read(index).await?.bytes);
            }
        } else if self.size != Some(0) {
            return Err(Error::WrongUse(
                "--digest sha256 needs to read the source twice, and stdin can be read only once; \
                 choose another --digest"
                    .to_owned(),
            ));
        }
        Ok(running.finish().to_string())
    }
}
