//! A session in the JSON of the chunk API.
//!
//! Guarantees: a manifest is written segment by segment and never in memory as a whole; its text is
//! the JSON of `api::Manifest`.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::api;
use crate::upload::{Finished, Root, Segment, Session, Shape, Status};
use crate::web::BoxError;

/// The entry of a list. The chunk size of an S3 session is known only from its first part; here it
/// is 0.
pub fn summary(root: &Root) -> api::Summary {
    let chunk_size = if root.plan.shape == Shape::Chunks { root.plan.chunk_size } else { 0 };
    summary_of(root, chunk_size)
}

fn summary_of(root: &Root, chunk_size: u64) -> api::Summary {
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
        digests: digests.collect(),
    }
}

/// Streams the JSON of a manifest.
pub fn manifest(
    session: Session,
    chunk_size: u64,
    segments: Vec<u32>,
) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    let mut head = serde_json::to_string(&summary_of(&session.root(), chunk_size))
        .expect("text and numbers are always JSON");
    head.truncate(head.len() - "}".len());
    head.push_str(",\"chunks\":{");
    let records = stream::iter(segments).then(move |number| {
        let session = session.clone();
        async move { session.segment(number).await.map_err(BoxError::from) }
    });
    let mut first = true;
    let records = records.map(move |segment| {
        let text = segment.map(|segment| entries(&segment, first))?;
        first = first && text.is_empty();
        Ok(Bytes::from(text))
    });
    stream::iter([Ok(Bytes::from(head))])
        .chain(records)
        .chain(stream::iter([Ok(Bytes::from_static(b"}}"))]))
}

fn entries(segment: &Segment, first: bool) -> String {
    let mut text = String::new();
    let shown = segment.chunks.iter().filter(|(_, record)| !record.invalidated);
    for (index, sha256) in shown.filter_map(|(index, record)| Some((index, record.sha256()?))) {
        let comma = if first && text.is_empty() { "" } else { "," };
        text.push_str(&format!("{comma}\"{index}\":\"{sha256}\""));
    }
    text
}
