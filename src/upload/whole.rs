//! Backups of one chunk, or of none, in one request.
//!
//! Guarantees: the root is written once, as complete, after the object is durable and has the
//! declared SHA-256; a call that is repeated with the same id and bytes has the same result, also
//! if its response was lost; the object replaces another one only under the caller's condition. A
//! crash before the root leaves an ordinary object. There is no segment: the root has the SHA-256
//! of the only chunk. It creates no bucket.
//! **Errors**: `BadRequest`, `ChecksumMismatch`, `BackupConflict`, `NoSuchBucket`,
//! `ConditionFailed`, `Store…`. Source: docs/architecture.md#backups-in-one-request.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;

use crate::digest::verified::{
    BodySource, Expectation, Mismatch, Sha256Check, SourceError, VerifiedBody,
};
use crate::digest::{ChunkDigests, Digests, Expected, Kind as DigestKind, Sha256, Whole};
use crate::names::{AccountName, BackupId};
use crate::records::SwapOutcome;
use crate::store::{self, Body, PutMode, PutOptions, Written};

use super::chunk::{interrupted, mismatch_of};
use super::create::{Created, NewBackup, difference};
use super::end::{condition_failed, is_unmet, tagged_object};
use super::error::{Error, Result};
use super::layout::Layout;
use super::manifest::{Destination, Finished, PartFacts, Record, Root, Segment, Status};
use super::session::Session;
use super::session_cache::SessionName;
use super::uploads::Uploads;

/// The bytes of a backup of one chunk.
#[derive(Debug)]
pub struct WholeFile {
    pub body: Body,
    /// Declared by the client.
    pub sha256: Sha256,
    /// What may be at the target.
    pub mode: PutMode,
}

impl Uploads {
    /// Makes the object and a complete backup of it. **Durability**: on success both are in the
    /// store.
    pub async fn put_whole(
        &self,
        account: &AccountName,
        id: &BackupId,
        new: NewBackup,
        file: WholeFile,
    ) -> Result<(Created, Session)> {
        let plan = self.plan(&new)?;
        let (len_bytes, sha256) = (file.body.len_bytes(), file.sha256);
        if len_bytes > plan.chunk_size || new.size != Some(len_bytes) || new.digest.is_some() {
            let what = "a backup in one request has at most one chunk and no other digest";
            return Err(Error::BadRequest(what.to_owned()));
        }
        let nothing = Sha256::of(b"");
        if len_bytes == 0 && sha256 != nothing {
            let mismatch = Mismatch::Sha256 { declared: sha256, found: nothing };
            return Err(mismatch_of(0, 0, mismatch));
        }
        if let Some(session) = self.find(account, id).await? {
            return same_backup(session, &new, &sha256);
        }
        let mut root = self.new_root(account, id, new.clone(), plan);
        // A call that is repeated, whose condition the first one's object does not meet, knows the
        // object by it.
        root.upload_tag = Sha256::of(format!("{id}:{sha256}").as_bytes()).hex()[..32].to_owned();
        let written = self.put_object(&root, file).await?;
        let (object, completed_at) =
            (finished(&written, sha256, len_bytes), self.documents().clock.unix_seconds());
        root.status = Status::Complete { object, completed_at, of: None };
        let (documents, layout) = (self.documents(), Layout::new(account, id));
        let (done, key) = (layout.done(&root.bucket, &root.key), layout.root());
        // The response comes after both, so no crash between them hides a confirmed backup.
        let (marked, created) =
            tokio::join!(documents.put_marker(&done), documents.create(&key, root));
        marked?;
        let name = SessionName { account: account.clone(), id: id.clone() };
        match created? {
            SwapOutcome::Won(root) => Ok((Created::New, self.cache(name, layout, root))),
            SwapOutcome::Lost(Some(root)) => {
                same_backup(self.cache(name, layout, root), &new, &sha256)
            }
            SwapOutcome::Lost(None) => Err(Error::NoSuchBackup(id.clone())),
        }
    }

