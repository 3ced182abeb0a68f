//! Parts that are sent: each becomes a blob.
//!
//! Guarantees: a blob is put once, under a name of its own, and only for an upload that is open
//! when the put begins. A body that fails leaves no blob.

use futures_util::future::{self, Either};

use super::Content;
use super::names::{ContentUpload, PartName};
use crate::digest::Algorithm;
use crate::hex::unhex;
use crate::store::{
    Body, Error, Kind, PartNumber, PartOptions, PutMode, PutOptions, Result, WrittenPart,
};

impl Content {
    /// **Durability**: on return. **Errors**: `NoSuchUpload`, `Body`, `Checksum`.
    pub(super) async fn put_blob(
        &self,
        upload: &ContentUpload,
        number: PartNumber,
        body: Body,
        options: PartOptions,
    ) -> Result<WrittenPart> {
        let name = PartName { number, nonce: self.nonce(), refers_to: None };
        let key = upload.key(&name);
        // The digest that whoever made the body computes, or one of our own.
        let passed = body.sha256();
        let hashes = options.sha256.is_none() && passed.is_none();
        let (body, computed) = body.with_checksum(hashes.then_some(Algorithm::Sha256));
        let put = PutOptions {
            mode: PutMode::CreateOnly,
            sha256: options.sha256,
            ..PutOptions::default()
        };
        let putting = Box::pin(self.store.put(&self.state_bucket, &key, body, put));
        // At once, so that the look costs no time.
        let looking = Box::pin(self.require_open(upload));
        let written = match future::select(looking, putting).await {
            Either::Left((open, putting)) => {
                open?;
                putting.await?
            }
            Either::Right((written, looking)) => {
                looking.await?;
                written?
            }
        };
        let passed = passed.and_then(|sha256| sha256.get());
        let computed = computed.get().and_then(|checksum| checksum.sha256());
        let sha256 = options.sha256.or(passed).or(computed).ok_or_else(|| {
            let what = format!("part {number} was answered before it was read to the end");
            Error::new(Kind::Unavailable, what)
        })?;
        Ok(WrittenPart { etag: written.etag, sha256 })
    }

    pub(super) fn nonce(&self) -> [u8; 8] {
        let id = self.clock.random_id();
        id.get(..16).and_then(unhex).expect("a random id has 32 hex digits")
    }
}
