//! Reading objects that are recipes.
//!
//! Guarantees: the bytes are those of the recipe that the pointer named when the read began; a blob
//! that is read whole is compared with its SHA-256 before its last frame goes on, and a part of one
//! is not compared; a blob whose response breaks off is asked for again, from where it broke. At
//! most two responses of the store are open.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Content;
use super::complete::is_of_parts;
use super::names::Blob;
use super::pointer::{Pointer, seen};
use super::recipe::{Piece, Recipe};
use crate::digest::{RunningSha256, Sha256};
use crate::names::{AccountName, Bucket, Key};
use crate::store::{
    Body, BodyError, ByteSpan, CopySource, Error, Extent, GetOptions, GetRange, Head, Kind, Result,
    Store,
};

/// Blobs that are open at once: the next one is on its way while one is read.
const OPEN_BLOBS: usize = 2;

/// How often a blob is opened again after its response broke off.
const MAX_REOPENED: u32 = 2;

impl Content {
    pub(super) async fn read(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: GetOptions,
    ) -> Result<(Head, Body)> {
        let (head, body) = self.look_and_open(bucket, key, read, &options).await?;
        let (head, pointer) = seen(head);
        let Some((_, pointer)) = pointer else { return Ok((head, body)) };
        drop(body);
        if options.if_match.as_ref().is_some_and(|etag| *etag != pointer.etag) {
            return Err(Error::new(Kind::Precondition, format!("{key} has another ETag")));
        }
        if options.if_none_match.as_ref().is_some_and(|etag| *etag == pointer.etag) {
            return Err(Error::new(Kind::NotModified, format!("{key} has this ETag")));
        }
        let (first, end) = read.span(pointer.size_bytes).ok_or_else(|| {
            Error::new(Kind::Range, format!("{key} has {} bytes", pointer.size_bytes))
        })?;
        if read == GetRange::Head {
            return Ok((head, Body::empty()));
        }
        match self.recipe((bucket, key, options.version.as_deref()), &pointer).await {
            Ok(recipe) => Ok((head, self.body(&recipe, first, end))),
            // It was replaced after it was looked at: another one is there, or none.
            Err(error) if error.kind() == Kind::Precondition => {
                Box::pin(self.read(bucket, key, read, options)).await
            }
            Err(error) => Err(error),
        }
    }

    /// The head of an object, and its bytes if it is a plain one.
    async fn look_and_open(
        &self,
        bucket: &Bucket,
        key: &Key,
        read: GetRange,
        options: &GetOptions,
    ) -> Result<(Head, Body)> {
        match self.store.get(bucket, key, read, options.clone()).await {
            Err(error) if may_be_of_pointer(&error, options) => {
                let version = options.version.clone();
                let only_head = GetOptions { version, ..GetOptions::default() };
                match self.store.get(bucket, key, GetRange::Head, only_head).await {
                    Ok((head, _)) if Pointer::of(&head.attributes).is_some() => {
                        Ok((head, Body::empty()))
                    }
                    Ok(_) | Err(_) => Err(error),
                }
            }
            other => other,
        }
    }

    /// The recipe that a pointer names. **Errors**: `Precondition` if the pointer is not there any
    /// more, `Unavailable` if the recipe is lost.
    pub(super) async fn recipe(
        &self,
        (bucket, key, version): (&Bucket, &Key, Option<&str>),
        pointer: &Pointer,
    ) -> Result<Arc<Recipe>> {
        if let Some(recipe) = self.recipes.get(&pointer.recipe) {
            return Ok(recipe);
        }
        let recipe = self.read_recipe(&pointer.account, &pointer.recipe).await?;
        let recipe = recipe.filter(|recipe| recipe.size_bytes() == pointer.size_bytes);
        let Some(recipe) = recipe.map(Arc::new) else {
            let now = self.look(bucket, key, version).await?;
            if now.and_then(|(_, now)| now).as_ref() != Some(pointer) {
                return Err(Error::new(Kind::Precondition, format!("{key} was replaced")));
            }
            let what = format!("the recipe {} of {key} is lost or damaged", pointer.recipe);
            return Err(Error::new(Kind::Unavailable, what));
        };
        self.recipes.insert(pointer.recipe, recipe.pieces.len(), Arc::clone(&recipe));
        Ok(recipe)
    }

