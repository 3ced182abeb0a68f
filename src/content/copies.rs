//! Copies of objects that are recipes, and plain objects that are made of them.
//!
//! Guarantees: a copy of an account's own object is another recipe of the same blobs. It is made by
//! an upload of its own, so that a sweep sees what it refers to.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::Content;
use super::complete::Published;
use super::pointer::{Pointer, seen};
use super::read::blob_source;
use super::recipe::{Piece, Recipe};
use super::references::named;
use crate::digest::Sha256;
use crate::names::{Bucket, Key};
use crate::store::{
    ByteSpan, ChosenPart, Completion, CopiedPart, CopyOptions, CopySource, PartNumber, PartOptions,
    PartTarget, PutMode, Result, UploadTarget, Written,
};

/// Parts that the server copies at once.
const COPIES_AT_ONCE: usize = 4;

impl Content {
    /// None: the source belongs to another account than who copies.
    pub(super) async fn copy_recipe(
        &self,
        (source, pointer): (CopySource<'_>, &Pointer),
        target: (&Bucket, &Key),
        options: &CopyOptions,
    ) -> Result<Option<Written>> {
        let account = &pointer.account;
        if options.account.as_ref() != Some(account) {
            return Ok(None);
        }
        let from = self.recipe(named(source), pointer).await?;
        let Some(upload) = self.begin(account, target, &options.attributes).await? else {
            return Ok(None);
        };
        let copied = async {
            if !self.may_refer_to(&upload, &from).await? {
                return Ok(None);
            }
            let (id, bucket, key) = (self.random(), target.0.clone(), target.1.clone());
            let recipe = Recipe { id, upload: upload.id, bucket, key, ..Recipe::clone(&from) };
            self.write_recipe(&recipe).await?;
            let (etag, attributes) = (source.etag.clone(), options.attributes.clone());
            let object = Published { upload: &upload, recipe: &recipe, etag, attributes };
            self.publish(&object, &options.mode).await.map(Some)
        };
        let copied = copied.await;
        // Also after a failure: what was written of it is the sweep's.
        if let Err(error) = self.end(&upload).await {
            tracing::warn!(upload = %upload.upload_id(), %error, "the upload of a copy was not ended");
        }
        copied
    }

    /// Copies bytes of a recipe into a part of an upload of the store itself. None unless they are
    /// in one blob.
    pub(super) async fn copy_blob(
        &self,
        recipe: &Recipe,
        span: ByteSpan,
        part: PartTarget<'_>,
    ) -> Result<Option<CopiedPart>> {
        let pieces = recipe.pieces_of(span.first, span.end);
        let [(piece, within)] = pieces.as_slice() else { return Ok(None) };
        let span = ByteSpan { first: within.start, end: within.end };
        let key = piece.blob.key(&recipe.account);
        let source = blob_source(&self.state_bucket, &key, piece);
        self.store.copy_part(source, Some(span), part).await
    }

    /// Replaces a pointer by a plain object of the same bytes, which the server copies. None: it is
    /// a plain object. **Errors**: `NotFound`; `Precondition` if it was replaced meanwhile.
    pub(super) async fn make_plain_object(
        &self,
        bucket: &Bucket,
        key: &Key,
    ) -> Result<Option<Written>> {
        let (head, pointer) = seen(self.store.head(bucket, key).await?);
        let Some((stored, pointer)) = pointer else { return Ok(None) };
        let recipe = self.recipe((bucket, key, None), &pointer).await?;
        let mut attributes = head.attributes;
        attributes.tags = self.store.tags(bucket, key, None).await?;
        let id = self.store.create_upload(bucket, key, &attributes).await?;
        let upload = UploadTarget { bucket, key, upload: &id };
        let made = async {
            let grouped = grouped(&recipe.pieces, self.store.limits().min_part_bytes);
            let parts = grouped.into_iter().enumerate().map(|(at, pieces)| {
                let recipe = &recipe;
                async move {
                    let number = u32::try_from(at + 1).ok().and_then(PartNumber::new);
                    let number = number.expect("a recipe has no more pieces than an upload parts");
                    self.put_plain_part(recipe, pieces, PartTarget { upload, number }).await
                }
            });
            let parts: Vec<_> = parts.collect();
            let parts: Vec<ChosenPart> =
                stream::iter(parts).buffered(COPIES_AT_ONCE).try_collect().await?;
            let mode = PutMode::IfMatch(stored);
            let completion = Completion { size_bytes: pointer.size_bytes, mode };
            self.store.complete(upload, &parts, &completion).await
        };
        let made = made.await;
        if made.is_err()
            && let Err(error) = self.store.abort(upload).await
        {
            tracing::warn!(%bucket, %key, %error, "the upload of a plain object was not aborted");
        }
        made.map(Some)
    }

    /// Copies a blob of which the SHA-256 is known, since a server may ask for those of all parts;
    /// others, and small ones together, pass the gateway.
    async fn put_plain_part(
        &self,
        recipe: &Recipe,
        Grouped { span, sha256 }: Grouped,
        part: PartTarget<'_>,
    ) -> Result<ChosenPart> {
        let number = part.number;
        if sha256.is_some()
            && let Some(CopiedPart { etag, .. }) = self.copy_blob(recipe, span, part).await?
        {
            return Ok(ChosenPart { number, etag, sha256 });
        }
        let body = self.body(recipe, span.first, span.end);
        let written = self.store.put_part(part, body, PartOptions::default()).await?;
        Ok(ChosenPart { number, etag: written.etag, sha256: Some(written.sha256) })
    }
}

/// One or more pieces that make a part of a plain object.
struct Grouped {
    span: ByteSpan,
    /// Of a single piece, if it is known.
    sha256: Option<Sha256>,
}

/// The pieces as parts of at least the size that S3 asks for.
fn grouped(pieces: &[Piece], min_part_bytes: u64) -> Vec<Grouped> {
    let mut parts: Vec<Grouped> = Vec::new();
    let mut end = 0;
    for piece in pieces {
        let first = end;
        end += piece.size_bytes;
        match parts.last_mut() {
            Some(part) if part.span.len_bytes() < min_part_bytes => {
                part.span.end = end;
                part.sha256 = None;
            }
            Some(_) | None => {
                parts.push(Grouped { span: ByteSpan { first, end }, sha256: piece.sha256 });
            }
        }
    }
    parts
}
