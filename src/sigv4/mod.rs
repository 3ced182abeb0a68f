//! AWS Signature Version 4 for service `s3`: signing, presigning, verifying.
//!
//! Guarantees: a signature made here verifies here and at AWS (the published examples are tests);
//! verification uses the request as it was sent and compares in constant time; a secret is never
//! printed. It does not look up access keys. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>

mod canonical;
mod date;
mod policy;
mod secret;
mod sign;
mod stream;
mod uri_encoding;
mod v2;
mod verify;

use http::HeaderName;

pub use policy::{PolicySignature, PolicyVersion};
pub use secret::Secret;
pub use sign::{SignError, presign, sign};
pub use stream::ChunkVerifier;
pub use uri_encoding::{URI_COMPONENT, URI_PATH};
pub use v2::V2Signature;
pub use verify::{Error, RequestSignature, SignedPayload, StreamForm, Verified, parse};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The longest validity of a presigned URL: 7 days.
const MAX_EXPIRY_SECONDS: u64 = 604_800;

/// The access key that signs.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub access_key_id: String,
    secret: Secret,
    pub session_token: Option<String>,
}

impl Credentials {
    pub fn new(access_key_id: &str, secret: &str, session_token: Option<String>) -> Self {
        Self { access_key_id: access_key_id.to_owned(), secret: Secret::new(secret), session_token }
    }
}

/// What a signature covers of the body: the value of `x-amz-content-sha256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    Sha256([u8; 32]),
    Unsigned,
    /// `aws-chunked` without chunk signatures, with a checksum in the trailer.
    StreamingUnsignedTrailer,
}

impl Payload {
    fn header_value(self) -> String {
        match self {
            Self::Sha256(digest) => crate::hex::hex(&digest),
            Self::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
            Self::StreamingUnsignedTrailer => "STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
        }
    }
}

/// The day and region that a signature is valid for; the service is always `s3`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scope {
    /// `YYYYMMDD`.
    day: String,
    region: String,
}

impl Scope {
    /// The access key id and the scope of a credential. **Errors**: what is wrong with it.
    fn of_credential(credential: &str) -> Result<(&str, Self), &'static str> {
        let words: Vec<&str> = credential.split('/').collect();
        let [key, day, region, service, end] = words[..] else {
            return Err("the credential is not <key>/<date>/<region>/s3/aws4_request");
        };
        if service != SERVICE {
            return Err("the credential names another service than s3");
        }
        if end != "aws4_request" {
            return Err("the credential does not end with aws4_request");
        }
        Ok((key, Self { day: day.to_owned(), region: region.to_owned() }))
    }

    /// The scope as the string to sign and the credential contain it.
    fn text(&self) -> String {
        [&self.day, &*self.region, SERVICE, "aws4_request"].join("/")
    }
}

#[cfg(test)]
mod tests;