    /// Puts the object of a root; the result of an earlier call is the result of this one.
    async fn put_object(&self, root: &Root, file: WholeFile) -> Result<Written> {
        let WholeFile { body, sha256, mode } = file;
        let len_bytes = body.len_bytes();
        let expected = Expectation {
            len_bytes: Some(len_bytes),
            sha256: Sha256Check::Compare(sha256),
            md5: None,
        };
        let (body, outcome) = VerifiedBody::verify(WholeBody(body), expected);
        let body = if len_bytes > 0 { Body::verified(len_bytes, body) } else { Body::empty() };
        let (bucket, key) = root.target();
        let store = self.store();
        let options = PutOptions {
            mode,
            attributes: root.attributes(),
            sha256: Some(sha256),
            checksum: store::usual_checksum(&**store),
        };
        let put = store.put(&bucket, &key, body, options).await;
        let error = match put {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        if let Some(refusal) = outcome.refusal() {
            return Err(refusal);
        }
        if is_unmet(&error) {
            let own = tagged_object(self.documents(), root).await?;
            return own.ok_or_else(|| condition_failed(&error));
        }
        if error.kind() == store::Kind::NoSuchBucket {
            return Err(Error::NoSuchBucket(bucket));
        }
        Err(Error::store("putting the object", error))
    }
}

/// The result of a call whose backup is there already. **Errors**: `BackupConflict`.
fn same_backup(session: Session, new: &NewBackup, sha256: &Sha256) -> Result<(Created, Session)> {
    let root = session.root();
    let is_same = root.whole_sha256() == Some(*sha256);
    match difference(&root, new).or((!is_same).then_some("content")) {
        None => Ok((Created::Existing, session)),
        Some(field) => Err(Error::BackupConflict { id: root.backup_id.clone(), field }),
    }
}

fn finished(written: &Written, sha256: Sha256, len_bytes: u64) -> Finished {
    let mut chunks = Whole::new(DigestKind::Sha256Chunks).expect("it is combined from chunks");
    if len_bytes > 0 {
        let chunk = ChunkDigests { sha256, len_bytes, contribution: None };
        chunks.add(&chunk).expect("it needs no more than the SHA-256 of a chunk");
    }
    let whole = Expected { kind: DigestKind::Sha256, hex: sha256.hex() };
    Finished {
        etag: written.etag.clone(),
        version: written.version.clone(),
        size_bytes: len_bytes,
        digests: vec![chunks.finish(), whole],
        checksum: None,
        unhashed_parts: false,
        sent_bytes: Some(len_bytes),
        condition: None,
    }
}

impl Root {
    /// The SHA-256 of a complete object that was put whole.
    fn whole_sha256(&self) -> Option<Sha256> {
        let object = self.finished().filter(|_| self.destination == Destination::Whole)?;
        let found = object.digests.iter().find(|digest| digest.kind == DigestKind::Sha256)?;
        Sha256::from_hex(&found.hex)
    }

    /// The records of a backup that was made in one request: it has no segment. None for others.
    pub(in crate::upload) fn whole_segment(&self) -> Option<Segment> {
        let (sha256, object) = (self.whole_sha256()?, self.finished()?);
        let record = Record {
            digests: ChunkDigests { sha256, len_bytes: object.size_bytes, contribution: None },
            etags: vec![object.etag.clone()],
            invalidated: false,
            unhashed: false,
            known: false,
            part: PartFacts::default(),
            replacing: Vec::new(),
        };
        let chunks = [(0, record)].into_iter().filter(|_| object.size_bytes > 0).collect();
        Some(Segment { chunks, ..Segment::default() })
    }
}

/// The body of a file of one chunk on its way into the store.
struct WholeBody(Body);

impl BodySource for WholeBody {
    type Verified = ();
    type Refusal = Error;

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Bytes, SourceError<Error>>>> {
        self.0.poll_next_unpin(cx).map_err(|cause| SourceError::Refused(interrupted(0, cause)))
    }

    fn update(&mut self, _: &Bytes) {}

    fn mismatch(&self, mismatch: Mismatch) -> Error {
        mismatch_of(0, self.0.len_bytes(), mismatch)
    }

    fn finish(&mut self, _: Digests) -> Result<()> {
        Ok(())
    }
}
