//! PutObject.
//!
//! Guarantees: a body that does not match its digests leaves the existing object unchanged; the
//! body is not buffered. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>.

use http::{HeaderValue, StatusCode};

use super::error::S3Error;
use super::{
    AuthedRequest, HandlerResult, S3Api, attributes, checksums, conditions, empty_reply,
    payload_error,
};
use crate::accounts::Access;
use crate::digest::Algorithm;
use crate::header_names::VERSION_ID;
use crate::names::{Bucket, Key};
use crate::object::{Body, GetOptions, GetRange, NewObject, PutMode, StoreKind, Written};
use crate::upload::ChecksumKind;
use crate::web::{Declared, Payload, PayloadOutcome, Reply, RequestBody};

/// The largest object of one PutObject, as in S3.
pub(super) const MAX_BYTES: u64 = 5 << 30;

impl S3Api {
    pub(super) async fn put_object(
        &self,
        request: AuthedRequest,
        body: RequestBody,
    ) -> HandlerResult {
        request.require(Access::Write)?;
        let declared = Declared::stated(&request.head, &request.payload)?;
        let made = checksums::to_be_made(&request.head.headers, &declared)?;
        declared.require_one_sha256()?;
        let len_bytes = declared.len_bytes.ok_or_else(S3Error::length_required)?;
        if len_bytes > MAX_BYTES {
            let message =
                format!("PutObject takes at most {MAX_BYTES} bytes; use a multipart upload");
            return Err(S3Error::new(StatusCode::BAD_REQUEST, "EntityTooLarge", message));
        }
        self.require_made(made)?;
        let mode = conditions::write_mode(&request.head.headers)?;
        let attributes = attributes::read(&request.head.headers)?;
        self.shared.objects.require_server_side(&request.target.bucket, &attributes).await?;
        let (sha256, checksum) = (declared.sha256, declared.checksum.clone());
        let (bucket, key) = (request.target.bucket.clone(), request.target.key.clone());
        let replaces = matches!(mode, PutMode::IfMatch(_));
        let (payload, outcome) = Payload::new(declared, &request.payload, body);
        let body = Body::verified(len_bytes, payload);
        let stated = attributes.headers.clone();
        // A slow body can take long; meanwhile only what is still needed takes memory.
        drop(request);
        let new = NewObject { body, mode, attributes, sha256, checksum, made };
        let written = match self.shared.objects.put(&bucket, &key, new).await {
            Ok(written) => written,
            Err(error) => {
                let failure = outcome.refusal().map(S3Error::from);
                return Err(match (failure, error.kind()) {
                    (Some(failure), _) => failure,
                    (None, StoreKind::Body) => payload_error(&outcome),
                    (None, StoreKind::Precondition) if replaces => {
                        self.not_found_or(&bucket, &key, error.into()).await
                    }
                    (None, _) => error.into(),
                });
            }
        };
        let mut reply = written_reply(&written);
        attributes::write_encryption(&stated, reply.headers_mut());
        write_checksum(&outcome, &written, &mut reply);
        Ok(reply)
    }

    /// **Errors**: `NotImplemented` where the store does not make checksums of this algorithm.
    pub(super) fn require_made(&self, made: Option<Algorithm>) -> Result<(), S3Error> {
        let Some(algorithm) = made.filter(|made| !self.shared.objects.makes_checksum(*made)) else {
            return Ok(());
        };
        let what =
            format!("{} in a trailer, or to be made, in front of an S3 server", algorithm.header());
        Err(S3Error::not_implemented(&what))
    }

    /// The error for a refused If-Match: some servers respond with 412 also if there is no object
    /// (docs/backends.md#refused-and-contended-conditional-writes).
    pub(super) async fn not_found_or(
        &self,
        bucket: &Bucket,
        key: &Key,
        refused: S3Error,
    ) -> S3Error {
        match self.shared.objects.get(bucket, key, GetRange::Head, GetOptions::default()).await {
            Err(error) if error.kind() == StoreKind::NotFound => error.into(),
            Ok(_) | Err(_) => refused,
        }
    }
}

/// Writes the checksum of an object to the response of what created it.
pub(super) fn write_checksum(outcome: &PayloadOutcome, written: &Written, reply: &mut Reply) {
    let stated = outcome.verified().flatten();
    let Some(checksum) = stated.or_else(|| written.checksum.clone()) else { return };
    let value = HeaderValue::from_str(&checksum.base64()).expect("Base64 is printable ASCII");
    let headers = reply.headers_mut();
    headers.insert(checksum.algorithm().header(), value);
    let kind = HeaderValue::from_static(ChecksumKind::FullObject.name());
    headers.insert("x-amz-checksum-type", kind);
}

/// The response with ETag and version of what was written.
pub(super) fn written_reply(written: &Written) -> Reply {
    let mut reply = empty_reply(StatusCode::OK);
    let headers = reply.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", written.etag)) {
        headers.insert("etag", tag);
    }
    if let Some(version) =
        written.version.as_deref().and_then(|version| HeaderValue::from_str(version).ok())
    {
        headers.insert(VERSION_ID, version);
    }
    reply
}