    /// The bytes `[first, end)` of a recipe.
    pub(super) fn body(&self, recipe: &Recipe, first: u64, end: u64) -> Body {
        let pieces = recipe.pieces_of(first, end).into_iter();
        let reads: Vec<BlobRead> =
            pieces.map(|(piece, span)| BlobRead::new(self, &recipe.account, piece, span)).collect();
        let opened = stream::iter(reads).map(BlobRead::open).buffered(OPEN_BLOBS);
        Body::new(end - first, opened.map_ok(frames).try_flatten())
    }
}

/// Whether what a store said of an object can be due to it being a pointer.
fn may_be_of_pointer(error: &Error, options: &GetOptions) -> bool {
    let has_tag_of_parts = options.if_match.as_ref().is_some_and(is_of_parts);
    error.kind() == Kind::Range || error.kind() == Kind::Precondition && has_tag_of_parts
}

/// A blob that is being read.
struct BlobRead {
    store: Arc<dyn Store>,
    state_bucket: Bucket,
    account: AccountName,
    blob: Blob,
    /// The bytes of it that are still to come.
    span: Range<u64>,
    /// What a blob that is read whole must have.
    expected: Option<(RunningSha256, Sha256)>,
    body: Body,
    /// The last frame that came, which goes on once it is known to be right.
    held: Option<Bytes>,
    reopened: u32,
}

impl BlobRead {
    fn new(content: &Content, account: &AccountName, piece: &Piece, span: Range<u64>) -> Self {
        let is_whole = span == (0..piece.size_bytes);
        let expected = piece.sha256.filter(|_| is_whole);
        Self {
            store: Arc::clone(&content.store),
            state_bucket: content.state_bucket.clone(),
            account: account.clone(),
            blob: piece.blob,
            span,
            expected: expected.map(|sha256| (RunningSha256::default(), sha256)),
            body: Body::empty(),
            held: None,
            reopened: 0,
        }
    }

    async fn open(mut self) -> std::result::Result<Self, BodyError> {
        let span = ByteSpan { first: self.span.start, end: self.span.end };
        let key = self.blob.key(&self.account);
        let options = GetOptions::default();
        let (_, body) = self.store.get(&self.state_bucket, &key, span.range(), options).await?;
        self.body = body;
        Ok(self)
    }

    /// The next frame, and the blob for those after it.
    async fn next(mut self) -> std::result::Result<Option<(Bytes, Self)>, BodyError> {
        loop {
            match self.body.next().await {
                Some(Ok(frame)) => {
                    self.span.start += frame.len() as u64;
                    if let Some((running, _)) = &mut self.expected {
                        running.update(&frame);
                    }
                    if let Some(earlier) = self.held.replace(frame) {
                        return Ok(Some((earlier, self)));
                    }
                }
                None if self.span.is_empty() => {
                    self.require_expected()?;
                    return Ok(self.held.take().map(|last| (last, self)));
                }
                broken => {
                    let cause = broken.and_then(std::result::Result::err);
                    let cause = cause.unwrap_or_else(|| "the response ended early".into());
                    if self.span.is_empty() || self.reopened == MAX_REOPENED {
                        return Err(cause);
                    }
                    self.reopened += 1;
                    self = self.open().await?;
                }
            }
        }
    }

    fn require_expected(&mut self) -> std::result::Result<(), BodyError> {
        let Some((running, expected)) = self.expected.take() else { return Ok(()) };
        let found = running.finish();
        if found == expected {
            return Ok(());
        }
        let key = self.blob.key(&self.account);
        tracing::error!(bucket = %self.state_bucket, %key, %found, %expected, "a blob is damaged");
        Err(format!("the blob {key} is damaged: it has {found}, not {expected}").into())
    }
}

fn frames(
    blob: BlobRead,
) -> impl futures_util::Stream<Item = std::result::Result<Bytes, BodyError>> {
    stream::try_unfold(blob, BlobRead::next)
}

/// The bytes of a piece, as an extent that all objects with this blob share.
pub(super) fn shared_by(piece: &Piece) -> Extent {
    let Sha256(digest) = Sha256::of(piece.blob.to_string().as_bytes());
    let id = digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte));
    Extent { id, first: 0, len_bytes: piece.size_bytes }
}

/// A blob as the source of a copy that the server makes.
pub(super) fn blob_source<'a>(
    state_bucket: &'a Bucket,
    key: &'a Key,
    piece: &'a Piece,
) -> CopySource<'a> {
    let etag = &piece.etag;
    CopySource { bucket: state_bucket, key, version: None, etag, part_etag: Some(etag) }
}
