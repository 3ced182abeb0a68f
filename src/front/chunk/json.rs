//! JSON documents of requests and responses.
//!
//! Guarantees: a body over the limit is never in memory; the error for an unknown or wrong field
//! names it; a body that does not match its signed hash is refused.

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Sha256;
use crate::web::{PayloadSignature, Reply, RequestBody, full};

use super::problem::Problem;

/// The largest JSON document of a request, unless it lists chunks.
const MAX_BYTES: usize = 64 << 10;
/// The largest one that lists chunks: 10,000 of them, with room for spaces.
const MAX_LONG_BYTES: usize = 2 << 20;

/// Reads and verifies a JSON body. **Errors**: `BadRequest`, and those of reading.
pub async fn read<T: DeserializeOwned>(
    body: RequestBody,
    signature: &PayloadSignature,
) -> Result<T, Problem> {
    let bytes = collect(body, MAX_BYTES, signature).await?;
    parse(&bytes)
}

/// As `read`, for a document that lists chunks.
pub async fn read_long<T: DeserializeOwned>(
    body: RequestBody,
    signature: &PayloadSignature,
) -> Result<T, Problem> {
    let bytes = collect(body, MAX_LONG_BYTES, signature).await?;
    parse(&bytes)
}

/// As `read`; an empty body means the default.
pub async fn read_or_default<T: DeserializeOwned + Default>(
    body: RequestBody,
    signature: &PayloadSignature,
) -> Result<T, Problem> {
    let bytes = collect(body, MAX_BYTES, signature).await?;
    if bytes.is_empty() { Ok(T::default()) } else { parse(&bytes) }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::bad(format!("the body is not the expected JSON: {error}")))
}

/// The verified bytes of a body. **Errors**: `BadRequest`, and those of reading.
async fn collect(
    body: RequestBody,
    max_bytes: usize,
    signature: &PayloadSignature,
) -> Result<bytes::Bytes, Problem> {
    let bytes = body.collect(max_bytes).await?;
    match signature.sha256() {
        Some(signed) if signed != Sha256::of(&bytes) => Err(Problem::bad(
            "the body does not match the SHA-256 that was signed in x-amz-content-sha256",
        )),
        Some(_) | None => Ok(bytes),
    }
}

pub fn reply<T: Serialize>(status: StatusCode, value: &T) -> Reply {
    let json = serde_json::to_vec(value).expect("text and numbers are always JSON");
    let mut reply = Response::new(full(json));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
