//! Request bodies: small ones are stored, large ones read and discarded.
//!
//! Guarantees: a body that breaks off is an error, and nothing of it is stored. `aws-chunked`
//! framing is removed from stored bytes and not counted in lengths.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// The largest object or part whose bytes are stored; of larger ones only the length is.
const MAX_STORED_BYTES: u64 = 512 << 10;

/// A received body.
#[derive(Clone)]
pub enum Content {
    Kept(Bytes),
    Dropped(u64),
}

impl Content {
    pub fn len_bytes(&self) -> u64 {
        match self {
            Self::Kept(bytes) => bytes.len() as u64,
            Self::Dropped(len) => *len,
        }
    }
}

/// The concatenation of the contents.
pub fn joined<'a>(contents: impl Iterator<Item = &'a Content>) -> Content {
    let mut kept = Some(BytesMut::new());
    let mut len = 0;
    for content in contents {
        len += content.len_bytes();
        match (content, &mut kept) {
            (Content::Kept(bytes), Some(kept)) => kept.extend_from_slice(bytes),
            _ => kept = None,
        }
    }
    kept.filter(|_| len <= MAX_STORED_BYTES)
        .map_or(Content::Dropped(len), |kept| Content::Kept(kept.freeze()))
}

/// Reads a body to its end.
pub async fn receive(headers: &HeaderMap, body: Incoming) -> Result<Content, hyper::Error> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let decoded = number("x-amz-decoded-content-length");
    let len = decoded.or_else(|| number("content-length"));
    match len {
        Some(len) if len > MAX_STORED_BYTES => {
            Ok(Content::Dropped(discard(body).await.map(|raw| decoded.unwrap_or(raw))?))
        }
        _ => {
            let raw = body.collect().await?.to_bytes();
            Ok(Content::Kept(if decoded.is_some() { without_framing(&raw) } else { raw }))
        }
    }
}

async fn discard(mut body: Incoming) -> Result<u64, hyper::Error> {
    let mut len = 0;
    while let Some(frame) = body.frame().await {
        len += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(len)
}

/// The data of `HEX[;…]\r\n DATA \r\n …`, up to the empty chunk.
fn without_framing(mut raw: &[u8]) -> Bytes {
    let mut data = BytesMut::new();
    while let Some(end) = raw.windows(2).position(|pair| pair == b"\r\n") {
        let line = String::from_utf8_lossy(&raw[..end]);
        let len =
            usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).unwrap_or(0);
        let (from, to) = (end + 2, end + 2 + len);
        if len == 0 || raw.len() < to {
            break;
        }
        data.extend_from_slice(&raw[from..to]);
        raw = raw.get(to + 2..).unwrap_or_default();
    }
    data.freeze()
}
