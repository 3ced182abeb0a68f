//! What `dir` and `memory` share: receiving a body with its digests, making ETags, and the rules of
//! Complete.
//!
//! Guarantees: a body that is too short, too long, interrupted, or that does not have its declared
//! SHA-256, is refused before anything is stored.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use md5::{Digest, Md5};

use super::{Body, ChosenPart, ETag, Error, Kind, PartOptions, PartTag, Result};
use crate::digest::batch::BodyHasher;
use crate::digest::{DigestSet, PassedSha256, Sha256};
use crate::hex::hex;

/// Memory that is taken ahead for a body of which little has come.
const MAX_ANNOUNCED_BYTES: usize = 64 << 10;

/// A small body in memory, with its digests.
pub(super) struct Received {
    pub bytes: Bytes,
    #[cfg(any(test, feature = "testing"))]
    pub sha256: Sha256,
    md5: [u8; 16],
}

/// Receives a whole body into memory. **Errors**: `Body`, `Checksum`, `Full`.
pub(super) async fn receive(
    mut body: Body,
    declared: Option<Sha256>,
    max_bytes: usize,
) -> Result<Received> {
    let lengths = body.lengths();
    let mut received = Frames::None;
    let mut digests = BodyDigests::new(&body, true);
    while let Some(frame) = body.next().await {
        let frame = frame
            .map_err(|cause| Error::new(Kind::Body, "the body was interrupted").because(cause))?;
        if received.len() + frame.len() > max_bytes {
            return Err(Error::new(Kind::Full, format!("a body of more than {max_bytes} bytes")));
        }
        digests.push(&frame).await;
        received = received.and(frame, *lengths.end());
    }
    let bytes = received.into_bytes();
    check_len(bytes.len() as u64, &lengths)?;
    let (sha256, md5) = digests.finish().await?;
    check_sha256(sha256, declared)?;
    Ok(Received {
        bytes,
        #[cfg(any(test, feature = "testing"))]
        sha256,
        md5: md5.expect("the MD5 was selected"),
    })
}

/// The frames of a body, which are copied only where there are several.
enum Frames {
    None,
    One(Bytes),
    Joined(BytesMut),
}

impl Frames {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(frame) => frame.len(),
            Self::Joined(bytes) => bytes.len(),
        }
    }

    /// With one frame more, of a body of about so many bytes.
    fn and(self, frame: Bytes, body_bytes: u64) -> Self {
        let mut joined = match self {
            _ if frame.is_empty() => return self,
            Self::None => return Self::One(frame),
            Self::One(first) => {
                // What was announced may not come; what came is there.
                let announced = usize::try_from(body_bytes).unwrap_or(0).min(MAX_ANNOUNCED_BYTES);
                let mut joined = BytesMut::with_capacity(announced);
                joined.extend_from_slice(&first);
                joined
            }
            Self::Joined(joined) => joined,
        };
        joined.extend_from_slice(&frame);
        Self::Joined(joined)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(frame) => frame,
            Self::Joined(bytes) => bytes.freeze(),
        }
    }
}

/// The digests of a body that a store receives. The SHA-256 is not computed here if the stream of
/// the body computes it.
pub(super) struct BodyDigests {
    hasher: BodyHasher,
    sha256_of_stream: Option<PassedSha256>,
}

impl BodyDigests {
    pub fn new(body: &Body, md5: bool) -> Self {
        let sha256_of_stream = body.sha256();
        let digests = DigestSet { sha256: sha256_of_stream.is_none(), md5 };
        Self { hasher: BodyHasher::new(digests), sha256_of_stream }
    }

    /// Hashes the next frame, after the one before it is hashed.
    pub async fn push(&mut self, frame: &Bytes) {
        self.hasher.idle().await;
        self.hasher.push(frame);
    }

    /// The SHA-256, and the MD5 where it was selected. **Errors**: `Body` where the stream ended
    /// without the SHA-256 that it should have computed.
    pub async fn finish(mut self) -> Result<(Sha256, Option<[u8; 16]>)> {
        self.hasher.idle().await;
        let digests = self.hasher.finish();
        let sha256 = digests.sha256.or_else(|| self.sha256_of_stream?.get());
        let absent = || Error::new(Kind::Body, "the body ended without its SHA-256");
        Ok((sha256.ok_or_else(absent)?, digests.md5))
    }
}

/// **Errors**: `Body` unless an expected number of bytes was received.
pub(super) fn check_len(received: u64, expected: &RangeInclusive<u64>) -> Result<()> {
    if expected.contains(&received) {
        return Ok(());
    }
    let most = expected.end();
    Err(Error::new(Kind::Body, format!("the body had {received} of {most} bytes")))
}

/// **Errors**: `Checksum` where another SHA-256 was declared.
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

/// The ETag of a completed upload, as S3 makes it: the MD5 over the ETags of its parts as bytes,
/// and the number of parts.
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

/// **Errors**: `InvalidPart` unless the part numbers ascend.
pub(super) fn require_ascending(parts: &[ChosenPart]) -> Result<()> {
    if parts.windows(2).all(|pair| pair[0].number < pair[1].number) {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidPart, "the part numbers do not ascend"))
}
