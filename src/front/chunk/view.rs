//! A session in the JSON of the chunk API.
//!
//! Guarantees: a manifest is written segment by segment and never in memory as a whole; its text is
//! the JSON of `api::Manifest`.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::api;
use crate::names::AccountName;
use crate::upload::{Finished, ObjectLayout, Root, Segment, Session, Shape, Status};
use crate::web::BoxError;

/// The entry of a list. The chunk size of an S3 session is known only from its first part; here it
/// is 0.
pub fn summary(owner: &AccountName, root: &Root) -> api::Summary {
    let chunk_size = if root.plan.shape == Shape::Chunks { root.plan.chunk_size } else { 0 };
    summary_of(owner, root, chunk_size)
}

fn summary_of(owner: &AccountName, root: &Root, chunk_size: u64) -> api::Summary {
    let (completed_at, object, reason) = match &root.status {
        Status::Complete { object, completed_at, .. } => {
            (Some(*completed_at), Some(finalized(object)), None)
        }
        Status::Aborted { reason, .. } => (None, None, Some(reason.clone())),
        Status::Superseded { by, .. } => (None, None, Some(format!("carried on by {by}"))),
        Status::InProgress | Status::Finalizing { .. } => (None, None, None),
    };
    api::Summary {
        backup_id: root.backup_id.to_string(),
        account: Some(owner.to_string()),
        file_id: root.file_id.clone(),
        bucket: root.bucket.to_string(),
        key: root.key.to_string(),
        chunk_size,
        size: root.plan.size,
        status: status(&root.status),
        digest: root.digest.map(|kind| kind.to_string()),
        created_at: root.created_at,
        completed_at,
        object,
        reason,
        metadata: root.metadata.clone(),
        content_type: root.content_type.clone(),
        layout: match root.layout {
            ObjectLayout::Multipart => None,
            ObjectLayout::Content => Some(root.layout.name().to_owned()),
        },
    }
}

pub fn status(status: &Status) -> api::Status {
    match status {
        Status::InProgress => api::Status::InProgress,
        Status::Finalizing { .. } => api::Status::Finalizing,
        Status::Complete { .. } => api::Status::Complete,
        Status::Aborted { .. } => api::Status::Aborted,
        Status::Superseded { .. } => api::Status::Superseded,
    }
}

pub fn finalized(object: &Finished) -> api::Finalized {
    let digests =
        object.digests_of_bytes().map(|digest| (digest.kind.to_string(), digest.to_string()));
    api::Finalized {
        etag: object.etag.to_string(),
        size: object.size_bytes,
        sent_bytes: object.sent_bytes,
        digests: digests.collect(),
    }
}

/// Streams the JSON of a manifest.
pub fn manifest(
    owner: &AccountName,
    session: Session,
    chunk_size: u64,
    segments: Vec<u32>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + use<> {
    let mut head = serde_json::to_string(&summary_of(owner, &session.root(), chunk_size))
        .expect("text and numbers are always JSON");
    head.truncate(head.len() - "}".len());
    head.push_str(",\"chunks\":{");
    let records = stream::iter(segments).then(move |number| {
        let session = session.clone();
        async move { session.segment(number).await.map_err(BoxError::from) }
    });
    let entries = Arc::new(Mutex::new(Entries { chunk_size, last_len: None, uneven: false }));
    let ended = Arc::clone(&entries);
    let records = records.map(move |segment| {
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        segment.map(|segment| Bytes::from(entries.of_segment(&segment)))
    });
    // Not before the records were sent.
    let end = stream::once(async move {
        let uneven = ended.lock().unwrap_or_else(PoisonError::into_inner).are_uneven();
        Ok(Bytes::from(format!("}},\"uneven\":{uneven}}}")))
    });
    stream::iter([Ok(Bytes::from(head))]).chain(records).chain(end)
}

/// The entries of a manifest, as they are written in the order of the chunks.
struct Entries {
    chunk_size: u64,
    /// The length of the last chunk that was written; None before the first one.
    last_len: Option<u64>,
    /// Whether one before it has another length than `chunk_size`.
    uneven: bool,
}

impl Entries {
    fn of_segment(&mut self, segment: &Segment) -> String {
        let mut text = String::new();
        let shown = segment.chunks.iter().filter(|(_, record)| !record.invalidated);
        let hashed = shown.filter_map(|(index, record)| Some((index, record, record.sha256()?)));
        for (index, record, sha256) in hashed {
            let comma = if self.last_len.is_none() { "" } else { "," };
            text.push_str(&format!("{comma}\"{index}\":\"{sha256}\""));
            self.uneven |= self.last_len.is_some_and(|len| len != self.chunk_size);
            self.last_len = Some(record.digests.len_bytes);
        }
        text
    }

    /// Whether a chunk other than the last one has another length than the first, or the last one
    /// is longer.
    fn are_uneven(&self) -> bool {
        self.uneven || self.last_len.is_some_and(|len| len > self.chunk_size)
    }
}
