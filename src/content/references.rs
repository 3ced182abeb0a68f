//! Taking over the blobs of another object: copied parts, copied objects.
//!
//! Guarantees: an upload may refer to the blobs of a recipe only once its entry for that source is
//! stored, and the recipe, looked at after that, was neither condemned nor gone. A sweep condemns a
//! recipe first and looks at the sources after that, so one of the two sees the other. The blobs of
//! another account are never taken over.

use super::Content;
use super::names::{ContentUpload, PartName, Reference};
use super::pointer::Pointer;
use super::recipe::{Piece, Recipe, is_safe, recipe_prefix};
use crate::names::{Bucket, Key};
use crate::store::{ByteSpan, CopiedPart, CopySource, Error, Kind, PartNumber, Result};

impl Content {
    /// Makes exactly one blob of the source a part. None if it is not exactly one, or belongs to
    /// another account: its bytes must be put. **Errors**: `NoSuchUpload`, `Range`, those of
    /// [`Content::source`].
    pub(super) async fn refer(
        &self,
        upload: &ContentUpload,
        number: PartNumber,
        source: CopySource<'_>,
        span: Option<ByteSpan>,
    ) -> Result<Option<CopiedPart>> {
        let pointer = self.source(source).await?;
        let Some(pointer) = pointer.filter(|pointer| pointer.account == upload.account) else {
            return Ok(None);
        };
        let recipe = self.recipe(named(source), &pointer).await?;
        let span = span.unwrap_or(ByteSpan { first: 0, end: pointer.size_bytes });
        if span.end > pointer.size_bytes {
            let what = format!("{} has {} bytes", source.key, pointer.size_bytes);
            return Err(Error::new(Kind::Range, what));
        }
        let Some(piece) = exactly_one(&recipe, span) else { return Ok(None) };
        let (blob, size_bytes, etag) = (piece.blob, piece.size_bytes, piece.etag.clone());
        let to = Reference { blob, size_bytes, etag };
        let Some(name) = PartName::referring(number, self.nonce(), to) else { return Ok(None) };
        self.require_open(upload).await?;
        if !self.may_refer_to(upload, &recipe).await? {
            return Ok(None);
        }
        self.put_entry(upload.key(&name)).await?;
        Ok(Some(CopiedPart { etag: piece.etag.clone(), sha256: None }))
    }

    /// The pointer of a source. None: a plain object. **Errors**: `NotFound`, `Precondition` if it
    /// is not the object any more that the caller saw.
    pub(super) async fn source(&self, source: CopySource<'_>) -> Result<Option<Pointer>> {
        let CopySource { bucket, key, version, etag, .. } = source;
        let there = self.look(bucket, key, version).await?;
        let (_, pointer) =
            there.ok_or_else(|| Error::new(Kind::NotFound, format!("no object {key}")))?;
        match pointer {
            Some(pointer) if pointer.etag != *etag => {
                Err(Error::new(Kind::Precondition, format!("{key} has another ETag")))
            }
            other => Ok(other),
        }
    }

    /// Whether an upload may refer to the blobs of a recipe from now on, until it ends.
    pub(super) async fn may_refer_to(
        &self,
        upload: &ContentUpload,
        recipe: &Recipe,
    ) -> Result<bool> {
        let name = (upload.id, recipe.id);
        if self.sources.get(&name).is_some() {
            return Ok(true);
        }
        self.put_entry(upload.source(&recipe.id)).await?;
        let prefix = recipe_prefix(&recipe.account, &recipe.id);
        let listed = self.all_below(&prefix).await?;
        let safe = is_safe(&prefix, listed.iter().map(|entry| &entry.key));
        if safe {
            self.sources.insert(name, 1, ());
        }
        Ok(safe)
    }
}

/// Bucket, key and version of a source.
pub(super) fn named<'a>(source: CopySource<'a>) -> (&'a Bucket, &'a Key, Option<&'a str>) {
    (source.bucket, source.key, source.version)
}

/// The piece that has exactly these bytes.
fn exactly_one(recipe: &Recipe, span: ByteSpan) -> Option<&Piece> {
    let pieces = recipe.pieces_of(span.first, span.end);
    let [(piece, within)] = pieces.as_slice() else { return None };
    (*within == (0..piece.size_bytes)).then_some(*piece)
}
