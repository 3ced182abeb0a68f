//! AWS Signature Version 4 for service `s3`: signing, presigning, verifying.
//!
//! Guarantees: a signature made here verifies here and at AWS (the published examples are tests);
//! verification uses the request as it was sent and compares in constant time; a secret is never
//! printed. It does not look up access keys. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>

mod canonical;
mod date;
mod error;
mod policy;
mod secret;
mod sign;
mod stream;
mod uri_encoding;
mod v2;
mod verify;

use http::HeaderName;

pub use error::{Argument, Compared, Error, Expiry};
pub use policy::{PolicySignature, PolicyVersion};
pub use secret::Secret;
pub use sign::{SignError, presign, sign};
pub use stream::ChunkVerifier;
pub use uri_encoding::{URI_COMPONENT, URI_PATH};
pub use v2::V2Signature;
pub use verify::{RequestSignature, SignedPayload, StreamForm, Verified, has_session_token, parse};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";
/// The last word of a credential.
const TERMINAL: &str = "aws4_request";
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
    /// The access key id and the scope of a credential. **Errors**: what is wrong with it, in the
    /// words of S3.
    fn of_credential(credential: &str) -> Result<(&str, Self), String> {
        let words: Vec<&str> = credential.split('/').collect();
        let [key, day, region, service, end] = words[..] else {
            return Err("the Credential is mal-formed; expecting \
                        \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
                .to_owned());
        };
        if service != SERVICE {
            return Err(format!(
                "incorrect service \"{service}\". This endpoint belongs to \"{SERVICE}\"."
            ));
        }
        if end != TERMINAL {
            return Err(format!(
                "incorrect terminal \"{end}\". This endpoint uses \"{TERMINAL}\"."
            ));
        }
        if date::parse_day(day).is_none() {
            return Err(format!(
                "incorrect date format \"{day}\". This date in the credential must be in the \
                 format \"yyyyMMdd\"."
            ));
        }
        Ok((key, Self { day: day.to_owned(), region: region.to_owned() }))
    }

    /// The scope as the string to sign and the credential contain it.
    fn text(&self) -> String {
        [&self.day, &*self.region, SERVICE, TERMINAL].join("/")
    }
}

#[cfg(test)]
mod tests;
