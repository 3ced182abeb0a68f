//! JSON in and out.
//!
//! Guarantees: a body over the cap is never held; an unknown or wrong field is named in the
//! refusal; a body whose signed hash is not its own is refused.

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Sha256;
use crate::web::{PayloadSignature, Reply, RequestBody, full};

use super::problem::Problem;

/// The longest JSON body.
const MAX_BYTES: usize = 64 << 10;

pub async fn read<T: DeserializeOwned>(
    body: RequestBody,
    signature: &PayloadSignature,
) -> Result<T, Problem> {
    let bytes = collect(body, signature).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad(format!("the body is not as described: {error}")))
}

/// As `read`; nothing at all means the default.
pub async fn read_or_default<T: DeserializeOwned + Default>(
    body: RequestBody,
    signature: &PayloadSignature,
) -> Result<T, Problem> {
    let bytes = collect(body, signature).await?;
    if bytes.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::bad(format!("the body is not as described: {error}")))
}

async fn collect(body: RequestBody, signature: &PayloadSignature) -> Result<bytes::Bytes, Problem> {
    let bytes = body.collect(MAX_BYTES).await?;
    match signature.sha256() {
        Some(signed) if signed != Sha256::of(&bytes) => Err(Problem::bad(
            "the body is not the one whose SHA-256 was signed in x-amz-content-sha256",
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
