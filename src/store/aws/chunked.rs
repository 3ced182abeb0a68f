//! `aws-chunked` encoding with a checksum trailer, for bodies whose checksum is known only at their
//! end.
//!
//! Guarantees: the encoded length is known before the first byte; frames are passed on, not copied.
//! Incoming frames are split so that all chunks but the last have one fixed size, which makes the
//! length computable. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html>

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use super::super::{Body, BodyError};
use crate::digest::{Algorithm, Checksum, ChecksumHasher, PassedSha256};

/// Payload bytes per chunk; S3 requires at least 8 KiB in all but the last.
const CHUNK_BYTES: u64 = 64 << 10;

/// The checksum in the trailer; unset until the whole body was read.
pub(super) type Trailer = Arc<OnceLock<Checksum>>;

/// The body in `aws-chunked` encoding, and the checksum that its trailer will contain.
pub(super) fn with_trailer(body: Body, algorithm: Algorithm) -> (Body, Trailer) {
    let trailer = Trailer::default();
    let len = encoded_len(body.len_bytes(), algorithm);
    let passed = body.sha256().filter(|_| algorithm == Algorithm::Sha256);
    let encoder = Encoder {
        remaining: body.len_bytes(),
        body,
        hasher: Some(
            passed
                .map_or_else(|| Summing::Computed(ChecksumHasher::new(algorithm)), Summing::Passed),
        ),
        chunk_remaining: 0,
        out: VecDeque::new(),
        trailer: Arc::clone(&trailer),
    };
    let frames = stream::try_unfold(encoder, |mut encoder| async move {
        let frame = encoder.next().await?;
        Ok::<_, BodyError>(frame.map(|frame| (frame, encoder)))
    });
    (Body::new(len, frames), trailer)
}

fn encoded_len(payload: u64, algorithm: Algorithm) -> u64 {
    let chunk = |size: u64| format!("{size:x}").len() as u64 + 2 + size + 2;
    let (full, rest) = (payload / CHUNK_BYTES, payload % CHUNK_BYTES);
    let last = if rest > 0 { chunk(rest) } else { 0 };
    let trailer = (algorithm.header().as_str().len() + 1 + algorithm.base64_len() + 4) as u64;
    full * chunk(CHUNK_BYTES) + last + 3 + trailer
}

/// Where the trailer's checksum comes from.
enum Summing {
    Computed(ChecksumHasher),
    /// The body's stream computes it.
    Passed(PassedSha256),
}

struct Encoder {
    body: Body,
    /// Payload bytes that are not read yet.
    remaining: u64,
    /// None once the trailer is written.
    hasher: Option<Summing>,
    /// Payload bytes that the current chunk still needs.
    chunk_remaining: u64,
    out: VecDeque<Bytes>,
    trailer: Trailer,
}

impl Encoder {
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(frame) = self.out.pop_front() {
                return Ok(Some(frame));
            }
            if self.hasher.is_none() {
                return Ok(None);
            }
            match self.body.next().await.transpose()? {
                Some(frame) => self.encode(frame)?,
                None if self.remaining > 0 => {
                    return Err(format!("the body ended {} bytes too early", self.remaining).into());
                }
                None => self.end()?,
            }
        }
    }

    fn encode(&mut self, mut frame: Bytes) -> Result<(), BodyError> {
        if frame.len() as u64 > self.remaining {
            return Err("the body is longer than announced".into());
        }
        if let Some(Summing::Computed(hasher)) = &mut self.hasher {
            hasher.update(&frame);
        }
        while !frame.is_empty() {
            if self.chunk_remaining == 0 {
                self.chunk_remaining = CHUNK_BYTES.min(self.remaining);
                self.out.push_back(format!("{:x}\r\n", self.chunk_remaining).into());
            }
            let payload = frame.split_to(
                frame.len().min(usize::try_from(self.chunk_remaining).unwrap_or(usize::MAX)),
            );
            self.chunk_remaining -= payload.len() as u64;
            self.remaining -= payload.len() as u64;
            self.out.push_back(payload);
            if self.chunk_remaining == 0 {
                self.out.push_back(Bytes::from_static(b"\r\n"));
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), BodyError> {
        let checksum = match self.hasher.take() {
            None => return Ok(()),
            Some(Summing::Computed(hasher)) => hasher.finish(),
            Some(Summing::Passed(sha256)) => {
                sha256.get().map(Checksum::from).ok_or("the body ended without its SHA-256")?
            }
        };
        let line = format!("{}:{}\r\n\r\n", checksum.algorithm().header(), checksum.base64());
        // The end is reached once, so the cell is empty.
        self.trailer.set(checksum).ok();
        let mut tail = BytesMut::from(&b"0\r\n"[..]);
        tail.extend_from_slice(line.as_bytes());
        self.out.push_back(tail.freeze());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_length_is_known_before_the_first_byte() {
        let sizes = [0, 1, 65_535, 65_536, 65_537, 300_000].into_iter();
        for (size, algorithm) in
            sizes.flat_map(|size| [(size, Algorithm::Sha256), (size, Algorithm::Crc32)])
        {
            let bytes = Bytes::from(vec![7_u8; size]);
            let frames: Vec<_> =
                bytes.chunks(10_000).map(|frame| Ok(Bytes::copy_from_slice(frame))).collect();
            let (body, _) = with_trailer(Body::new(size as u64, stream::iter(frames)), algorithm);
            let len = body.len_bytes();
            let encoded = body.collect(1 << 20).await.unwrap();
            assert_eq!(encoded.len() as u64, len, "{size}");
            let mut hasher = ChecksumHasher::new(algorithm);
            hasher.update(&bytes);
            let tail = format!("0\r\n{}:{}\r\n\r\n", algorithm.header(), hasher.finish().base64());
            assert!(encoded.ends_with(tail.as_bytes()), "{size}");
        }
    }
}
