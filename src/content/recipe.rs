//! Recipes: which blobs an object is made of, in order.
//!
//! Guarantees: a recipe never changes, and its name is used once. Its first document is written
//! last and removed first: without it there is no recipe, whatever else is left of it. A
//! document that cannot be read is an error, and never another content.
//! **Layout**: below `v1/<account>/recipes/<id>/`, `recipe.json` (target, size, number of blobs,
//! and the blobs if they are 1,000 at most), `000000.json` and so on (1,000 blobs each), `version`
//! (the version that the pointer got in a bucket with versions), `unused` (a sweep found no
//! pointer), `condemned-<sweep>` (that sweep is about to remove it).

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::names::{Blob, Id, recipes_prefix};
use crate::digest::Sha256;
use crate::names::{AccountName, Bucket, Key};
use crate::store::{ETag, Error, Kind, Result};

/// Blobs in one document.
const BLOBS_PER_DOCUMENT: usize = 1000;

pub(super) const UNUSED: &str = "unused";
const CONDEMNED: &str = "condemned-";
const FIRST: &str = "recipe.json";

/// Documents of a recipe that are written or read at once.
const DOCUMENTS_AT_ONCE: usize = 4;

/// One blob of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub blob: Blob,
    pub size_bytes: u64,
    pub etag: ETag,
    /// None: nobody hashed it.
    pub sha256: Option<Sha256>,
}

/// What an object is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub account: AccountName,
    pub id: Id,
    /// The upload that made it.
    pub upload: Id,
    /// Where its pointer is.
    pub bucket: Bucket,
    pub key: Key,
    pub pieces: Vec<Piece>,
}

/// `recipe.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FirstDocument {
    upload: String,
    bucket: Bucket,
    key: Key,
    size_bytes: u64,
    count: usize,
    /// Absent where there are documents for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blobs: Option<Vec<Row>>,
}

/// `000000.json` and so on.
#[derive(Debug, Serialize, Deserialize)]
struct NextDocument {
    blobs: Vec<Row>,
}

/// `version`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PointerVersion {
    pub id: String,
}

/// Name, length, ETag, SHA-256 in Base64.
type Row = (String, u64, ETag, Option<String>);

impl Recipe {
    pub fn size_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.size_bytes).sum()
    }

    /// The pieces with bytes of `[first, end)`, each with the bytes of it that are meant.
    pub fn pieces_of(&self, first: u64, end: u64) -> Vec<(&Piece, Range<u64>)> {
        let mut start = 0;
        let spans = self.pieces.iter().map(|piece| {
            let at = start;
            start += piece.size_bytes;
            (piece, first.saturating_sub(at)..end.saturating_sub(at).min(piece.size_bytes))
        });
        spans.filter(|(_, span)| span.start < span.end).collect()
    }
}

impl super::Content {
    /// **Durability**: on return.
    pub(super) async fn write_recipe(&self, recipe: &Recipe) -> Result<()> {
        let (account, id) = (&recipe.account, &recipe.id);
        let mut blobs: Vec<Row> = recipe.pieces.iter().map(row).collect();
        let count = blobs.len();
        if count > BLOBS_PER_DOCUMENT {
            let pages =
                blobs.chunks(BLOBS_PER_DOCUMENT).enumerate().map(|(page, blobs)| async move {
                    let document = NextDocument { blobs: blobs.to_vec() };
                    self.put_document(page_key(account, id, page), &document).await
                });
            let pages: Vec<_> = pages.collect();
            stream::iter(pages).buffer_unordered(DOCUMENTS_AT_ONCE).try_collect::<()>().await?;
            blobs.clear();
        }
        let first = FirstDocument {
            upload: recipe.upload.to_string(),
            bucket: recipe.bucket.clone(),
            key: recipe.key.clone(),
            size_bytes: recipe.size_bytes(),
            count,
            blobs: (count <= BLOBS_PER_DOCUMENT).then_some(blobs),
        };
        self.put_document(first_key(account, id), &first).await
    }

