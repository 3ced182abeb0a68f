//! Complete: the recipe, then the pointer.
//!
//! Guarantees: the pointer replaces exactly the object that was there when the upload was last seen
//! open, so a late one never replaces a newer object; an upload makes one object, also where its
//! gateway stopped between the pointer and the end of the upload: the attempt was noted, with what
//! it was to replace.

use bytes::Bytes;

use super::Content;
use super::names::{Attempt, ContentUpload, Over};
use super::pointer::{Pointer, seen};
use super::recipe::{Piece, PointerVersion, Recipe, version_key};
use super::upload::{Marker, UploadListing, no_such_upload};
use crate::digest::Sha256;
use crate::names::{Bucket, Key};
use crate::store::{
    Attributes, Body, ChosenPart, Completion, ETag, Error, GetOptions, GetRange, Kind, PutMode,
    PutOptions, Result, Written,
};

/// How often Complete looks at its target again because another writer replaced the object.
const MAX_ATTEMPTS: usize = 8;

/// What became of earlier attempts to complete an upload.
enum Earlier {
    /// The target is as it was before them.
    None,
    /// The object of one is there.
    Made(Written),
    /// Another object is there, or none: that of an attempt may have been there in between.
    Replaced,
}

/// An object that is being put together.
pub(super) struct Published<'a> {
    pub upload: &'a ContentUpload,
    pub recipe: &'a Recipe,
    pub etag: ETag,
    pub attributes: Attributes,
}

impl Content {
    pub(super) async fn complete_upload(
        &self,
        upload: &ContentUpload,
        parts: &[ChosenPart],
        completion: &Completion,
    ) -> Result<Written> {
        let marker = self.marker(upload).await?;
        let listing = self.upload_listing(upload).await?;
        match self.earlier_attempt(&marker, &listing).await? {
            Earlier::None => {}
            Earlier::Made(written) => {
                self.end(upload).await?;
                return Ok(written);
            }
            Earlier::Replaced => {
                self.end(upload).await?;
                return Err(no_such_upload(&upload.upload_id()));
            }
        }
        let pieces = self.chosen_pieces(&listing, parts)?;
        let (account, id) = (upload.account.clone(), self.random());
        let (bucket, key) = (marker.bucket.clone(), marker.key.clone());
        let recipe = Recipe { account, id, upload: upload.id, bucket, key, pieces };
        let sum = recipe.size_bytes();
        if sum != completion.size_bytes {
            let what = format!("the parts have {sum} bytes, not {}", completion.size_bytes);
            return Err(Error::new(Kind::InvalidPart, what));
        }
        let etag = ETag::of_parts(parts.iter().map(|part| &part.etag));
        let attributes = marker.attributes();
        self.write_recipe(&recipe).await?;
        let object = Published { upload, recipe: &recipe, etag, attributes };
        let written = self.publish(&object, &completion.mode).await?;
        if let Err(error) = self.end(upload).await {
            tracing::warn!(upload = %upload.upload_id(), %error, "a completed upload was not ended");
        }
        Ok(written)
    }

    /// **Errors**: `InvalidPart`, `TooSmall`.
    fn chosen_pieces(&self, listing: &UploadListing, parts: &[ChosenPart]) -> Result<Vec<Piece>> {
        pieces_of(listing, parts, self.store.limits().min_part_bytes)
    }

    /// The bytes of chosen parts, before they are completed.
    pub(super) async fn chosen_body(
        &self,
        upload: &ContentUpload,
        parts: &[ChosenPart],
    ) -> Result<Body> {
        let Marker { bucket, key, .. } = self.marker(upload).await?;
        let pieces = self.chosen_pieces(&self.upload_listing(upload).await?, parts)?;
        let (account, id) = (upload.account.clone(), self.random());
        let recipe = Recipe { account, id, upload: upload.id, bucket, key, pieces };
        Ok(self.body(&recipe, 0, recipe.size_bytes()))
    }

    /// What became of earlier attempts, whose gateways stopped before they ended the upload.
    async fn earlier_attempt(
        &self,
        Marker { bucket, key, .. }: &Marker,
        UploadListing { attempts, .. }: &UploadListing,
    ) -> Result<Earlier> {
        if attempts.is_empty() {
            return Ok(Earlier::None);
        }
        let there = self.look(bucket, key, None).await?;
        if let Some((_, Some(pointer))) = &there
            && attempts.iter().any(|attempt| attempt.recipe == pointer.recipe)
        {
            let etag = pointer.etag.clone();
            return Ok(Earlier::Made(Written { etag, version: None, checksum: None }));
        }
        let over = Over::object(there.as_ref().map(|(etag, _)| etag));
        let untouched = attempts.iter().any(|attempt| attempt.over == over);
        Ok(if untouched { Earlier::None } else { Earlier::Replaced })
    }

