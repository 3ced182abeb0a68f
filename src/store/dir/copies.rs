//! Copies within the embedded store.
//!
//! Guarantees: the bytes of a copy of more than 64 KiB are the files of its source, so a copy costs
//! one commit and no bytes; smaller ones are copied, so no two objects share a place in a pack; the
//! source is read, its ETag compared, and the target written in one
//! transaction. A copied object has its source's ETag: without reading the bytes there is no MD5.

use bytes::Bytes;

use super::super::{
    Body, Bucket, ByteSpan, CopiedPart, CopyOptions, CopySource, ETag, GetOptions, GetRange, Key,
    PartOptions, PartTag, PartTarget, Result, Store, Written,
};
use super::tables::{AttributesRow, Content, CopyFrom, ObjectRow, SharedPart};
use super::{Dir, INLINE_BYTES, OwnedTarget};

#[cfg(test)]
mod tests;

/// A source, for the writer thread.
fn owned(source: CopySource<'_>) -> CopyFrom {
    CopyFrom {
        bucket: source.bucket.clone(),
        key: source.key.clone(),
        etag: source.etag.clone(),
        part_etag: source.part_etag.cloned(),
    }
}

pub(super) async fn copy(
    store: &Dir,
    source: CopySource<'_>,
    (bucket, key): (&Bucket, &Key),
    options: CopyOptions,
) -> Result<Written> {
    let (from, etag) = (owned(source), source.etag.clone());
    let (bucket, key, now_ms) = (bucket.clone(), key.clone(), store.now_ms());
    let CopyOptions { mode, attributes, account: _ } = options;
    let small = small_bytes(store, source).await?;
    let attributes = AttributesRow::new(attributes, None);
    store
        .index
        .write(move |tables| {
            let row = tables.copied_object(&from, small, attributes, now_ms)?;
            tables.put(&bucket, &key, &mode, row)
        })
        .await?;
    Ok(Written { etag, version: None, checksum: None })
}

pub(super) async fn copy_part(
    store: &Dir,
    source: CopySource<'_>,
    span: Option<ByteSpan>,
    part: PartTarget<'_>,
) -> Result<Option<CopiedPart>> {
    let (from, owner, number) = (owned(source), OwnedTarget::from(part.upload), part.number);
    let shared = store
        .index
        .write(move |tables| tables.copy_part(&from, span, owner.borrow(), number))
        .await?;
    match shared {
        SharedPart::Written(etag) => Ok(Some(CopiedPart { etag, sha256: None })),
        SharedPart::Small => {
            let options = PartOptions { sha256: None, tag: PartTag::Md5 };
            let written = store.put_part(part, read(store, source, span).await?, options).await?;
            Ok(Some(CopiedPart { etag: written.etag, sha256: Some(written.sha256) }))
        }
        SharedPart::TooManyFiles => Ok(None),
    }
}

/// The bytes of a source without files of its own. None: it has files.
async fn small_bytes(store: &Dir, source: CopySource<'_>) -> Result<Option<Bytes>> {
    let has_files = |row: &ObjectRow| match row.content {
        Content::Inline(_) | Content::Packed(_) => false,
        Content::Files(_) => true,
    };
    if store.index.object(source.bucket, source.key).is_ok_and(|row| has_files(&row)) {
        return Ok(None);
    }
    let body = read(store, source, None).await?;
    // Its length tells too: it may have been replaced meanwhile.
    if body.len_bytes() > INLINE_BYTES {
        return Ok(None);
    }
    body.collect(INLINE_BYTES as usize).await.map(Some)
}

/// The bytes of a source; without a span all.
async fn read(store: &Dir, source: CopySource<'_>, span: Option<ByteSpan>) -> Result<Body> {
    let range = match span {
        None => GetRange::Whole,
        Some(span) if span.first == span.end => GetRange::Head,
        Some(span) => GetRange::Range { first: span.first, last: span.end - 1 },
    };
    let options = GetOptions { if_match: Some(source.etag.clone()), ..GetOptions::default() };
    store.get(source.bucket, source.key, range, options).await.map(|(_, body)| body)
}

/// The ETag of a part that shares these bytes of these files: of the form of an MD5, and another
/// one for other bytes, as a file never changes.
pub(super) fn tag_of_shared<'a>(files: impl Iterator<Item = (&'a str, u64, u64)>) -> ETag {
    let mut text = String::new();
    for (id, offset, len_bytes) in files {
        text.push_str(&format!("{id} {offset} {len_bytes}\n"));
    }
    ETag::of_sha256(&crate::digest::Sha256::of(text.as_bytes()))
}
