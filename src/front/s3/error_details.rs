//! What an error document says beside code and message when a request is refused before it runs.
//!
//! Guarantees: all of it comes from the request, or is the gateway's time. Source:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>, and answers of S3.

use std::time::{Duration, UNIX_EPOCH};

use http::HeaderName;

use super::error::S3Error;
use super::xml::iso_seconds;
use crate::sigv4::Compared;
use crate::web;

/// A longer canonical request is not in an answer: nobody looks for a mistake in it, and each byte
/// is four bytes of the answer.
const MAX_SHOWN_BYTES: usize = 8 << 10;
/// The last second of the year 9999.
const MAX_TIME_SECONDS: u64 = 253_402_300_799;

impl S3Error {
    pub(super) fn with_detail(self, detail: &web::Detail) -> Self {
        match detail {
            // Clients send the request again with the region that they find in the header.
            web::Detail::Region(region) => self
                .with_element("Region", region)
                .with_header(HeaderName::from_static("x-amz-bucket-region"), region),
            web::Detail::AccessKeyId(id) => self.with_element("AWSAccessKeyId", id),
            web::Detail::Argument(argument) => {
                self.with_argument(argument.name, Some(&argument.value))
            }
            web::Detail::HeadersUnsigned(names) => self.with_element("HeadersNotSigned", names),
            web::Detail::Expired(expiry) => {
                let time = |seconds| iso_seconds(UNIX_EPOCH + Duration::from_secs(seconds)) + "Z";
                let failure = match expiry.validity {
                    Some(validity) => self.with_element("X-Amz-Expires", validity),
                    None => self,
                };
                // A signature of version 2 may name any time.
                let until = expiry.until.min(MAX_TIME_SECONDS);
                failure
                    .with_element("Expires", time(until))
                    .with_element("ServerTime", time(expiry.now))
            }
            web::Detail::Mismatch(compared) => self.with_compared(compared),
            web::Detail::Sha256 { declared, found } => self
                .with_element("ClientComputedContentSHA256", declared)
                .with_element("S3ComputedContentSHA256", found),
            web::Detail::Md5 { declared, found } => self
                .with_element("ExpectedDigest", declared)
                .with_element("CalculatedDigest", found),
            web::Detail::ContentMd5(text) => self.with_element("Content-MD5", text),
        }
    }

    /// With the texts that a client needs to find what it signed in another way. The bytes are
    /// there too, as in S3, because a text does not show every one.
    fn with_compared(self, compared: &Compared) -> Self {
        let bytes = |bytes: &[u8]| {
            let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            pairs.join(" ")
        };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let failure = self
            .with_element("AWSAccessKeyId", &compared.access_key_id)
            .with_element("StringToSign", text(&compared.string_to_sign))
            .with_element("SignatureProvided", &compared.signature)
            .with_element("StringToSignBytes", bytes(&compared.string_to_sign));
        match &compared.canonical_request {
            Some(request) if request.len() <= MAX_SHOWN_BYTES => failure
                .with_element("CanonicalRequest", text(request))
                .with_element("CanonicalRequestBytes", bytes(request)),
            Some(_) | None => failure,
        }
    }
}