    /// Puts the pointer of a recipe that is written. **Errors**: those of the condition;
    /// `NoSuchUpload`.
    pub(super) async fn publish(&self, object: &Published<'_>, mode: &PutMode) -> Result<Written> {
        let Recipe { bucket, key, .. } = object.recipe;
        for _ in 0..MAX_ATTEMPTS {
            let over = match mode {
                PutMode::Overwrite => self.look(bucket, key, None).await?.map(|(etag, _)| etag),
                PutMode::CreateOnly => None,
                PutMode::IfMatch(etag) => Some(self.stored_tag(bucket, key, etag).await?),
            };
            let attempt = Attempt { recipe: object.recipe.id, over: Over::object(over.as_ref()) };
            self.put_entry(object.upload.attempt(&attempt)).await?;
            // After the look at the target: whoever completed the upload since then changed it.
            self.require_open(object.upload).await?;
            match self.put_pointer(object, over).await {
                Err(error)
                    if matches!(error.kind(), Kind::Precondition | Kind::NotFound)
                        && *mode == PutMode::Overwrite => {}
                other => return other,
            }
        }
        let what = format!("{key} keeps changing while an upload is completed over it");
        Err(Error::new(Kind::Conflict, what))
    }

    async fn put_pointer(&self, object: &Published<'_>, over: Option<ETag>) -> Result<Written> {
        let Recipe { account, id, bucket, key, .. } = object.recipe;
        let pointer = Pointer {
            account: account.clone(),
            recipe: *id,
            size_bytes: object.recipe.size_bytes(),
            etag: object.etag.clone(),
        };
        let bytes = pointer.bytes();
        let options = PutOptions {
            mode: over.map_or(PutMode::CreateOnly, PutMode::IfMatch),
            attributes: pointer.attributes(object.attributes.clone()),
            sha256: Some(Sha256::of(bytes.as_bytes())),
            checksum: None,
        };
        let put = self.store.put(bucket, key, Body::from(Bytes::from(bytes)), options);
        let Written { version, .. } = put.await?;
        if let Some(version) = &version {
            let pointer = PointerVersion { id: version.clone() };
            self.put_document(version_key(account, id), &pointer).await?;
        }
        Ok(Written { etag: object.etag.clone(), version, checksum: None })
    }

    /// The object that the store has at a key: its own ETag, and the pointer if it is one.
    pub(super) async fn look(
        &self,
        bucket: &Bucket,
        key: &Key,
        version: Option<&str>,
    ) -> Result<Option<(ETag, Option<Pointer>)>> {
        let options = GetOptions { version: version.map(str::to_owned), ..GetOptions::default() };
        match self.store.get(bucket, key, GetRange::Head, options).await {
            Ok((head, _)) => Ok(Some(match seen(head) {
                (head, None) => (head.etag, None),
                (_, Some((stored, pointer))) => (stored, Some(pointer)),
            })),
            Err(error) if is_absent(error.kind()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The store's ETag of the object that clients know by this one, which differs if it is a
    /// recipe.
    pub(super) async fn stored_tag(&self, bucket: &Bucket, key: &Key, etag: &ETag) -> Result<ETag> {
        if *bucket == self.state_bucket || !is_of_parts(etag) {
            return Ok(etag.clone());
        }
        Ok(match self.look(bucket, key, None).await? {
            Some((stored, Some(pointer))) if pointer.etag == *etag => stored,
            Some(_) | None => etag.clone(),
        })
    }
}

pub(super) fn is_absent(kind: Kind) -> bool {
    matches!(kind, Kind::NotFound | Kind::NoSuchBucket | Kind::NoSuchVersion | Kind::DeleteMarker)
}

/// Whether an ETag may be that of a recipe: it is made of those of parts.
pub(super) fn is_of_parts(etag: &ETag) -> bool {
    etag.as_str().contains('-')
}

/// **Errors**: `InvalidPart`, `TooSmall`.
fn pieces_of(
    listing: &UploadListing,
    parts: &[ChosenPart],
    min_part_bytes: u64,
) -> Result<Vec<Piece>> {
    let ascend = parts.windows(2).all(|pair| pair[0].number < pair[1].number);
    if parts.is_empty() || !ascend {
        let what = "there are no parts, or their numbers do not ascend";
        return Err(Error::new(Kind::InvalidPart, what));
    }
    let pieces = parts.iter().map(|chosen| {
        let first = listing.parts.partition_point(|part| part.number < chosen.number);
        let of_number = listing.parts[first..].iter();
        let mut of_number = of_number.take_while(|part| part.number == chosen.number);
        let part = of_number.find(|part| part.etag == chosen.etag).ok_or_else(|| {
            let what = format!("no part {} with the ETag {}", chosen.number, chosen.etag);
            Error::new(Kind::InvalidPart, what)
        })?;
        let (blob, size_bytes, etag) = (part.blob, part.size_bytes, part.etag.clone());
        Ok(Piece { blob, size_bytes, etag, sha256: chosen.sha256 })
    });
    let pieces: Vec<Piece> = pieces.collect::<Result<_>>()?;
    let before_last = &pieces[..pieces.len() - 1];
    let small = before_last.iter().find(|piece| piece.size_bytes < min_part_bytes);
    match small {
        None => Ok(pieces),
        Some(Piece { blob, size_bytes, .. }) => {
            let what = format!("the part {} has {size_bytes} bytes", blob.number);
            Err(Error::new(Kind::TooSmall, what))
        }
    }
}