    /// None: there is no such recipe (any more).
    pub(super) async fn read_recipe(
        &self,
        account: &AccountName,
        id: &Id,
    ) -> Result<Option<Recipe>> {
        let key = first_key(account, id);
        let Some(first) = self.document::<FirstDocument>(&key).await? else { return Ok(None) };
        let rows = match first.blobs {
            Some(blobs) => blobs,
            None => {
                let pages = (0..first.count.div_ceil(BLOBS_PER_DOCUMENT)).map(|page| async move {
                    let key = page_key(account, id, page);
                    let next = self.document::<NextDocument>(&key).await?;
                    next.map(|next| next.blobs).ok_or_else(|| damaged(&key))
                });
                let pages: Vec<_> = pages.collect();
                stream::iter(pages).buffered(DOCUMENTS_AT_ONCE).try_concat().await?
            }
        };
        let pieces: Option<Vec<_>> = rows.into_iter().map(piece).collect();
        let (Some(upload), Some(pieces)) = (Id::parse(&first.upload), pieces) else {
            return Err(damaged(&key));
        };
        let (account, id) = (account.clone(), *id);
        let (bucket, target) = (first.bucket, first.key);
        let recipe = Recipe { account, id, upload, bucket, key: target, pieces };
        if recipe.pieces.len() != first.count || recipe.size_bytes() != first.size_bytes {
            return Err(damaged(&key));
        }
        Ok(Some(recipe))
    }
}

/// Whether a listing of the recipe, in the order of its keys, shows its first document and that no
/// sweep is about to remove it: the order matters, since a sweep removes its mark last.
pub(super) fn is_safe<'a>(prefix: &str, keys: impl Iterator<Item = &'a Key>) -> bool {
    let files: Vec<&str> = keys.filter_map(|key| key.strip_prefix(prefix)).collect();
    files.contains(&FIRST) && !files.iter().any(|file| is_condemned_mark(file))
}

/// The document without which there is no recipe.
pub(super) fn first_key(account: &AccountName, id: &Id) -> Key {
    key(account, id, FIRST)
}

/// The version of the pointer, in a bucket that keeps versions.
pub(super) fn version_key(account: &AccountName, id: &Id) -> Key {
    key(account, id, "version")
}

/// Says since when sweeps find no pointer.
pub(super) fn unused_key(account: &AccountName, id: &Id) -> Key {
    key(account, id, UNUSED)
}

/// Says that a sweep is about to remove the recipe. It sorts before the first document.
pub(super) fn condemned_key(account: &AccountName, id: &Id, sweep: &Id) -> Key {
    key(account, id, &format!("{CONDEMNED}{sweep}"))
}

pub(super) fn is_condemned_mark(file: &str) -> bool {
    file.starts_with(CONDEMNED)
}

/// What the keys of a recipe begin with.
pub(super) fn recipe_prefix(account: &AccountName, id: &Id) -> String {
    format!("{}{id}/", recipes_prefix(account))
}

fn page_key(account: &AccountName, id: &Id, page: usize) -> Key {
    key(account, id, &format!("{page:06}.json"))
}

fn key(account: &AccountName, id: &Id, file: &str) -> Key {
    format!("{}{file}", recipe_prefix(account, id)).into()
}

fn row(piece: &Piece) -> Row {
    let Piece { blob, size_bytes, etag, sha256 } = piece;
    (blob.to_string(), *size_bytes, etag.clone(), sha256.map(|sha256| sha256.base64()))
}

fn piece((blob, size_bytes, etag, sha256): Row) -> Option<Piece> {
    let sha256 = match sha256 {
        Some(sha256) => Some(Sha256::from_base64(&sha256)?),
        None => None,
    };
    Some(Piece { blob: Blob::parse(&blob)?, size_bytes, etag, sha256 })
}

fn damaged(key: &Key) -> Error {
    Error::new(Kind::Unavailable, format!("the recipe {key} of the state bucket is damaged"))
}
