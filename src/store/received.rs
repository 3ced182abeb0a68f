//! A body as it was received, the tags made of it, and the rules of Complete that every store of
//! our own keeps.
//!
//! Guarantees: a body that is short, long, broken or not what its SHA-256 says is refused before
//! anything is stored.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use md5::{Digest, Md5};

use super::{Body, ChosenPart, ETag, Error, Kind, PartOptions, PartTag, Result};
use crate::digest::batch::BodyHasher;
use crate::digest::{DigestSet, PassedSha256, Sha256};
use crate::hex::hex;

/// A small body in memory, with its digests.
pub(super) struct Received {
    pub bytes: Bytes,
    #[cfg(any(test, feature = "testing"))]
    pub sha256: Sha256,
    md5: [u8; 16],
}

/// Takes a whole body in. **Errors**: `Body`, `Checksum`.
pub(super) async fn receive(
    mut body: Body,
    declared: Option<Sha256>,
    max_bytes: usize,
) -> Result<Received> {
    let wanted = body.len_bytes();
    let mut bytes = BytesMut::new();
    let mut summing = Summing::new(&body, true);
    while let Some(frame) = body.next().await {
        let frame =
            frame.map_err(|cause| Error::new(Kind::Body, "the body broke off").because(cause))?;
        if bytes.len() + frame.len() > max_bytes {
            return Err(Error::new(Kind::Full, format!("a body of more than {max_bytes} bytes")));
        }
        summing.give(&frame).await;
        bytes.extend_from_slice(&frame);
    }
    check_len(bytes.len() as u64, wanted)?;
    let (sha256, md5) = summing.finish().await?;
    check_sha256(sha256, declared)?;
    Ok(Received {
        bytes: bytes.freeze(),
        #[cfg(any(test, feature = "testing"))]
        sha256,
        md5: md5.expect("it was wanted"),
    })
}

/// The digests of a body that a store takes in: computed here, but for a SHA-256 that the body's
/// own stream computes.
pub(super) struct Summing {
    here: BodyHasher,
    passed: Option<PassedSha256>,
}

impl Summing {
    pub fn new(body: &Body, md5: bool) -> Self {
        let passed = body.sha256();
        Self { here: BodyHasher::new(DigestSet { sha256: passed.is_none(), md5 }), passed }
    }

    /// Takes the next frame once the one before it is hashed.
    pub async fn give(&mut self, frame: &Bytes) {
        self.here.idle().await;
        self.here.push(frame);
    }

    /// The SHA-256, and the MD5 where it was wanted. **Errors**: `Body` where a stream that was to
    /// pass its SHA-256 on did not.
    pub async fn finish(mut self) -> Result<(Sha256, Option<[u8; 16]>)> {
        self.here.idle().await;
        let digests = self.here.finish();
        let sha256 = digests.sha256.or_else(|| self.passed?.get());
        let absent = || Error::new(Kind::Body, "the body ended without its SHA-256");
        Ok((sha256.ok_or_else(absent)?, digests.md5))
    }
}

/// **Errors**: `Body` unless exactly the promised bytes came.
pub(super) fn check_len(seen: u64, wanted: u64) -> Result<()> {
    if seen == wanted {
        return Ok(());
    }
    Err(Error::new(Kind::Body, format!("the body had {seen} of {wanted} bytes")))
}

/// **Errors**: `Checksum` where a digest was declared and is another.
pub(super) fn check_sha256(found: Sha256, declared: Option<Sha256>) -> Result<()> {
    match declared.filter(|declared| *declared != found) {
        None => Ok(()),
        Some(declared) => {
            Err(Error::new(Kind::Checksum, format!("the body has {found}, not {declared}")))
        }
    }
}

impl Received {
    pub fn md5_hex(&self) -> String {
        hex(&self.md5)
    }
}

impl ETag {
    /// The ETag of bytes for which no MD5 was computed: the first half of their SHA-256, which has
    /// the form of an MD5. ETags are opaque.
    pub fn of_sha256(sha256: &Sha256) -> Self {
        Self(hex(&sha256.0[..16]))
    }
}

/// A part's ETag that costs nothing: the first half of a declared SHA-256. None: the MD5 is needed
/// (docs/decisions/0004-bytes-are-hashed-once.md).
pub(super) fn free_tag(options: PartOptions) -> Option<String> {
    let declared = options.sha256.filter(|_| options.tag == PartTag::Any);
    declared.map(|sha256| ETag::of_sha256(&sha256).0)
}

/// The tag of a completed upload: the MD5 of its parts' tags as bytes, and their number, as S3
/// makes it.
pub(super) fn combined_tag<'a>(tags: impl Iterator<Item = &'a str>) -> String {
    let mut md5 = Md5::new();
    let mut parts = 0;
    for tag in tags {
        md5.update(
            u128::from_str_radix(tag, 16)
                .map_or(tag.as_bytes().to_vec(), |tag| tag.to_be_bytes().to_vec()),
        );
        parts += 1;
    }
    format!("{}-{parts}", hex(&md5.finalize()))
}

/// **Errors**: `InvalidPart` unless there are parts and their numbers grow.
pub(super) fn require_ascending(parts: &[ChosenPart]) -> Result<()> {
    if parts.windows(2).all(|pair| pair[0].number < pair[1].number) {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidPart, "the part numbers do not ascend"))
}
