//! The bytes of one chunk on their way from a client or from a staged object into the store.
//!
//! Guarantees: the last frame goes on only if the chunk has its length and its SHA-256. What the
//! session needs of the bytes besides is computed in the same pass. It does not store anything.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;

use super::super::error::Error;
use super::super::plan::ChunkIndex;
use super::inflight::OngoingPut;
use super::whole_sha256::Feed;
use crate::digest::verified::{
    BodySource, Expectation, Mismatch, Outcome, Sha256Check, SourceError, VerifiedBody,
};
use crate::digest::{
    Checksum, ChecksumHasher, ChunkDigests, ContributionHasher, Digests, PassedSha256, Sha256,
};
use crate::store::{self, Body, BodyError};

/// The body of a chunk that a client sends.
pub(super) struct ClientChunk {
    pub body: Body,
    pub index: ChunkIndex,
    pub len_bytes: u64,
    /// What the session computes of the bytes. None once they are all verified.
    pub hashes: Option<(ContributionHasher, Feed)>,
    /// A checksum in an algorithm of S3 clients.
    pub checksum: Option<ChecksumHasher>,
    pub put: Arc<OngoingPut>,
}

/// The digests of a verified chunk; its bytes for the SHA-256 of the file, and the checksum.
pub(super) type ChunkOutcome = Outcome<(ChunkDigests, (Feed, Option<Checksum>)), Error>;

impl ClientChunk {
    /// The body as the store gets it, and its SHA-256, which is there before its last frame.
    /// `declared` is compared where the client named a SHA-256.
    pub fn verified(self, declared: Option<Sha256>) -> (Body, ChunkOutcome, PassedSha256) {
        let len_bytes = self.len_bytes;
        let expected = Expectation {
            len_bytes: Some(len_bytes),
            sha256: declared.map_or(Sha256Check::Compute, Sha256Check::Compare),
            md5: None,
        };
        let (body, outcome) = VerifiedBody::verify(self, expected);
        let sha256 = body.sha256().expect("the SHA-256 of every chunk is computed");
        (Body::verified(len_bytes, body), outcome, sha256)
    }
}

impl BodySource for ClientChunk {
    type Verified = (ChunkDigests, (Feed, Option<Checksum>));
    type Refusal = Error;

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, SourceError<Error>>>> {
        let index = self.index;
        let refused = |cause| SourceError::Refused(interrupted(index, cause));
        self.body.poll_next_unpin(cx).map_err(refused)
    }

    fn update(&mut self, frame: &Bytes) {
        if let Some((contribution, feed)) = &mut self.hashes {
            contribution.update(frame);
            feed.update(frame);
        }
        self.checksum.iter_mut().for_each(|checksum| checksum.update(frame));
    }

    fn mismatch(&self, mismatch: Mismatch) -> Error {
        mismatch_of(self.index, self.len_bytes, mismatch)
    }

    fn finish(&mut self, digests: Digests) -> Result<Self::Verified, Error> {
        let sha256 = digests.sha256.expect("the SHA-256 of every chunk is computed");
        let (contribution, feed) = self.hashes.take().expect("a body ends once");
        self.put.mark_received();
        let checksum = self.checksum.take().map(ChecksumHasher::finish);
        Ok((contribution.finish(sha256, self.len_bytes), (feed, checksum)))
    }
}

/// Why the client's bytes of a chunk end early.
pub(in crate::upload) fn interrupted(index: ChunkIndex, cause: BodyError) -> Error {
    let source = store::Error::new(store::Kind::Body, "the body of the request was interrupted");
    Error::store(format!("receiving chunk {index}"), source.because(cause))
}

/// The refusal of a chunk's bytes that are not as they were declared.
pub(in crate::upload) fn mismatch_of(
    index: ChunkIndex,
    len_bytes: u64,
    mismatch: Mismatch,
) -> Error {
    let index = u64::from(index);
    match mismatch {
        Mismatch::TooLong { received } | Mismatch::TooShort { received } => {
            Error::ChunkSizeMismatch { index, wanted: len_bytes.to_string(), offered: received }
        }
        Mismatch::Sha256 { declared, found } => Error::ChecksumMismatch { index, declared, found },
        Mismatch::Md5 { .. } => unreachable!("no MD5 is declared for a chunk"),
    }
}

/// The body of a staged chunk as it is read back. It fails before its last frame where the bytes
/// are not the chunk's.
pub(super) fn staged(body: Body, sha256: Sha256, len_bytes: u64) -> VerifiedBody<StagedChunk> {
    let expected =
        Expectation { len_bytes: Some(len_bytes), sha256: Sha256Check::Compare(sha256), md5: None };
    VerifiedBody::verify(StagedChunk(body), expected).0
}

/// A staged chunk as the store returns it.
pub(super) struct StagedChunk(Body);

impl BodySource for StagedChunk {
    type Verified = ();
    type Refusal = String;

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, SourceError<String>>>> {
        self.0.poll_next_unpin(cx).map_err(SourceError::Interrupted)
    }

    fn update(&mut self, _: &Bytes) {}

    fn mismatch(&self, mismatch: Mismatch) -> String {
        format!("the store returned other bytes for a staged chunk: {mismatch:?}")
    }

    fn finish(&mut self, _: Digests) -> Result<(), String> {
        Ok(())
    }
}
