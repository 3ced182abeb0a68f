//! Copies: rows that refer to the files of other rows. Bytes in a row or a pack are copied.
//!
//! Guarantees: a copy is made of the object that its caller saw, or fails; the number of files that
//! the parts of one upload share is bounded, so that the row of its object stays small enough to be
//! read with every request.

use bytes::Bytes;

use super::super::super::{
    Bucket, ByteSpan, ETag, Error, Key, Kind, PartNumber, Result, UploadTarget,
};
use super::super::copies::tag_of_shared;
use super::object_row::{Content, ObjectRow};
use super::rows::{AttributesRow, FileRef, PartRow, to_json};
use super::{Tables, object_key};

/// How many files an upload may have beyond one for each part, because its parts were copied from
/// objects of many files.
const MAX_MORE_FILES: u64 = 20_000;

/// The source of a copy.
pub(in super::super) struct CopyFrom {
    pub bucket: Bucket,
    pub key: Key,
    /// What the source had when its caller saw it.
    pub etag: ETag,
    /// That of a part that is made of it, if it is known.
    pub part_etag: Option<ETag>,
}

/// What became of a copied part.
pub(in super::super) enum SharedPart {
    /// It shares the files of its source.
    Written(ETag),
    /// Its source has no file of its own: the bytes are to be copied.
    Small,
    /// It would have too many files; nothing is written.
    TooManyFiles,
}

impl Tables<'_> {
    /// The row of an object that is a copy; `small` are the bytes of a source without files of its
    /// own. **Errors**: `NoSuchBucket`, `NotFound`, `Precondition`.
    pub fn copied_object(
        &self,
        from: &CopyFrom,
        small: Option<Bytes>,
        attributes: AttributesRow,
        now_ms: u64,
    ) -> Result<ObjectRow> {
        let source = self.source(from)?;
        let content = match source.content {
            // The same ETag: they are the bytes of this source, wherever they are now.
            Content::Inline(_) | Content::Packed(_) => {
                Content::Inline(small.ok_or_else(|| changed(&from.key))?)
            }
            Content::Files(files) => Content::Files(files),
        };
        Ok(ObjectRow { modified_ms: now_ms, attributes, content, ..source })
    }

    /// Makes a part of bytes of an object; without a span of all. **Errors**: `NoSuchUpload`,
    /// `Range`, and those of `copied_object`.
    pub fn copy_part(
        &mut self,
        from: &CopyFrom,
        span: Option<ByteSpan>,
        target: UploadTarget<'_>,
        number: PartNumber,
    ) -> Result<SharedPart> {
        let mut upload = self.upload(target)?;
        let source = self.source(from)?;
        let size_bytes = source.size_bytes;
        let whole = ByteSpan { first: 0, end: size_bytes };
        let span = span.unwrap_or(whole);
        if span.end > size_bytes || span.first > span.end {
            let what = format!("{} has {size_bytes} bytes, and not all of the range", from.key);
            return Err(Error::new(Kind::Range, what));
        }
        let files = match source.content {
            Content::Inline(_) | Content::Packed(_) => return Ok(SharedPart::Small),
            Content::Files(files) => files_of(files, span),
        };
        let more = (files.len() as u64).saturating_sub(1);
        if upload.more_files + more > MAX_MORE_FILES {
            return Ok(SharedPart::TooManyFiles);
        }
        // The ETag of an object that was put whole is the MD5 that the part has too.
        let is_md5 = span == whole && source.etag.0.len() == 32;
        let shared = files.iter().map(|file| (file.id.as_str(), file.offset, file.len_bytes));
        let etag = match &from.part_etag {
            Some(etag) => etag.clone(),
            None if is_md5 => source.etag.clone(),
            None => tag_of_shared(shared),
        };
        let Some(row) = PartRow::shared(etag.clone(), files) else {
            return Ok(SharedPart::Small);
        };
        self.put_part(target, number, &row)?;
        if more > 0 {
            upload.more_files += more;
            let upload = to_json(&upload);
            self.uploads.insert(target.upload.as_str(), upload.as_slice())?;
        }
        Ok(SharedPart::Written(etag))
    }

    fn source(&self, from: &CopyFrom) -> Result<ObjectRow> {
        let CopyFrom { bucket, key, etag, .. } = from;
        self.require_bucket(bucket)?;
        let row = self.object(&object_key(bucket, key.as_str()))?;
        let row = row.ok_or_else(|| Error::new(Kind::NotFound, format!("no object {key}")))?;
        if row.etag != *etag {
            return Err(changed(key));
        }
        Ok(row)
    }
}

fn changed(key: &Key) -> Error {
    Error::new(Kind::Precondition, format!("{key} has another ETag"))
}

/// The files of these bytes; neighbours in one file are one.
fn files_of(files: Vec<FileRef>, span: ByteSpan) -> Vec<FileRef> {
    let (mut at, mut found) = (0, Vec::<FileRef>::new());
    for file in files {
        let (first, end) = (span.first.max(at), span.end.min(at + file.len_bytes));
        let offset = file.offset + first.saturating_sub(at);
        at += file.len_bytes;
        if first >= end {
            continue;
        }
        let len_bytes = end - first;
        match found.last_mut() {
            Some(last) if last.id == file.id && last.offset + last.len_bytes == offset => {
                last.len_bytes += len_bytes;
            }
            Some(_) | None => found.push(FileRef { id: file.id, len_bytes, offset }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_cut_out_of_the_files_that_it_touches() {
        let file = |id: &str, offset, len_bytes| FileRef { id: id.to_owned(), len_bytes, offset };
        let files = vec![file("a", 0, 10), file("b", 5, 10), file("b", 15, 4), file("c", 0, 1)];
        let table = [
            ((0, 25), files_of(files.clone(), ByteSpan { first: 0, end: 25 })),
            ((0, 10), vec![file("a", 0, 10)]),
            ((3, 4), vec![file("a", 3, 1)]),
            ((9, 11), vec![file("a", 9, 1), file("b", 5, 1)]),
            ((12, 24), vec![file("b", 7, 12)]),
            ((19, 25), vec![file("b", 14, 5), file("c", 0, 1)]),
            ((7, 7), vec![]),
        ];
        for ((first, end), expected) in table {
            let found = files_of(files.clone(), ByteSpan { first, end });
            assert_eq!(found, expected, "{first}..{end}");
            assert_eq!(found.iter().map(|file| file.len_bytes).sum::<u64>(), end - first);
        }
    }
}
